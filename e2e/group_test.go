package e2e

import (
	"fmt"
	"testing"
)

// TestMembership lets only members chat in a group, and shows them what comes
// after they joined.
func TestMembership(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		all := users(t, c, 3)
		a, b, late := all[0], all[1], all[2]
		group := createGroup(a, b)
		late.send(`{"msgType":9,"GROUPID":%d,"msg":"let me in"}`, group)
		late.wantFault(9, 403, "")
		for i := range 3 {
			msg := fmt.Sprint("early ", i)
			b.wantGroupChat(a.id, msg, a.chatGroup(group, msg))
		}
		late.must(late.call(`{"msgType":10,"FROMID":%d,"GROUPID":%d}`, late.id, group),
			`{"msgType":110,"code":0,"GROUPID":%d,"name":"$text","description":"made by a test"}`, group)
		late.match(late.call(`{"msgType":14}`), `{"msgType":114,"code":0,"messages":[],"more":false}`)
		late.must(late.call(`{"msgType":16,"GROUPID":%d,"after":0}`, group),
			`{"msgType":116,"code":0,"messages":[],"more":false,"lastSeq":3}`)

		ack := a.chatGroup(group, "welcome")
		a.must(ack, `{"msgType":109,"code":0,"GROUPID":%d,"seq":4,"msgId":"$text","time":"$time"}`, group)
		b.wantGroupChat(a.id, "welcome", ack)
		late.wantGroupChat(a.id, "welcome", ack)
		ack = late.chatGroup(group, "thanks")
		a.wantGroupChat(late.id, "thanks", ack)
		b.wantGroupChat(late.id, "thanks", ack)
		late.must(late.call(`{"msgType":16,"GROUPID":%d,"after":0}`, group), `{"msgType":116,"code":0,"more":false,"lastSeq":5,"messages":[
			{"msgType":9,"FROMID":%d,"GROUPID":%d,"msg":"welcome","seq":4,"msgId":"$text","time":"$time"},
			{"msgType":9,"FROMID":%d,"GROUPID":%[2]d,"msg":"thanks","seq":5,"msgId":"$text","time":"$time"}]}`,
			a.id, group, late.id)
	})
}

// TestGroupOrder has several members of a group of 20 chat at once: all members, on
// all edges, see the same messages in the same order.
func TestGroupOrder(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		const members, senders, each = 20, 4, 15
		all := users(t, c, members)
		group := createGroup(all...)
		for i := range each {
			for s := range senders {
				all[s].send(`{"msgType":9,"GROUPID":%d,"msg":"%d %d"}`, group, s, i)
			}
		}
		history := make([]string, senders*each+1) // by seq
		for s := range senders {
			last := int64(0)
			for i := range each {
				f := all[s].wantReply(`{"msgType":109,"code":0,"GROUPID":%d,"seq":"$id","msgId":"$text","time":"$time"}`, group)
				seq := f.int("seq")
				if seq <= last || seq >= int64(len(history)) || history[seq] != "" {
					all[s].fail("seq %d after %d; %q has it", seq, last, history[min(seq, int64(len(history)-1))])
				}
				last = seq
				history[seq] = fmt.Sprintf("%d %d", s, i)
			}
		}
		for s, m := range all {
			for seq := 1; seq < len(history); seq++ {
				if own := fmt.Sprintf("%d ", s); s < senders && history[seq][:len(own)] == own {
					continue // it sent this one itself
				}
				m.wantPush(`{"msgType":9,"FROMID":"$id","GROUPID":%d,"msg":%s,"seq":%d,"msgId":"$text","time":"$time"}`,
					group, js(history[seq]), seq)
			}
			m.ping()
		}
	})
}
