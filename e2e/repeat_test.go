package e2e

import (
	"crypto/rand"
	"fmt"
	"testing"
)

// TestRepeat sends frames that change rows again under the same id: on the same
// connection, on a new one, on other edges, over a WebSocket. Each gets the first
// success again, and no second effect.
func TestRepeat(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		all := users(t, c, 3)
		a, b, host := all[0], all[1], all[2]
		group := createGroup(host, b)
		frames := []string{
			fmt.Sprintf(`{"msgType":10,"GROUPID":%d,"id":"1"}`, group),
			fmt.Sprintf(`{"msgType":9,"GROUPID":%d,"msg":"hi","id":"1"}`, group),
			fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"hi","id":"1"}`, b.id),
			fmt.Sprintf(`{"msgType":6,"U1":%d,"U2":%d,"id":"1"}`, a.id, b.id),
			`{"msgType":12,"name":"cpp","description":"","id":"1"}`,
		}
		var first []frame
		for _, text := range frames {
			a.write(text)
			f := a.reply()
			if f.int("code") != 0 {
				a.fail("refused: %s", text)
			}
			first = append(first, f)
			switch f.int("msgType") {
			case 104:
				b.wantChat(a.id, "hi", f)
			case 109:
				b.wantGroupChat(a.id, "hi", f)
			}
		}

		connections := []*client{a}
		for i := range c.edges {
			connections = append(connections, login(t, c.edge(i), a.account))
		}
		connections = append(connections, login(t, c.web, a.account))
		for _, conn := range connections {
			for i, text := range frames {
				conn.write(text)
				conn.match(conn.reply(), js(first[i]))
			}
		}
		t.Log("both in one go")
		a.write(frames[2] + frames[2] + frames[1] + frames[1])
		for range 4 {
			f := a.reply()
			a.match(f, js(first[map[int64]int{104: 2, 109: 1}[f.int("msgType")]]))
		}

		t.Log("the recipient saw one of each")
		ack := a.call(`{"msgType":4,"TOID":%d,"msg":"next"}`, b.id)
		b.wantChat(a.id, "next", a.must(ack, `{"msgType":104,"code":0,"TOID":%d,"seq":2,"msgId":"$text","time":"$time"}`, b.id))
		ack = a.call(`{"msgType":9,"GROUPID":%d,"msg":"next"}`, group)
		b.wantGroupChat(a.id, "next", a.must(ack, `{"msgType":109,"code":0,"GROUPID":%d,"seq":2,"msgId":"$text","time":"$time"}`, group))
		b.must(b.call(`{"msgType":8}`), `{"msgType":108,"code":0,"friends":[{"USERID":%d,"name":%s,"online":true}]}`, a.id, js(a.name))

		t.Log("the same id under another type, for another addressee, from another user is another frame")
		a.must(a.call(`{"msgType":4,"TOID":%d,"msg":"hi","id":"1"}`, host.id),
			`{"msgType":104,"code":0,"id":"1","TOID":%d,"seq":1,"msgId":"$text","time":"$time"}`, host.id)
		host.must(host.call(`{"msgType":4,"TOID":%d,"msg":"hi","id":"1"}`, b.id),
			`{"msgType":104,"code":0,"id":"1","TOID":%d,"seq":1,"msgId":"$text","time":"$time"}`, b.id)
	})
}

// TestRepeatOther repeats an id with other content.
func TestRepeatOther(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		group := createGroup(a, b)
		for _, tt := range []struct {
			msgType     int
			first, then string
		}{
			{4, `"TOID":#,"msg":"one"`, `"TOID":#,"msg":"two"`},
			{4, `"TOID":#,"msg":"same","k":1`, `"TOID":#,"msg":"same","k":2`},
			{9, `"GROUPID":&,"msg":"one"`, `"GROUPID":&,"msg":"two"`},
			{12, `"name":"one","description":""`, `"name":"two","description":""`},
		} {
			id := rand.Text()
			frames := newBodies(a.id, b.id, group)
			body := func(rest string) string {
				return frames.fill(fmt.Sprintf(`"msgType":%d,"id":%s,%s`, tt.msgType, js(id), rest), "")
			}
			a.write(body(tt.first))
			first := a.reply()
			if first.int("code") != 0 {
				a.fail("refused: %s", body(tt.first))
			}
			a.write(body(tt.then))
			a.must(a.reply(), `{"msgType":%d,"code":409,"error":"$text","id":%s}`, 100+tt.msgType, js(id))
			t.Log("which changes nothing about the first")
			a.write(body(tt.first))
			a.match(a.reply(), js(first))
		}
		b.push()
		b.push()
		b.push()
		b.ping()
	})
}

// TestErrorsAreNotRemembered tries again with the same id what failed before.
func TestErrorsAreNotRemembered(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		group := createGroup(b)
		frame := fmt.Sprintf(`{"msgType":9,"GROUPID":%d,"msg":"hi","id":"x"}`, group)
		a.write(frame)
		a.must(a.reply(), `{"msgType":109,"code":403,"error":"$text","id":"x"}`)
		a.must(a.call(`{"msgType":10,"GROUPID":%d}`, group), `{"msgType":110,"code":0,"GROUPID":%d,"name":"$text","description":"$text"}`, group)
		a.write(frame)
		a.must(a.reply(), `{"msgType":109,"code":0,"id":"x","GROUPID":%d,"seq":1,"msgId":"$text","time":"$time"}`, group)
	})
}

// TestWithoutID types frames again: they are new ones.
func TestWithoutID(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		for i := range 3 {
			ack := a.chat(b.id, "again")
			if ack.int("seq") != int64(i+1) {
				a.fail("seq %d, want %d", ack.int("seq"), i+1)
			}
			b.wantChat(a.id, "again", ack)
		}
		befriend(a, b)
		a.send(`{"msgType":6,"U2":%d}`, b.id)
		a.wantFault(6, 409, "")
		b.send(`{"msgType":6,"U2":%d}`, a.id)
		b.wantFault(6, 409, "")
		group := createGroup(a, b)
		for _, conn := range []*client{a, b} {
			conn.send(`{"msgType":10,"GROUPID":%d}`, group)
			conn.wantFault(10, 409, "")
		}
		first := a.call(`{"msgType":12,"name":"same","description":"same"}`)
		second := a.call(`{"msgType":12,"name":"same","description":"same"}`)
		if first.int("GROUPID") >= second.int("GROUPID") {
			a.fail("the second group is not a new one")
		}
	})
}

// TestRepeatRegister registers again: with the same id, name and password it is the
// same account, else another.
func TestRepeatRegister(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		id, name, password := rand.Text(), rand.Text(), rand.Text()
		register := func(addr, id, name, password string) int64 {
			conn := dial(t, addr)
			f := conn.call(`{"msgType":2,"id":%s,"name":%s,"password":%s}`, js(id), js(name), js(password))
			conn.must(f, `{"msgType":102,"code":0,"id":%s,"USERID":"$id","name":%s}`, js(id), js(name))
			return f.int("USERID")
		}
		first := register(c.edge(0), id, name, password)
		for i := range c.edges {
			if again := register(c.edge(i), id, name, password); again != first {
				t.Fatalf("account %d, then %d", first, again)
			}
		}
		seen := map[int64]bool{first: true}
		for _, other := range []int64{
			register(c.edge(0), id+"x", name, password),
			register(c.edge(0), id, name+"x", password),
			register(c.edge(0), id, name, password+"x"),
		} {
			if seen[other] {
				t.Fatalf("account %d twice", other)
			}
			seen[other] = true
		}
		login(t, c.edge(1), account{id: first, name: name, password: password})
	})
}
