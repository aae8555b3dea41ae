package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// offlineMessages fetches all pages of 14 and returns the messages. Each page but
// the last says that there is more, and the last that there is not. (One that
// confirms gets the same page until it does.)
func (c *client) offlineMessages() []frame {
	c.t.Helper()
	var all []frame
	for {
		page := c.call(`{"msgType":14,"FROMID":%d}`, c.id)
		messages := page.list("messages")
		c.must(page, `{"msgType":114,"code":0,"messages":"$any","more":%t}`, page["more"] == true)
		if len(messages) > 100 {
			c.fail("a page of %d messages", len(messages))
		}
		all = append(all, messages...)
		if page["more"] != true {
			return all
		}
		if len(messages) == 0 || len(all) > 1e4 {
			c.fail("more, and more, and more: %d messages so far, %d in this page", len(all), len(messages))
		}
	}
}

// TestOffline stores messages of several conversations for someone who is away, who
// then gets each once, in order within its conversation, in pages of 100.
func TestOffline(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		all := users(t, c, 4)
		a, b, d, away := all[0], all[1], all[2], all[3]
		group := createGroup(a, b, away)
		away.drop()
		eventually(t, "the one who left is offline", func() bool { return !isOnline(a, away) })

		const each = 84 // three conversations: 252 messages, three pages
		want := make(map[string][]string)
		sendAll := func(from *client, key string, kind int, body string) {
			for i := range each {
				from.send(`{"msgType":%d,%s,"msg":"%s %d"}`, kind, body, key, i)
				want[key] = append(want[key], fmt.Sprint(key, " ", i))
			}
		}
		sendAll(a, "a", 4, fmt.Sprintf(`"TOID":%d`, away.id))
		sendAll(b, "b", 4, fmt.Sprintf(`"TOID":%d`, away.id))
		sendAll(d, "none", 4, fmt.Sprintf(`"TOID":%d`, a.id))
		for range each {
			a.reply()
			b.reply()
			d.reply()
		}
		sendAll(a, "group", 9, fmt.Sprintf(`"GROUPID":%d`, group))
		for range each {
			a.reply()
		}

		back := loginUnread(t, c.edge(1), away.account, fmt.Sprint(3*each))
		got := make(map[string][]string)
		for _, m := range back.offlineMessages() {
			key := map[int64]string{a.id: "a", b.id: "b"}[m.int("FROMID")]
			target := fmt.Sprintf(`"TOID":%d`, away.id)
			if m.int("msgType") == 9 {
				key, target = "group", fmt.Sprintf(`"GROUPID":%d`, group)
			}
			got[key] = append(got[key], m.str("msg"))
			back.must(m, `{"msgType":%d,"FROMID":%d,%s,"msg":"$text","seq":%d,"msgId":"$text","time":"$time"}`,
				m.int("msgType"), m.int("FROMID"), target, len(got[key]))
		}
		for _, key := range []string{"a", "b", "group"} {
			if fmt.Sprint(got[key]) != fmt.Sprint(want[key]) {
				t.Errorf("conversation %s:\ngot  %v\nwant %v", key, got[key], want[key])
			}
		}
		t.Log("nothing comes again, here or on a later connection")
		const nothing = `{"msgType":114,"code":0,"messages":[],"more":false}`
		back.match(back.call(`{"msgType":14}`), nothing)
		back.drop()
		later := unreadIsZero(t, c.edge(2), back.account)
		later.match(later.call(`{"msgType":14}`), nothing)
	})
}

