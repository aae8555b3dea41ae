package workers

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

// entries collects a job's results by node.
type entries struct {
	namespace string
	byNode    map[string]*nodeEntry
	shown     [1]envelope.Range
}

type nodeEntry struct {
	full  [][]byte // entries that reached channel.MaxEntry
	last  []byte
	conns []uint64 // of the push at hand
}

// Bounds of the buffers that are kept from one batch to the next.
const (
	maxNodes = 100
	maxKept  = 64 << 10 // bytes for one node
)

// reset begins a batch. Buffers stay: what was sent is with Redis.
func (e *entries) reset() {
	if len(e.byNode) > maxNodes {
		clear(e.byNode)
	}
	for _, n := range e.byNode {
		n.full, n.conns = nil, n.conns[:0]
		if n.last = n.last[:0]; cap(n.last) > maxKept {
			n.last = nil
		}
	}
}

func (e *entries) node(name string) *nodeEntry {
	n := e.byNode[name]
	if n == nil {
		n = &nodeEntry{}
		e.byNode[name] = n
	}
	return n
}

func (n *nodeEntry) add(r *channel.Result) {
	if len(n.last) > 0 && len(n.last)+len(r.Payload) > channel.MaxEntry {
		n.full = append(n.full, n.last)
		n.last = nil
	}
	n.last = r.Append(n.last)
}

func (e *entries) reply(f *Frame, o *Outcome, where *whereabouts) {
	if f.broken != nil || o.Unsettled && f.Envelope.Request == 0 {
		return
	}
	if o.Unsettled {
		e.node(f.Envelope.Node).add(&channel.Result{Conns: []uint64{f.Envelope.Conn}, Request: f.Envelope.Request, Unsettled: true})
		return
	}
	r := channel.Result{Conns: []uint64{f.Envelope.Conn}, Request: f.Envelope.Request, Payload: o.Reply,
		Shown: o.Shown, Cursors: o.Cursors, CaughtUp: o.CaughtUp, Session: o.Session, Proof: o.Proof, Confirm: o.Confirm}
	if o.More {
		r.More, r.Since = true, f.Envelope.Since
	}
	if r.Proof != nil {
		r.Life = time.Until(r.Proof.Expiry()) // by the clock that it was signed by
	}
	if o.Render != nil {
		r.Payload = o.Render(where.online)
	}
	e.node(f.Envelope.Node).add(&r)
}

func (e *entries) push(f *Frame, p *Push, to []member, where *whereabouts) {
	for _, m := range to {
		if m.joined >= p.Seq {
			continue
		}
		for _, place := range where.places[m.user] {
			if place.Conn == f.Envelope.Conn && place.Node == f.Envelope.Node {
				continue
			}
			n := e.node(place.Node)
			n.conns = append(n.conns, place.Conn)
		}
	}
	e.shown[0] = envelope.Range{Conversation: p.Conversation, From: p.Seq, To: p.Seq}
	for _, n := range e.byNode {
		if len(n.conns) > 0 {
			n.add(&channel.Result{Push: true, Conns: n.conns, Sender: f.User, Payload: p.Payload, Shown: e.shown[:]})
			n.conns = n.conns[:0]
		}
	}
}

// add collects all that a job gave.
func (e *entries) add(j *job, members map[protocol.Conversation][]member, where *whereabouts) {
	for i, f := range j.frames {
		o := &j.outcomes[i]
		e.reply(f, o, where)
		if o.Push != nil {
			e.push(f, o.Push, members[o.Push.Conversation], where)
		}
	}
}

// pushes collects what a job has for others than its frames' senders.
func (e *entries) pushes(j *job, members map[protocol.Conversation][]member, where *whereabouts) {
	if len(where.places) == 0 {
		return
	}
	for i, f := range j.frames {
		if p := j.outcomes[i].Push; p != nil {
			e.push(f, p, members[p.Conversation], where)
		}
	}
}

func (e *entries) empty() bool {
	for _, n := range e.byNode {
		if len(n.full) > 0 || len(n.last) > 0 {
			return false
		}
	}
	return true
}

// send has the entries added to the nodes' streams by a pipeline; the function
// tells how that went. A node whose stream is gone has died: its results vanish
// with it.
func (e *entries) send(ctx context.Context, pipe redis.Pipeliner) func() error {
	var cmds []*redis.StringCmd
	for name, n := range e.byNode {
		if len(n.last) > 0 {
			n.full = append(n.full, n.last)
		}
		for _, entry := range n.full {
			cmds = append(cmds, pipe.XAdd(ctx, &redis.XAddArgs{Stream: channel.Key(e.namespace, name), NoMkStream: true,
				MaxLen: channel.MaxEntries, Approx: true, ID: "0-*", Values: []any{channel.Field, entry}}))
		}
	}
	return func() error {
		for _, cmd := range cmds {
			if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
		}
		return nil
	}
}
