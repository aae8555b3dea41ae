package e2e

import (
	"crypto/rand"
	"testing"
	"time"
)

// TestFrames says every frame once, over TCP and over WebSockets and from one to
// the other, and holds each reply and push against the description, key by key.
func TestFrames(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		for name, addr := range map[string][2]string{
			"tcp":        {c.edge(0), c.edge(1)},
			"shared":     {c.shared, c.edge(2)},
			"web":        {c.web, c.web},
			"tcp-to-web": {c.edge(1), c.web},
			"web-to-tcp": {c.web, c.edge(2)},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				everyFrame(t, addr[0], addr[1])
			})
		}
	})
}

func everyFrame(t *testing.T, addrA, addrB string) {
	a, b := dial(t, addrA), dial(t, addrB)

	t.Log("2 register, which does not log in")
	for _, c := range []*client{a, b} {
		c.name, c.password = "Eric Ling "+rand.Text(), rand.Text()
		f := c.call(`{"msgType":2,"name":%s,"password":%s}`, js(c.name), js(c.password))
		c.id = c.must(f, `{"msgType":102,"code":0,"USERID":"$id","name":%s}`, js(c.name)).int("USERID")
		c.send(`{"msgType":8}`)
		c.wantFault(8, 401, "")
	}
	if a.id == b.id {
		t.Fatalf("one id for two accounts: %d", a.id)
	}

	t.Log("1 log in")
	for _, c := range []*client{a, b} {
		c.sendLogin(c.account, "")
		c.wantLogin(c.account, `0`)
	}

	t.Log("0 ping")
	a.ping()
	a.must(a.call(`{"msgType":0,"id":"ping 1"}`), `{"msgType":100,"code":0,"id":"ping 1"}`)

	t.Log("6 add a friend, 8 list friends")
	a.must(a.call(`{"msgType":8,"FROMID":%d}`, a.id), `{"msgType":108,"code":0,"friends":[]}`)
	a.must(a.call(`{"msgType":6,"U1":%d,"U2":%d}`, a.id, b.id), `{"msgType":106,"code":0,"U1":%d,"U2":%d}`, a.id, b.id)
	for c, other := range map[*client]*client{a: b, b: a} {
		c.must(c.call(`{"msgType":8,"FROMID":%d,"id":"list"}`, c.id),
			`{"msgType":108,"code":0,"id":"list","friends":[{"USERID":%d,"name":%s,"online":true}]}`,
			other.id, js(other.name))
	}

	t.Log("4 chat")
	ack := a.call(`{"msgType":4,"FROMID":%d,"TOID":%d,"msg":"你好 8号","sendTime":1703078264002}`, a.id, b.id)
	a.must(ack, `{"msgType":104,"code":0,"TOID":%d,"seq":1,"msgId":"$text","time":"$time"}`, b.id)
	push := b.wantPush(`{"msgType":4,"FROMID":%d,"TOID":%d,"msg":"你好 8号","sendTime":1703078264002,"seq":1,"msgId":%s,"time":%d}`,
		a.id, b.id, js(ack.str("msgId")), ack.int("time"))
	if late := time.Since(time.UnixMilli(push.int("time"))); late > time.Minute {
		t.Fatalf("the time of arrival is %v old", late)
	}
	answer := b.call(`{"msgType":4,"id":"r1","TOID":%d,"msg":"hi"}`, a.id)
	b.must(answer, `{"msgType":104,"code":0,"id":"r1","TOID":%d,"seq":2,"msgId":"$text","time":"$time"}`, a.id)
	a.wantChat(b.id, "hi", answer)

	t.Log("12 create a group, 10 join it, 9 chat in it")
	f := a.call(`{"msgType":12,"FROMID":%d,"name":"cpp","description":"cpp group."}`, a.id)
	group := a.must(f, `{"msgType":112,"code":0,"GROUPID":"$id","name":"cpp","description":"cpp group."}`).int("GROUPID")
	b.must(b.call(`{"msgType":10,"FROMID":%d,"GROUPID":%d}`, b.id, group),
		`{"msgType":110,"code":0,"GROUPID":%d,"name":"cpp","description":"cpp group."}`, group)
	ack = a.call(`{"msgType":9,"FROMID":%d,"GROUPID":%d,"msg":"你好 8号","sendTime":1703078264002,"id":"g1"}`, a.id, group)
	a.must(ack, `{"msgType":109,"code":0,"id":"g1","GROUPID":%d,"seq":1,"msgId":"$text","time":"$time"}`, group)
	b.wantPush(`{"msgType":9,"FROMID":%d,"GROUPID":%d,"msg":"你好 8号","sendTime":1703078264002,"seq":1,"msgId":%s,"time":%d}`,
		a.id, group, js(ack.str("msgId")), ack.int("time"))

	t.Log("14 fetch offline messages, of which there are none")
	b.must(b.call(`{"msgType":14,"FROMID":%d}`, b.id), `{"msgType":114,"code":0,"messages":[],"more":false}`)

	t.Log("16 history")
	b.must(b.call(`{"msgType":16,"GROUPID":%d,"after":0,"limit":10}`, group),
		`{"msgType":116,"code":0,"more":false,"lastSeq":1,"messages":[
		{"msgType":9,"FROMID":%d,"GROUPID":%d,"msg":"你好 8号","sendTime":1703078264002,"seq":1,"msgId":%s,"time":%d}]}`,
		a.id, group, js(ack.str("msgId")), ack.int("time"))

	t.Log("5 received, answered only if it fails")
	b.send(`{"msgType":5,"GROUPID":%d,"seq":1}`, group)
	b.send(`{"msgType":5,"TOID":%d,"seq":1,"id":"confirm"}`, a.id)
	b.ping()

	t.Log("15 search accounts")
	a.must(a.call(`{"msgType":15,"keyword":%s}`, js(b.name)),
		`{"msgType":115,"code":0,"users":[{"USERID":%d,"name":%s}]}`, b.id, js(b.name))

	t.Log("3 log out")
	a.must(a.call(`{"msgType":3,"USERID":%d}`, a.id), `{"msgType":103,"code":0}`)
	a.send(`{"msgType":8}`)
	a.wantFault(8, 401, "")
	b.must(b.call(`{"msgType":3,"id":"bye"}`), `{"msgType":103,"code":0,"id":"bye"}`)
	for _, c := range []*client{a, b} {
		c.token = "" // it ended with the session
		c.sendLogin(c.account, "")
		c.wantLogin(c.account, `"$count"`)
	}
}

// TestEcho sends an id with every type: each reply carries it, also a refusal.
func TestEcho(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		a := users(t, c, 1)[0]
		for _, body := range []string{
			`"msgType":0`, `"msgType":1`, `"msgType":2`, `"msgType":4`, `"msgType":5`, `"msgType":6`,
			`"msgType":8`, `"msgType":9`, `"msgType":10`, `"msgType":12`, `"msgType":14`, `"msgType":15`,
			`"msgType":16`, `"msgType":77`, `"msgType":"4"`, `"hello":1`,
		} {
			const id = `"the \"id\" 号"`
			a.must(a.call(`{%s,"id":%s}`, body, id),
				`{"msgType":"$id","code":"$count","id":%s,"error?":"$text","field?":"$text","friends?":"$any","messages?":"$any","more?":"$bool"}`, id)
		}
	})
}
