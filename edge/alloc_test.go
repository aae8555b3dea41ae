//go:build !race

package edge

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// discard is a socket that takes everything.
type discard struct{ conn }

func (d *discard) write(b []byte) (int, error)                     { return len(b), nil }
func (d *discard) release()                                        {}
func (d *discard) writeAll(b []byte, _ time.Duration) (int, error) { return len(b), nil }
func (d *discard) resume()                                         {}
func (d *discard) transport() transport                            { return tcp }
func (d *discard) shutdown(Reason)                                 {}
func (d *discard) destroy()                                        {}

// nowhere is a producer that takes everything.
type nowhere struct{ *fakeKafka }

func (nowhere) Enqueue(string, int, *queue.Record, func(*queue.Record, error)) error { return nil }

// loggedIn makes a connection with a session.
func (h *harness) loggedIn(user int64) *discard {
	d := &discard{}
	h.edge.admit(&d.conn, d, netip.MustParseAddrPort("192.0.2.1:1234"))
	d.proof = h.prove(user, d.id, time.Hour)
	return d
}

// TestPushAllocations: a push to a group costs nothing for each member.
func TestPushAllocations(t *testing.T) {
	h := newHarness(t, nil)
	const members = 200
	push := result{Push: true, Payload: []byte(`{"msgType":9,"GROUPID":7,"msg":"hello"}` + "\n")}
	for i := range members {
		push.Conns = append(push.Conns, h.loggedIn(int64(i)+1).id)
	}
	seq := int64(0)
	var entry []byte
	got := testing.AllocsPerRun(100, func() {
		seq++
		push.Shown = []envelope.Range{seqs(protocol.GroupOf(7), seq, seq)}
		entry = push.Append(entry[:0])
		h.edge.entry(entry)
		h.edge.flushDirty()
	})
	if got > 10 {
		t.Errorf("%.1f allocations for a push to %d connections", got, members)
	}
}

// TestFrameAllocations bounds what a chat frame costs from the socket to the
// producer, and back.
func TestFrameAllocations(t *testing.T) {
	h := newHarness(t, nil)
	h.edge.producer = nowhere{h.kafka}
	for i := range h.edge.routes {
		h.edge.routes[i] = newRoute(protocol.Topic(i).Name(), 64)
	}
	c := h.loggedIn(6)
	frame := []byte(`{"msgType":4,"FROMID":6,"TOID":8,"msg":"` + strings.Repeat("x", 100) + `"}` + "\n")
	reply := []byte(fmt.Sprintf(`{"msgType":104,"code":0,"TOID":8,"seq":%d}`+"\n", 1<<40))
	var f protocol.Frame
	var entry []byte
	got := testing.AllocsPerRun(1000, func() {
		if !c.take(frame, &f) {
			t.Fatal("the frame waits")
		}
		r := result{Conns: []uint64{c.id}, Request: c.numbers, Payload: reply}
		entry = r.Append(entry[:0])
		h.edge.entry(entry)
		h.edge.flushDirty()
	})
	if len(c.window) != 0 {
		t.Errorf("%d requests are outstanding", len(c.window))
	}
	if got > 9 {
		t.Errorf("%.1f allocations for a chat frame", got)
	}
}
