package e2e

import (
	"fmt"
	"testing"
)

// TestHistory reads conversations by seq, from both ends.
func TestHistory(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		all := users(t, c, 3)
		a, b, stranger := all[0], all[1], all[2]
		group := createGroup(a, b)
		const count = 130
		ids := make(map[string][]string) // conversation → msgId of each seq
		for range count {
			a.send(`{"msgType":4,"TOID":%d,"msg":"pair"}`, b.id)
			a.send(`{"msgType":9,"GROUPID":%d,"msg":"group"}`, group)
		}
		for range 2 * count {
			f := a.reply()
			kind := "pair"
			if f.int("msgType") == 109 {
				kind = "group"
			}
			ids[kind] = append(ids[kind], f.str("msgId"))
		}
		distinct := make(map[string]bool)
		for _, id := range append(ids["pair"], ids["group"]...) {
			distinct[id] = true
		}
		if len(distinct) != 2*count {
			t.Fatalf("%d msgIds for %d messages", len(distinct), 2*count)
		}

		for _, tt := range []struct {
			rest        string
			first, last int // seqs expected
			more        bool
		}{
			{`"after":0,"limit":100`, 1, 100, true},
			{`"after":100,"limit":100`, 101, 130, false},
			{`"after":12,"limit":1`, 13, 13, true},
			{`"after":0,"limit":7`, 1, 7, true},
			{`"after":120,"limit":10`, 121, 130, false},
			{`"after":120,"limit":9`, 121, 129, true},
			{`"after":129`, 130, 130, false},
			{`"after":130`, 1, 0, false},
			{`"after":9007199254740991`, 1, 0, false},
			{`"before":131,"limit":100`, 31, 130, true},
			{`"before":31,"limit":100`, 1, 30, false},
			{`"before":8,"limit":7`, 1, 7, false},
			{`"before":8,"limit":6`, 2, 7, true},
			{`"before":1`, 1, 0, false},
			{`"before":9007199254740991,"limit":2`, 129, 130, true},
		} {
			for _, reader := range []*client{a, b} {
				pair := fmt.Sprintf(`"TOID":%d`, a.id+b.id-reader.id)
				reader.wantHistory(pair, tt.rest, "pair", ids["pair"], tt.first, tt.last, tt.more)
				reader.wantHistory(fmt.Sprintf(`"GROUPID":%d`, group), tt.rest, "group", ids["group"], tt.first, tt.last, tt.more)
			}
		}

		t.Log("only for those whom it concerns")
		stranger.send(`{"msgType":16,"GROUPID":%d}`, group)
		stranger.wantFault(16, 403, "")
		stranger.send(`{"msgType":5,"GROUPID":%d,"seq":1}`, group)
		stranger.wantFault(5, 403, "")
		stranger.match(stranger.call(`{"msgType":16,"TOID":%d}`, a.id),
			`{"msgType":116,"code":0,"messages":[],"more":false,"lastSeq":0}`)
	})
}

// wantHistory asks for a part of a conversation of 130 messages.
func (c *client) wantHistory(which, rest, msg string, ids []string, first, last int, more bool) {
	c.t.Helper()
	f := c.call(`{"msgType":16,%s,%s}`, which, rest)
	c.must(f, `{"msgType":116,"code":0,"messages":"$any","more":%t,"lastSeq":130}`, more)
	messages := f.list("messages")
	if len(messages) != last-first+1 {
		c.fail("%d messages for %s, want %d to %d", len(messages), rest, first, last)
	}
	for i, m := range messages {
		seq := first + i
		c.must(m, `{"msgType":"$id","FROMID":"$id","TOID?":"$id","GROUPID?":"$id","msg":%s,"seq":%d,"msgId":%s,"time":"$time"}`,
			js(msg), seq, js(ids[seq-1]))
	}
}
