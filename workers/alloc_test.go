//go:build !race

package workers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// TestPushAllocations: a push to a group costs nothing for each member.
func TestPushAllocations(t *testing.T) {
	const members = 200
	where := &whereabouts{places: map[int64][]presence.Place{}}
	var to []member
	for user := int64(1); user <= members; user++ {
		to = append(to, member{user: user})
		where.places[user] = []presence.Place{{Node: fmt.Sprintf("edge%d:1", user%3), Conn: uint64(user)}}
	}
	out := &entries{byNode: map[string]*nodeEntry{}}
	f := &Frame{User: 1, Envelope: envelope.Envelope{Node: "edge1:1", Conn: 1}}
	push := &Push{Conversation: protocol.GroupOf(7), Seq: 1, Payload: []byte(`{"msgType":9,"GROUPID":7,"msg":"hello"}` + "\n")}
	got := testing.AllocsPerRun(100, func() {
		out.reset()
		out.push(f, push, to, where)
	})
	if got > 3 { // one a node
		t.Errorf("%.1f allocations for a push to %d members", got, members)
	}
}

// chatRecord is a chat message as an edge publishes it.
func chatRecord(tb testing.TB, key *keys.WorkerKey) *queue.Message {
	tb.Helper()
	_, session := keys.NewToken()
	text := []byte(`{"msgType":4,"FROMID":6,"TOID":8,"id":"1.2","msg":"` + strings.Repeat("x", 100) + `"}`)
	var f protocol.Frame
	if _, err := f.Parse(text); err != nil {
		tb.Fatal(err)
	}
	env := envelope.Envelope{FrameID: f.NewFrameID(6), Node: "edge1:0123abcd", Conn: 7, Request: 9, Arrival: time.Now().UnixMilli(),
		Peer: "192.0.2.1:7", Proof: key.Prove(6, session, "edge1:0123abcd", 7, time.Now().Add(time.Hour))}
	return &queue.Message{Key: f.AppendKey(nil, 6, env.Node, env.Conn), Value: text, Header: env.Append(nil)}
}

// TestParseAllocations bounds what a record costs until a handler has it.
func TestParseAllocations(t *testing.T) {
	parse := parsing(t)
	if got := testing.AllocsPerRun(1000, parse); got > 2 {
		t.Errorf("%.1f allocations for a chat frame", got)
	}
}

// BenchmarkParse is what a record costs until a handler has it.
func BenchmarkParse(b *testing.B) {
	parse := parsing(b)
	b.ReportAllocs()
	for b.Loop() {
		parse()
	}
}

func parsing(tb testing.TB) func() {
	key, err := keys.ParseWorkerKey(keys.Generate())
	if err != nil {
		tb.Fatal(err)
	}
	m, p, now := chatRecord(tb, key), &partition{id: 1}, time.Now()
	pr := newParser(protocol.TopicStorage, key)
	var f Frame
	return func() {
		f = Frame{}
		if pr.parse(&f, p, m, now); f.broken != nil || f.User != 6 {
			tb.Fatal("not parsed", f.broken, f.User)
		}
	}
}
