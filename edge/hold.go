package edge

import (
	"slices"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

// hold is what has come for a connection while a 14 is outstanding, since a
// worker may have put the same messages into its answer; or for a user whose
// login is about to be answered.
type hold struct {
	list  []held
	bytes int
	full  bool // it was too much: what comes is written
}

type held struct {
	payload []byte
	shown   []envelope.Range
	sender  int64
}

// holder is the request whose answer messages must wait for, or nil: a 14, or a
// login whose presence entry is being written. Both are barriers: nothing else
// is outstanding with them.
func (c *conn) holder() *request {
	n := len(c.window)
	if n == 0 {
		return nil
	}
	if r := c.window[n-1]; r.typ == protocol.Offline || r.binding && c.proof == nil && r.typ == protocol.Login {
		return r
	}
	return nil
}

// others is who sent what cannot be the user's own.
const others = -1

// receive takes messages that the client did not ask for, from one sender, 0
// where nobody said which. payload and shown are not kept.
func (c *conn) receive(payload []byte, shown []envelope.Range, sender int64) {
	f := c.holder()
	if f == nil || len(payload) == 0 || f.hold != nil && f.hold.full {
		c.show(payload, shown, sender)
		return
	}
	if f.hold == nil {
		f.hold = &hold{}
	}
	h := f.hold
	h.list = append(h.list, held{slices.Clone(payload), slices.Clone(shown), sender})
	// With the page, it must fit what may wait for the client. Beyond, better
	// twice than not at all.
	if h.bytes += len(payload); h.bytes > c.mostHeld(f) {
		c.letGo(f)
		f.hold = &hold{full: true}
	}
}

// besidePage is what may wait for a client beside a page and what is held.
const besidePage = 64 << 10

// mostHeld is how many bytes a request may hold. A login cannot let go before
// it is answered, but its answer is small.
func (c *conn) mostHeld(f *request) int {
	most := c.edge.cfg.MaxOutbound / 2
	if f.typ == protocol.Offline {
		most = min(most, c.edge.cfg.MaxOutbound-protocol.MaxOutbound-besidePage)
	}
	return max(most, 0)
}

// letGo writes what a request holds, but what the client has been shown since.
func (c *conn) letGo(f *request) {
	h := f.hold
	if f.hold = nil; h == nil {
		return
	}
	for _, m := range h.list {
		if c.state != open {
			return
		}
		c.show(m.payload, m.shown, m.sender)
	}
}

// show writes messages that the client was not shown yet. For the user's own,
// from elsewhere, only earlier pushes of them count: a 14's ranges run over them,
// but its page leaves them out.
func (c *conn) show(payload []byte, shown []envelope.Range, sender int64) {
	if c.proof == nil {
		c.edge.metrics.drops[NotLoggedIn].Inc()
		return
	}
	switch sender {
	case 0:
		c.send(payload, shown, !c.confirm)
	case c.user():
		if c.marks != nil && len(shown) == 1 && c.marks.own.has(shown[0]) {
			c.edge.metrics.drops[Shown].Inc()
			return
		}
		c.send(payload, shown, !c.confirm)
		c.rememberOwn(shown)
	default:
		payload, shown = c.unseen(payload, shown)
		c.send(payload, shown, !c.confirm)
	}
}