// TestUnread counts also what takes many pages.
func TestUnread(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		a := users(t, c, 1)[0]
		away := register(t, c, 1)[0]
		const count = 1100
		frame := fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"x"}`, away.id)
		written := flood(a, []byte(strings.Repeat(frame, count)))
		for range count {
			a.wantReply(`{"msgType":104,"code":0,"TOID":%d,"seq":"$id","msgId":"$text","time":"$time"}`, away.id)
		}
		<-written
		loginUnread(t, c.edge(0), away, fmt.Sprint(count))
	})
}

// unreadIsZero logs in afresh until a login tells that nothing is unread: what was
// written to a connection counts within seconds.
func unreadIsZero(t *testing.T, addr string, a account) *client {
	t.Helper()
	var conn *client
	eventually(t, "nothing is unread", func() bool {
		conn = dial(t, addr)
		conn.sendLogin(a, "")
		f := conn.wantReply(`{"msgType":101,"code":0,"USERID":%d,"name":%s,"token":"$text","unread":"$count"}`, a.id, js(a.name))
		conn.account = a
		if f.int("unread") == 0 {
			return true
		}
		conn.drop()
		return false
	})
	return conn
}

// TestOfflineBytes has pages end at 1 MiB, too (the link refuses longer frames).
func TestOfflineBytes(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		a := users(t, c, 1)[0]
		away := register(t, c, 1)[0]
		const count = 20
		for i := range count {
			a.send(`{"msgType":4,"TOID":%d,"msg":%s,"n":%d}`, away.id, js(strings.Repeat("x", 60_000)), i)
		}
		for range count {
			a.reply()
		}
		back := loginUnread(t, c.edge(2), away, fmt.Sprint(count))
		messages := back.offlineMessages()
		if len(messages) != count {
			back.fail("%d of %d messages", len(messages), count)
		}
		for i, m := range messages {
			if m.int("n") != int64(i) || m.int("seq") != int64(i+1) {
				back.fail("message %d has n %d, seq %d", i, m.int("n"), m.int("seq"))
			}
		}
	})
}

// TestPushedIsDelivered has what was pushed to any device count as delivered.
func TestPushedIsDelivered(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		group := createGroup(a, b)
		for i := range 30 {
			msg := fmt.Sprint(i)
			b.wantChat(a.id, msg, a.chat(b.id, msg))
			b.wantGroupChat(a.id, msg, a.chatGroup(group, msg))
			a.wantChat(b.id, msg, b.chat(a.id, msg))
		}
		t.Log("on this connection at once")
		b.match(b.call(`{"msgType":14}`), `{"msgType":114,"code":0,"messages":[],"more":false}`)
		t.Log("for a new one within seconds, also when nobody asked")
		b.drop()
		a.drop()
		for _, who := range []account{a.account, b.account} {
			again := unreadIsZero(t, c.edge(2), who)
			again.match(again.call(`{"msgType":14}`), `{"msgType":114,"code":0,"messages":[],"more":false}`)
		}
	})
}

// TestConfirm tests clients that say what has arrived: only that is delivered.
func TestConfirm(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, quiet := pair[0], pair[1]
		group := createGroup(a, quiet)
		quiet.drop()
		eventually(t, "the first connection is gone", func() bool { return !isOnline(a, quiet) })

		b := loginConfirming(t, c.edge(1), quiet.account, `0`)
		for i := 1; i <= 5; i++ {
			msg := fmt.Sprint(i)
			b.wantChat(a.id, msg, a.chat(b.id, msg))
			b.wantGroupChat(a.id, msg, a.chatGroup(group, msg))
		}
		b.drop()

		t.Log("none was confirmed: all are still there, as often as one asks")
		b = loginConfirming(t, c.edge(2), quiet.account, `10`)
		for range 2 {
			if got := b.offlineMessages(); len(got) != 10 {
				b.fail("%d messages, want 10", len(got))
			}
		}
		t.Log("what is confirmed is gone, and no more")
		b.send(`{"msgType":5,"TOID":%d,"seq":3}`, a.id)
		b.send(`{"msgType":5,"GROUPID":%d,"seq":5}`, group)
		got := b.offlineMessages()
		if len(got) != 2 || got[0].int("seq") != 4 || got[1].int("seq") != 5 || got[0].int("msgType") != 4 {
			b.fail("want messages 4 and 5 of the pair, got %v", got)
		}
		t.Log("an older confirmation takes nothing back")
		b.send(`{"msgType":5,"TOID":%d,"seq":1}`, a.id)
		if got := b.offlineMessages(); len(got) != 2 {
			b.fail("want 2 messages, got %v", got)
		}
		b.send(`{"msgType":5,"TOID":%d,"seq":5}`, a.id)
		b.match(b.call(`{"msgType":14}`), `{"msgType":114,"code":0,"messages":[],"more":false}`)
		loginConfirming(t, c.edge(0), quiet.account, `0`)
	})
}
