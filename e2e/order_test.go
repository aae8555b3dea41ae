package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestScript pastes whole scripts in one go, several at once: replies come in
// typed order, and so do effects, across topics.
func TestScript(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		const scripts = 8
		host := users(t, c, 1)[0]
		group := createGroup(host)
		accounts := register(t, c, scripts)
		clients := make([]*client, scripts)
		for i, a := range accounts {
			conn := dial(t, c.edge(i))
			conn.account = a
			clients[i] = conn
		}
		for _, conn := range clients {
			conn.write(fmt.Sprintf(`{"msgType":4,"TOID":%[1]d,"msg":"too early"}
				{"msgType":1,"USERID":%[2]d,"password":%[3]s}
				{"msgType":12,"FROMID":%[2]d,"name":"cpp","description":"cpp group."}{"msgType":9,"GROUPID":%[4]d,"msg":"not yet a member"}
				{"msgType":10,"FROMID":%[2]d,"GROUPID":%[4]d} {"msgType":9,"FROMID":%[2]d,"GROUPID":%[4]d,"msg":"hello group"}
				{"msgType":8,"FROMID":%[2]d}{"msgType":6,"U2":%[1]d}{"msgType":8}{"msgType":0}
				{"msgType":4,"TOID":%[1]d,"msg":"hello host"}{"msgType":16,"TOID":%[1]d}{"msgType":3}{"msgType":4,"TOID":%[1]d,"msg":"too late"}`,
				host.id, conn.id, js(conn.password), group))
		}
		for _, conn := range clients {
			conn.wantFault(4, 401, "")
			conn.wantLogin(conn.account, `0`)
			conn.wantReply(`{"msgType":112,"code":0,"GROUPID":"$id","name":"cpp","description":"cpp group."}`)
			conn.wantFault(9, 403, "")
			conn.wantReply(`{"msgType":110,"code":0,"GROUPID":%d,"name":"$text","description":"$text"}`, group)
			conn.wantReply(`{"msgType":109,"code":0,"GROUPID":%d,"seq":"$id","msgId":"$text","time":"$time"}`, group)
			conn.wantReply(`{"msgType":108,"code":0,"friends":[]}`)
			conn.wantReply(`{"msgType":106,"code":0,"U1":%d,"U2":%d}`, conn.id, host.id)
			conn.wantReply(`{"msgType":108,"code":0,"friends":[{"USERID":%d,"name":%s,"online":true}]}`, host.id, js(host.name))
			conn.wantReply(`{"msgType":100,"code":0}`)
			ack := conn.wantReply(`{"msgType":104,"code":0,"TOID":%d,"seq":1,"msgId":"$text","time":"$time"}`, host.id)
			conn.wantReply(`{"msgType":116,"code":0,"more":false,"lastSeq":1,"messages":[
				{"msgType":4,"FROMID":%d,"TOID":%d,"msg":"hello host","seq":1,"msgId":%s,"time":%d}]}`,
				conn.id, host.id, js(ack.str("msgId")), ack.int("time"))
			conn.wantReply(`{"msgType":103,"code":0}`)
			conn.wantFault(4, 401, "")
		}
		t.Log("the host got each script's two messages, the group's in one order")
		seen := make(map[string]int)
		var last int64
		for range 2 * scripts {
			f := host.push()
			seen[f.str("msg")]++
			if f.int("msgType") == 9 {
				if last++; f.int("seq") != last {
					host.fail("seq %d in the group, want %d", f.int("seq"), last)
				}
			}
		}
		if seen["hello host"] != scripts || seen["hello group"] != scripts {
			host.fail("pushes: %v", seen)
		}
	})
}

