package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// TestDrain stops an edge in the middle of a conversation: it says so, answers what
// is outstanding, and exits cleanly. What it stored, it answered.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := get(t, sharedRoles)
	p, addr := c.roles.startEdge(t, "drained")
	all := users(t, c, 3)
	b := all[1]
	a, idle := login(t, addr, all[0].account), login(t, addr, all[2].account)

	const count = 500
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, `{"msgType":4,"TOID":%d,"msg":"%d","id":"%d"}`, b.id, i, i)
	}
	a.write(text.String())
	first := a.reply()
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	const farewell = `{"msgType":98,"reason":"$text","reconnect":true,"after":"$count"}`
	acks, notices := map[string]frame{first.str("id"): first}, 0
	for {
		f, err := a.read()
		if errors.Is(err, errClosed) {
			break
		}
		switch {
		case f.int("msgType") == 98:
			a.match(f, farewell)
			notices++
		case f.int("code") == 503: // not accepted, nothing happened
		default:
			a.must(f, `{"msgType":104,"code":0,"id":"%d","TOID":%d,"seq":%d,"msgId":"$text","time":"$time"}`,
				len(acks), b.id, len(acks)+1)
			acks[f.str("id")] = f
		}
	}
	if notices != 1 {
		a.fail("%d notices", notices)
	}
	idle.match(idle.next(), farewell)
	idle.wantClosed()
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}

	a = login(t, c.edge(2), a.account)
	stored := a.history(fmt.Sprintf(`"TOID":%d`, b.id))
	if len(stored) != len(acks) {
		a.fail("%d messages are stored, %d were answered", len(stored), len(acks))
	}
	t.Log("elsewhere the client goes on, with all it has")
	a.resend(text.String(), count, acks)
	if stored := a.history(fmt.Sprintf(`"TOID":%d`, b.id)); len(stored) != count {
		a.fail("%d messages are stored, want %d", len(stored), count)
	}
	for i := range count {
		b.wantPush(`{"msgType":4,"FROMID":%d,"TOID":%d,"msg":"%d","seq":%d,"msgId":"$text","time":"$time"}`,
			a.id, b.id, i, i+1)
	}
}

// history reads a conversation from its start, and checks that it is numbered
// without gaps.
func (c *client) history(which string) []frame {
	c.t.Helper()
	var all []frame
	for {
		page := c.call(`{"msgType":16,%s,"after":%d,"limit":100}`, which, len(all))
		c.must(page, `{"msgType":116,"code":0,"messages":"$any","more":%t,"lastSeq":"$count"}`, page["more"] == true)
		for _, m := range page.list("messages") {
			all = append(all, m)
			if m.int("seq") != int64(len(all)) {
				c.fail("message %d has seq %d", len(all), m.int("seq"))
			}
		}
		if page["more"] != true {
			if page.int("lastSeq") != int64(len(all)) {
				c.fail("lastSeq is %d after %d messages", page.int("lastSeq"), len(all))
			}
			return all
		}
		if len(page.list("messages")) == 0 {
			c.fail("an empty page that says there is more")
		}
	}
}

// resend writes frames again that carry the ids from 0 to count-1. Each must succeed
// now, and those that did before must get the same answer. It returns all answers.
func (c *client) resend(text string, count int, acks map[string]frame) map[string]frame {
	c.t.Helper()
	written := flood(c, []byte(text))
	all := make(map[string]frame)
	for range count {
		f := c.reply()
		id := f.str("id")
		if all[id] != nil {
			c.fail("two answers to %s", id)
		}
		if f.int("code") != 0 {
			c.fail("refused")
		}
		if before, ok := acks[id]; ok {
			c.match(f, js(before))
		}
		all[id] = f
	}
	<-written
	return all
}
