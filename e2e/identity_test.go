package e2e

import (
	"strings"
	"testing"
)

// TestIdentity comes from the login only: who says to be another is refused.
func TestIdentity(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		all := users(t, c, 3)
		a, b := all[0], all[1]
		group := createGroup(a, b)
		for _, tt := range []struct {
			msgType int
			rest    string
		}{
			{3, `"USERID":#`},
			{4, `"FROMID":#,"TOID":#,"msg":"forged"`},
			{5, `"FROMID":#,"TOID":#,"seq":1`},
			{6, `"U1":#,"U2":@`},
			{8, `"FROMID":#`},
			{9, `"FROMID":#,"GROUPID":&,"msg":"forged"`},
			{10, `"FROMID":#,"GROUPID":&`},
			{12, `"FROMID":#,"name":"forged","description":""`},
			{14, `"FROMID":#`},
			{15, `"FROMID":#,"keyword":"x"`},
			{16, `"FROMID":#,"TOID":#`},
		} {
			a.write(newBodies(a.id, b.id, group).fill(`"msgType":`+js(tt.msgType)+","+tt.rest, js(all[2].id)))
			a.wantFault(tt.msgType, 403, "")
		}
		t.Log("b saw nothing of it, and a is still who it was")
		b.wantChat(a.id, "true", a.chat(b.id, "true"))
		b.must(b.call(`{"msgType":8}`), `{"msgType":108,"code":0,"friends":[]}`)
	})
}

// TestLogin tests who gets in, and as whom.
func TestLogin(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		accounts := register(t, c, 2)
		a, b := accounts[0], accounts[1]
		conn := dial(t, c.edge(0))

		t.Log("a wrong password and an unknown account look the same")
		conn.send(`{"msgType":1,"USERID":%d,"password":"wrong"}`, a.id)
		conn.wantFault(1, 401, "")
		conn.send(`{"msgType":1,"USERID":9007199254740991,"password":"wrong"}`)
		conn.wantFault(1, 401, "")
		conn.send(`{"msgType":1,"USERID":%d,"password":%s}`, a.id, js(b.password))
		conn.wantFault(1, 401, "")
		conn.send(`{"msgType":1,"USERID":%d,"password":%s}`, a.id, js(strings.ToLower(a.password)))
		conn.wantFault(1, 401, "")
		conn.send(`{"msgType":1,"USERID":%d,"token":%s}`, a.id, js(a.password))
		conn.wantFault(1, 401, "")
		conn.send(`{"msgType":8}`)
		conn.wantFault(8, 401, "")

		t.Log("logged in, again as the same is fine, as another is not")
		conn.sendLogin(a, "")
		conn.wantLogin(a, `0`)
		conn.sendLogin(conn.account, "")
		conn.wantLogin(a, `0`)
		conn.sendLogin(b, "")
		conn.wantFault(1, 409, "")
		conn.must(conn.call(`{"msgType":15,"FROMID":%d,"keyword":%s}`, a.id, js(a.name)),
			`{"msgType":115,"code":0,"users":[{"USERID":%d,"name":%s}]}`, a.id, js(a.name))

		t.Log("after a logout the connection may log in again, as another")
		conn.must(conn.call(`{"msgType":3}`), `{"msgType":103,"code":0}`)
		conn.send(`{"msgType":3}`)
		conn.wantFault(3, 401, "")
		conn.sendLogin(b, "")
		conn.wantLogin(b, `0`)
		conn.must(conn.call(`{"msgType":8,"FROMID":%d}`, b.id), `{"msgType":108,"code":0,"friends":[]}`)
	})
}

// TestToken resumes a session on any edge until a logout ends it.
func TestToken(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		token := a.token

		t.Log("it is good on every edge, for its own user only")
		for i := range c.edges {
			login(t, c.edge(i), a.account)
		}
		thief := dial(t, c.edge(1))
		thief.send(`{"msgType":1,"USERID":%d,"token":%s}`, b.id, js(token))
		thief.wantFault(1, 401, "")
		thief.send(`{"msgType":1,"USERID":%d,"token":%s}`, a.id, js(token[:len(token)-1]))
		thief.wantFault(1, 401, "")
		thief.send(`{"msgType":1,"USERID":%d,"token":%s}`, a.id, js(token+"x"))
		thief.wantFault(1, 401, "")
		thief.send(`{"msgType":1,"USERID":%d,"password":%s}`, a.id, js(token))
		thief.wantFault(1, 401, "")

		t.Log("each login with the password has its own")
		other := dial(t, c.edge(1))
		fresh := account{id: a.id, name: a.name, password: a.password}
		other.sendLogin(fresh, "")
		other.wantLogin(fresh, `0`)
		if other.token == token {
			other.fail("two sessions share a token")
		}

		t.Log("a logout ends it, everywhere, and no other")
		a.must(a.call(`{"msgType":3,"USERID":%d}`, a.id), `{"msgType":103,"code":0}`)
		for i := range c.edges {
			conn := dial(t, c.edge(i))
			conn.send(`{"msgType":1,"USERID":%d,"token":%s}`, a.id, js(token))
			conn.wantFault(1, 401, "")
		}
		login(t, c.edge(2), other.account)
	})
}

// TestLoggedOut gets no more pushes.
func TestLoggedOut(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		b.must(b.call(`{"msgType":3}`), `{"msgType":103,"code":0}`)
		ack := a.chat(b.id, "missed")
		b.ping()
		b.token = ""
		b.sendLogin(b.account, "")
		b.wantLogin(b.account, `1`)
		b.must(b.call(`{"msgType":14}`), `{"msgType":114,"code":0,"more":false,"messages":[
			{"msgType":4,"FROMID":%d,"TOID":%d,"msg":"missed","seq":1,"msgId":%s,"time":%d}]}`,
			a.id, b.id, js(ack.str("msgId")), ack.int("time"))
	})
}