// TestPipeline writes 200 chat frames for many conversations at once. Each is
// answered; within a conversation in order, numbered without gaps.
func TestPipeline(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		const frames, peers = 200, 6
		all := users(t, c, 1+peers)
		a, others := all[0], all[1:]
		group := createGroup(all...)
		var text strings.Builder
		for i := range frames {
			if to := i % (peers + 1); to < peers {
				fmt.Fprintf(&text, `{"msgType":4,"TOID":%d,"msg":"%d","id":"%d"}`, others[to].id, i, i)
			} else {
				fmt.Fprintf(&text, `{"msgType":9,"GROUPID":%d,"msg":"%d","id":"%d"}`, group, i, i)
			}
		}
		a.write(text.String())

		next := make([]int, peers+1) // of each conversation, how many were answered
		for range frames {
			f := a.reply()
			var i int
			if _, err := fmt.Sscan(f.str("id"), &i); err != nil {
				a.fail("a reply without an id of ours")
			}
			to := i % (peers + 1)
			if want := next[to]*(peers+1) + to; i != want {
				a.fail("the answer to %d came before that to %d of the same conversation", i, want)
			}
			next[to]++
			where := fmt.Sprintf(`"msgType":109,"GROUPID":%d`, group)
			if to < peers {
				where = fmt.Sprintf(`"msgType":104,"TOID":%d`, others[to].id)
			}
			a.must(f, `{%s,"code":0,"id":"%d","seq":%d,"msgId":"$text","time":"$time"}`, where, i, next[to])
		}
		for to, b := range others {
			count := make(map[int64]int64)
			for range next[to] + next[peers] {
				f := b.push()
				kind := f.int("msgType")
				if count[kind]++; f.int("seq") != count[kind] {
					b.fail("push %d of the conversation has seq %d", count[kind], f.int("seq"))
				}
			}
			b.ping()
		}
	})
}

// TestFirstFault tests which fault is told when a frame has several.
func TestFirstFault(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		t.Log("401 comes before the fields, for every type")
		stranger := dial(t, c.edge(0))
		for _, n := range []int{3, 4, 5, 6, 8, 9, 10, 12, 14, 15, 16} {
			for _, rest := range []string{``, `,"FROMID":"x","TOID":0,"U1":-1,"password":"x","limit":1000,"keyword":7`} {
				stranger.send(`{"msgType":%d%s}`, n, rest)
				stranger.wantFault(n, 401, "")
			}
		}
		stranger.send(`{"msgType":1,"USERID":"x","password":"x"}`)
		stranger.wantFault(1, 400, "USERID")

		pair := users(t, c, 2)
		a := pair[0]
		frames := newBodies(a.id, pair[1].id, 0)
		const nobody = "9007199254740991"
		for _, tt := range []struct {
			msgType, code int
			field, rest   string
		}{
			{4, 400, "msg", `"FROMID":#,"TOID":@`},
			{4, 403, "", `"FROMID":#,"TOID":@,"msg":"x"`},
			{4, 404, "", `"TOID":@,"msg":"x"`},
			{5, 403, "", `"FROMID":#,"TOID":@,"seq":1`},
			{5, 404, "", `"TOID":@,"seq":1`},
			{5, 404, "", `"GROUPID":@,"seq":1`},
			{6, 400, "U2", `"U1":#,"U2":0`},
			{6, 403, "", `"U1":#,"U2":@`},
			{6, 404, "", `"U2":@`},
			{9, 400, "msg", `"FROMID":#,"GROUPID":@,"msg":""`},
			{9, 403, "", `"FROMID":#,"GROUPID":@,"msg":"x"`},
			{9, 404, "", `"GROUPID":@,"msg":"x"`},
			{10, 403, "", `"FROMID":#,"GROUPID":@`},
			{10, 404, "", `"GROUPID":@`},
			{16, 403, "", `"FROMID":#,"TOID":@`},
			{16, 404, "", `"TOID":@`},
			{16, 404, "", `"GROUPID":@`},
		} {
			a.write(frames.fill(`"msgType":`+js(tt.msgType)+","+tt.rest, nobody))
			a.wantFault(tt.msgType, tt.code, tt.field)
		}
	})
}
