package e2e

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestKillWorker kills one of two storage workers, as kill -9 does, in the middle of
// many conversations: every frame is answered in the end, and nothing is doubled.
func TestKillWorker(t *testing.T) {
	t.Parallel()
	c, err := startRoles("kill_"+strings.ToLower(rand.Text()), 2, []string{"login", "friend", "group"}, []string{"storage"}, []string{"storage"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range slices.Backward(c.roles.all) {
			finish(t, p)
		}
	})
	const peers, each = 10, 60
	all := users(t, c, 1+peers)
	a, others := all[0], all[1:]
	frames := make(map[string]string) // by id
	var text strings.Builder
	for i := range peers * each {
		id := fmt.Sprint(i)
		frames[id] = fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"%s","id":"%[2]s"}`, others[i%peers].id, id)
		text.WriteString(frames[id])
	}
	written := flood(a, []byte(text.String()))

	acks := make(map[string]frame)
	for len(acks) < len(frames) {
		f := a.reply()
		id := f.str("id")
		if frames[id] == "" {
			a.fail("a reply to nothing")
		}
		switch f.int("code") {
		case 0:
			if acks[id] != nil {
				a.fail("two answers to %s", id)
			}
			acks[id] = f
			if len(acks) == 50 {
				c.roles.workers[1].kill()
			}
		case 503, 504: // the client is to send it again
			again := flood(a, []byte(frames[id]))
			<-again
		default:
			a.fail("refused")
		}
	}
	<-written

	for _, b := range others {
		stored := a.history(fmt.Sprintf(`"TOID":%d`, b.id))
		if len(stored) != each {
			a.fail("%d messages to user %d are stored, want %d", len(stored), b.id, each)
		}
		told := make(map[string]bool)
		for _, m := range stored {
			id := m.str("msg")
			if told[id] || acks[id] == nil {
				a.fail("message %s is stored twice, or was never sent", id)
			}
			told[id] = true
			a.must(acks[id], `{"msgType":104,"code":0,"id":"%s","TOID":%d,"seq":%d,"msgId":%s,"time":%d}`,
				id, b.id, m.int("seq"), js(m.str("msgId")), m.int("time"))
		}
		t.Log("a push may come twice after a fault, but each seq comes, as what is stored")
		for seen := make(map[int64]bool); len(seen) < each; {
			f := b.push()
			seq := f.int("seq")
			if seq < 1 || seq > each {
				b.fail("seq %d", seq)
			}
			b.match(f, js(stored[seq-1]))
			seen[seq] = true
		}
	}

	t.Log("another worker joins, and nothing else restarts")
	p, err := launch("kill-worker-new", append(c.roles.env, c.roles.workKey), "worker", "storage")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, p) })
	if err := p.waitReady(); err != nil {
		t.Fatal(err)
	}
	for i, b := range others {
		ack := a.chat(b.id, "after")
		if ack.int("seq") != each+1 {
			a.fail("seq %d in conversation %d", ack.int("seq"), i)
		}
	}
}
