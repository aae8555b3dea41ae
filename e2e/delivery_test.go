package e2e

import (
	"fmt"
	"testing"
)

// TestDevices pushes a message to all devices of the recipient and to the sender's
// others, but not to the connection that sent it.
func TestDevices(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		devicesA := []*client{login(t, c.edge(0), a.account), login(t, c.edge(2), a.account), login(t, c.web, a.account)}
		devicesB := []*client{b, login(t, c.edge(0), b.account), login(t, c.edge(2), b.account), login(t, c.web, b.account)}
		group := createGroup(a, b)
		for i := range 5 {
			msg := fmt.Sprint("to b, ", i)
			ack := a.chat(b.id, msg)
			for _, d := range append(devicesA, devicesB...) {
				d.wantChat(a.id, msg, ack)
			}
			msg = fmt.Sprint("to the group, ", i)
			ack = a.chatGroup(group, msg)
			for _, d := range append(devicesA, devicesB...) {
				d.wantGroupChat(a.id, msg, ack)
			}
		}
		t.Log("none of it came back on the connection that sent it")
		a.wantChat(b.id, "answer", b.chat(a.id, "answer"))
	})
}

// TestOneself chats with oneself: the other devices get it.
func TestOneself(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		device := login(t, c.edge(1), a.account)
		for i := range 3 {
			ack := a.chat(a.id, "note")
			a.must(ack, `{"msgType":104,"code":0,"TOID":%d,"seq":%d,"msgId":"$text","time":"$time"}`, a.id, i+1)
			device.wantChat(a.id, "note", ack)
		}
		a.wantChat(b.id, "hi", b.chat(a.id, "hi"))
		t.Log("one's own are not offline messages")
		a.drop()
		device.drop()
		again := login(t, c.edge(2), a.account)
		page := again.call(`{"msgType":14}`)
		for _, m := range page.list("messages") {
			if m.int("FROMID") == a.id {
				again.fail("a message of one's own")
			}
		}
		again.must(again.call(`{"msgType":16,"TOID":%d,"after":2}`, a.id), `{"msgType":116,"code":0,"more":false,"lastSeq":3,"messages":[
			{"msgType":4,"FROMID":%[1]d,"TOID":%[1]d,"msg":"note","seq":3,"msgId":"$text","time":"$time"}]}`, a.id)
	})
}

// isOnline asks a, by a friendship that it makes first, whether b is connected.
func isOnline(a, b *client) bool {
	a.t.Helper()
	for {
		for _, f := range a.call(`{"msgType":8}`).list("friends") {
			if f.int("USERID") == b.id {
				return f["online"] == true
			}
		}
		befriend(a, b)
	}
}
