package edge

import (
	"math"
	"slices"
	"time"

	"sponge/pkg/channel"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
)

// entry takes one entry of the channel. Called by the channel's reader, as are
// result, deliver and flushDirty.
func (e *Edge) entry(data []byte) {
	e.metrics.entries.Inc()
	if err := channel.Decode(data, e.result); err != nil {
		e.log.Error("an entry of the channel cannot be read", "error", err)
	}
}

func (e *Edge) result(r *channel.Result) {
	e.metrics.results.Add(float64(len(r.Conns)))
	for _, place := range r.Conns {
		c := e.table.get(place & (1<<placeShift - 1))
		if c == nil {
			e.metrics.drops[Gone].Inc()
			continue
		}
		if !c.dirty {
			c.dirty = true
			e.dirty = append(e.dirty, c)
		}
		c.mu.Lock()
		switch {
		case c.state != open || c.place() != place: // closed or logged out since the worker looked
			e.metrics.drops[Gone].Inc()
		case r.Push:
			c.receive(r.Payload, r.Shown, r.Sender)
		case r.Request == 0:
			c.ownResult(r)
		default:
			c.reply(r)
		}
		c.mu.Unlock()
	}
}

// flushDirty writes what a read of the channel has brought: once for each
// connection, however many results it got.
func (e *Edge) flushDirty() {
	for i, c := range e.dirty {
		c.dirty = false
		c.mu.Lock()
		c.flush()
		c.mu.Unlock()
		e.dirty[i] = nil
	}
	e.dirty = e.dirty[:0]
}

// maxAsked is how often a frame is published again because it is unsettled.
const maxAsked = 3

// reply takes the answer to a client's frame. One that is not outstanding was
// answered before, by a deadline or an earlier copy.
func (c *conn) reply(r *channel.Result) {
	i := c.find(r.Request)
	if i < 0 || c.window[i].binding {
		c.edge.metrics.drops[Answered].Inc()
		return
	}
	req := c.window[i]
	if r.Unsettled {
		// Workers had it from Kafka, whatever the producer knows. Each copy that
		// was handled and not announced is told of: there is an end to that.
		if req.sent = true; req.asked < maxAsked {
			req.asked++
			c.publishAgain(req)
		}
		return
	}
	req.leaveGate(true)
	c.settleMarks(r.Cursors)
	if r.CaughtUp && req.typ == protocol.Offline {
		c.caughtUp = true
	}
	switch r.Session {
	case channel.SessionBound:
		if req.typ == protocol.Login && r.Proof != nil {
			req.binding = true
			c.edge.presence.bind(c, req, r)
			return
		}
	case channel.SessionEnded:
		if req.typ == protocol.Logout && c.proof != nil {
			req.binding = true
			c.edge.presence.unbind(c, req, r)
			c.proof, c.marks, c.confirm, c.caughtUp = nil, nil, false, false
			c.logouts++
			c.loggedOut = c.edge.now()
			return
		}
	case channel.SessionRevoked:
		c.complete(i, r.Payload, r.Shown)
		c.close(SessionRevoked)
		return
	}
	c.complete(i, r.Payload, r.Shown)
}

// ownResult takes the answer to a frame that the edge made.
func (c *conn) ownResult(r *channel.Result) {
	if c.proof == nil {
		return
	}
	switch r.Session {
	case channel.SessionBound:
		if p := r.Proof; p != nil && p.User() == c.user() && p.Session() == c.proof.Session() {
			c.prove(p, r.Life)
		}
	case channel.SessionRevoked:
		c.send(r.Payload, nil, false)
		c.close(SessionRevoked)
		return
	}
	c.settleMarks(r.Cursors)
	if c.holder() != nil { // a 14, which is told itself that there is more
		c.receive(r.Payload, r.Shown, others)
		return
	}
	lines, shown := c.unseen(r.Payload, r.Shown)
	c.send(lines, shown, !c.confirm)
	if r.More && len(shown) > 0 && c.state == open {
		c.marks.more, c.marks.since = true, r.Since
		c.flush()
		c.syncOn()
	}
}

// syncOn asks for the rest of a synchronisation, once what it has brought is
// marked: whatever is not would come again. An answer that brings nothing new
// is the last.
func (c *conn) syncOn() {
	if m := c.marks; m != nil && m.more && c.state == open && c.proof != nil && c.out == nil && !c.writing {
		m.more = false
		c.syncFrom(m.since)
	}
}

// prove keeps a proof and notes when it wants to be renewed: at half of its
// life. That is counted from here: the clock by which the proof expires is the
// workers'.
func (c *conn) prove(p *keys.Proof, life time.Duration) {
	c.proof = p
	now := c.edge.now()
	c.life = uint32(min(life/time.Second, math.MaxUint32))
	c.renewAt = now + life.Milliseconds()/2
}

// bound finishes a login once the presence entry is written, or cannot be in
// time.
func (c *conn) bound(op *presenceOp, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.window, op.req)
	if c.state != open || i < 0 {
		c.edge.presence.remove(op.user, op.place) // nobody is there any more
		return
	}
	op.req.binding = false
	switch {
	case err != nil && op.there:
		if c.proof == nil {
			c.edge.presence.remove(op.user, op.place)
		}
		c.giveUp(i, errNotAccepted)
	case op.there:
		if old := c.user(); old != 0 && old != op.user { // workers do not allow it
			c.edge.presence.remove(old, op.place)
			c.marks, c.caughtUp = nil, false
		}
		c.prove(op.proof, op.life)
		c.confirm = op.confirm
		c.caughtUp = c.caughtUp || op.caughtUp
		c.refreshAt = c.edge.now() + refreshEvery(c.id)
		c.complete(i, op.payload, op.shown)
	default: // a logout: what is left of the entry goes by itself
		c.complete(i, op.payload, nil)
	}
	c.flush()
}
