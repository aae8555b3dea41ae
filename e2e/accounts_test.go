package e2e

import (
	"crypto/rand"
	"testing"
)

// register makes n accounts with random names (see registerNames).
func register(t *testing.T, c *cluster, n int) []account {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = "user " + rand.Text()
	}
	return registerNames(t, c, names...)
}

// registerNames makes an account with a random password for each name, all at once,
// on every edge in turn.
func registerNames(t *testing.T, c *cluster, names ...string) []account {
	t.Helper()
	clients := make([]*client, len(names))
	accounts := make([]account, len(names))
	for i, name := range names {
		accounts[i] = account{name: name, password: rand.Text()}
		clients[i] = dial(t, c.edge(i))
		clients[i].send(`{"msgType":2,"name":%s,"password":%s}`, js(name), js(accounts[i].password))
	}
	for i, conn := range clients {
		f := conn.wantReply(`{"msgType":102,"code":0,"USERID":"$id","name":%s}`, js(names[i]))
		accounts[i].id = f.int("USERID")
		conn.drop()
	}
	return accounts
}

// users registers n accounts and logs each in, on every edge in turn.
func users(t *testing.T, c *cluster, n int) []*client {
	t.Helper()
	accounts := register(t, c, n)
	clients := make([]*client, n)
	for i, a := range accounts {
		clients[i] = dial(t, c.edge(i))
		clients[i].sendLogin(a, "")
	}
	for i, conn := range clients {
		conn.wantLogin(accounts[i], `"$count"`)
	}
	return clients
}

// sendLogin sends a login, by token if the account has one; extra is more keys,
// beginning with a comma.
func (c *client) sendLogin(a account, extra string) {
	c.t.Helper()
	if a.token != "" {
		c.send(`{"msgType":1,"USERID":%d,"token":%s%s}`, a.id, js(a.token), extra)
		return
	}
	c.send(`{"msgType":1,"USERID":%d,"password":%s%s}`, a.id, js(a.password), extra)
}

// wantLogin takes the reply to sendLogin; unread is a template. The account with
// its new token is the connection's from now on.
func (c *client) wantLogin(a account, unread string) {
	c.t.Helper()
	f := c.wantReply(`{"msgType":101,"code":0,"USERID":%d,"name":%s,"token":"$text","unread":%s}`,
		a.id, js(a.name), unread)
	c.account = a
	c.token = f.str("token")
}

// login connects to addr and logs in.
func login(t *testing.T, addr string, a account) *client {
	t.Helper()
	return loginUnread(t, addr, a, `"$count"`)
}

// loginUnread connects to addr, logs in, and expects a number of unread messages.
func loginUnread(t *testing.T, addr string, a account, unread string) *client {
	t.Helper()
	c := dial(t, addr)
	c.sendLogin(a, "")
	c.wantLogin(a, unread)
	return c
}

// loginConfirming is login as a client that confirms what it got with type 5.
func loginConfirming(t *testing.T, addr string, a account, unread string) *client {
	t.Helper()
	c := dial(t, addr)
	c.sendLogin(a, `,"confirm":true`)
	c.wantLogin(a, unread)
	return c
}

// createGroup makes a group that the clients belong to, its creator first, and
// returns its id.
func createGroup(members ...*client) int64 {
	creator := members[0]
	creator.t.Helper()
	name := "group " + rand.Text()
	f := creator.call(`{"msgType":12,"name":%s,"description":"made by a test"}`, js(name))
	creator.must(f, `{"msgType":112,"code":0,"GROUPID":"$id","name":%s,"description":"made by a test"}`, js(name))
	for _, m := range members[1:] {
		m.send(`{"msgType":10,"GROUPID":%d}`, f.int("GROUPID"))
	}
	for _, m := range members[1:] {
		m.wantReply(`{"msgType":110,"code":0,"GROUPID":%d,"name":%s,"description":"made by a test"}`,
			f.int("GROUPID"), js(name))
	}
	return f.int("GROUPID")
}

// befriend makes a and b friends.
func befriend(a, b *client) {
	a.t.Helper()
	a.must(a.call(`{"msgType":6,"U2":%d}`, b.id), `{"msgType":106,"code":0,"U1":%d,"U2":%d}`, a.id, b.id)
}

// chat sends a message to a user and returns the 104.
func (c *client) chat(to int64, msg string) frame {
	c.t.Helper()
	f := c.call(`{"msgType":4,"TOID":%d,"msg":%s}`, to, js(msg))
	return c.must(f, `{"msgType":104,"code":0,"TOID":%d,"seq":"$id","msgId":"$text","time":"$time"}`, to)
}

// chatGroup sends a message to a group and returns the 109.
func (c *client) chatGroup(group int64, msg string) frame {
	c.t.Helper()
	f := c.call(`{"msgType":9,"GROUPID":%d,"msg":%s}`, group, js(msg))
	return c.must(f, `{"msgType":109,"code":0,"GROUPID":%d,"seq":"$id","msgId":"$text","time":"$time"}`, group)
}

// wantChat expects the push of a message that was sent by chat.
func (c *client) wantChat(from int64, msg string, ack frame) {
	c.t.Helper()
	c.wantPush(`{"msgType":4,"FROMID":%d,"TOID":%d,"msg":%s,"seq":%d,"msgId":%s,"time":%d}`,
		from, ack.int("TOID"), js(msg), ack.int("seq"), js(ack.str("msgId")), ack.int("time"))
}

// wantGroupChat expects the push of a message that was sent by chatGroup.
func (c *client) wantGroupChat(from int64, msg string, ack frame) {
	c.t.Helper()
	c.wantPush(`{"msgType":9,"FROMID":%d,"GROUPID":%d,"msg":%s,"seq":%d,"msgId":%s,"time":%d}`,
		from, ack.int("GROUPID"), js(msg), ack.int("seq"), js(ack.str("msgId")), ack.int("time"))
}
