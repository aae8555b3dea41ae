package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestDemo types the frames of the original system into a fresh "up", as they stand
// in its description and by the users that it names, and then stops it with Ctrl-C
// in the middle of chatting, and starts it again.
func TestDemo(t *testing.T) {
	t.Parallel()
	o := get(t, func() (upOptions, error) { return newUpOptions(2) })
	c := get(t, func() (*cluster, error) { return startUp(o) })
	asTyped(t, c)
	idle := dial(t, c.shared)
	idle.ping()
	throughStop(t, o, c, func() {
		if err := c.up.stop(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		idle.wantNotice()
		idle.wantClosed()
		if left := processesOf(t, o.dir); len(left) > 0 {
			t.Fatalf("after Ctrl-C still runs %v", left)
		}
	})
}

func asTyped(t *testing.T, c *cluster) {
	conn := dial(t, c.shared)
	conn.must(conn.call(`{"msgType":2,"name":"Eric Ling","password":"whatever"}`),
		`{"msgType":102,"code":0,"USERID":11,"name":"Eric Ling"}`)

	conn = dial(t, c.shared)
	conn.must(conn.call(`{"msgType":1,"USERID":6,"password":"6"}`),
		`{"msgType":101,"code":0,"USERID":6,"name":"$text","token":"$text","unread":0}`)
	conn.must(conn.call(`{"msgType":4,"FROMID":6,"TOID":8,"msg":"你好 8号","sendTime":1703078264002}`),
		`{"msgType":104,"code":0,"TOID":8,"seq":1,"msgId":"$text","time":"$time"}`)
	conn.must(conn.call(`{"msgType":8,"FROMID":6}`), `{"msgType":108,"code":0,"friends":"$any"}`)
	conn.must(conn.call(`{"msgType":9,"FROMID":6,"GROUPID":8,"msg":"你好 8号","sendTime":1703078264002}`),
		`{"msgType":109,"code":0,"GROUPID":8,"seq":1,"msgId":"$text","time":"$time"}`)
	conn.must(conn.call(`{"msgType":10,"FROMID":6,"GROUPID":7}`),
		`{"msgType":110,"code":0,"GROUPID":7,"name":"$text","description":"$any"}`)
	conn.must(conn.call(`{"msgType":12,"FROMID":6,"name":"cpp","description":"cpp group."}`),
		`{"msgType":112,"code":0,"GROUPID":9,"name":"cpp","description":"cpp group."}`)

	conn = dial(t, c.shared)
	conn.must(conn.call(`{"msgType":1,"USERID":1,"password":"1"}`),
		`{"msgType":101,"code":0,"USERID":1,"name":"$text","token":"$text","unread":1}`)
	conn.must(conn.call(`{"msgType":6,"U1":1,"U2":2}`), `{"msgType":106,"code":0,"U1":1,"U2":2}`)
	conn.must(conn.call(`{"msgType":14,"FROMID":1}`), `{"msgType":114,"code":0,"more":false,"messages":[
		{"msgType":9,"FROMID":6,"GROUPID":8,"msg":"你好 8号","sendTime":1703078264002,"seq":1,"msgId":"$text","time":"$time"}]}`)
	found := conn.call(`{"msgType":15,"keyword":"1"}`)
	conn.match(found, `{"msgType":115,"code":0,"users":"$any"}`)
	if users := found.list("users"); len(users) == 0 || users[0].int("USERID") != 1 {
		conn.fail("the exact id is not first")
	}

	conn = dial(t, c.shared)
	conn.must(conn.call(`{"msgType":1,"USERID":7,"password":"7"}`),
		`{"msgType":101,"code":0,"USERID":7,"name":"$text","token":"$text","unread":1}`)
	conn.must(conn.call(`{"msgType":3,"USERID":7}`), `{"msgType":103,"code":0}`)
}

// TestKillUp registers many at once in an empty "up", then kills it, as kill -9 does,
// in the middle of chatting, and starts it again.
func TestKillUp(t *testing.T) {
	t.Parallel()
	o := get(t, func() (upOptions, error) { return newUpOptions(3) })
	o.empty = true
	c := get(t, func() (*cluster, error) { return startUp(o) })

	var ids []int64
	for _, a := range register(t, c, 50) {
		ids = append(ids, a.id)
	}
	slices.Sort(ids)
	for i, id := range ids {
		if id != int64(i+1) {
			t.Fatalf("50 at once got the ids %v", ids)
		}
	}
	throughStop(t, o, c, func() {
		c.up.kill()
		eventually(t, "what was started has gone, too", func() bool { return len(processesOf(t, o.dir)) == 0 })
	})
}

// throughStop has a chat with b, who is away, calls stop in the middle of it, starts
// "up" again on the same data, and checks that what was told is still so.
func throughStop(t *testing.T, o upOptions, c *cluster, stop func()) {
	t.Helper()
	pair := users(t, c, 2)
	a, b := pair[0], pair[1]
	befriend(a, b)
	group := createGroup(a, b)
	b.drop()
	eventually(t, "b is away", func() bool { return !isOnline(a, b) })

	const count = 2000
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, `{"msgType":4,"TOID":%d,"msg":"%d","id":"%d"}`, b.id, i, i)
	}
	written := flood(a, []byte(text.String()))
	acks := make(map[string]frame)
	answered := func(f frame) {
		if f.int("msgType") == 98 || f.int("code") == 503 {
			return
		}
		a.must(f, `{"msgType":104,"code":0,"id":"%d","TOID":%d,"seq":%d,"msgId":"$text","time":"$time"}`,
			len(acks), b.id, len(acks)+1)
		acks[f.str("id")] = f
	}
	for len(acks) < 100 {
		answered(a.next())
	}
	stop()
	for {
		line, err := a.link.read(patience)
		if err != nil {
			break // closed, if need be in the middle of a frame
		}
		f, err := decode(line)
		if err != nil {
			t.Fatal(err)
		}
		answered(f)
	}
	<-written
	t.Logf("%d of %d were answered before the stop", len(acks), count)

	c = get(t, func() (*cluster, error) { return startUp(o) })
	a = login(t, c.edge(0), a.account) // by its token
	befriended := a.call(`{"msgType":8}`)
	a.must(befriended, `{"msgType":108,"code":0,"friends":[{"USERID":%d,"name":%s,"online":false}]}`, b.id, js(b.name))
	a.send(`{"msgType":10,"GROUPID":%d}`, group)
	a.wantFault(10, 409, "")
	t.Log("each message that was answered is there, and the next numbers follow")
	a.resend(text.String(), count, acks)
	stored := a.history(fmt.Sprintf(`"TOID":%d`, b.id))
	if len(stored) != count {
		a.fail("%d messages are stored, want %d", len(stored), count)
	}
	seen := make(map[string]bool)
	for _, m := range stored {
		id := m.str("msg")
		if seen[id] {
			a.fail("message %s is stored twice", id)
		}
		seen[id] = true
		if ack := acks[id]; ack != nil && (ack.int("seq") != m.int("seq") || ack.str("msgId") != m.str("msgId")) {
			a.fail("message %s was answered as %s, and is stored as %s", id, ack, m)
		}
	}
	if next := a.chat(b.id, "next"); next.int("seq") != count+1 {
		a.fail("the next seq is %d, want %d", next.int("seq"), count+1)
	}

	t.Log("who was away gets it all, once")
	back := account{id: b.id, name: b.name, password: b.password}
	away := login(t, c.edge(1), back)
	messages := away.offlineMessages()
	if len(messages) != count+1 {
		away.fail("%d messages, want %d", len(messages), count+1)
	}
	for i, m := range messages[:count] {
		away.match(m, js(stored[i]))
	}
	if err := c.up.stop(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// processesOf lists the running programs, but the tests themselves, that work in a
// folder or were given it.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		command, err := os.ReadFile(filepath.Join(entry, "cmdline"))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended meanwhile
		} else if err != nil {
			t.Fatal(err)
		}
		cwd, _ := os.Readlink(filepath.Join(entry, "cwd")) // gone for those that ended
		if strings.Contains(string(command), dir) || strings.HasPrefix(cwd, dir) {
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}
