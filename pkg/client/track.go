package client

import (
	"cmp"
	"slices"

	"sponge/pkg/protocol"
)

// conversation is what is known of one: every seq below next was handed over,
// or was this client's own. Only for the client's goroutine.
type conversation struct {
	id   protocol.Conversation
	next int64    // 0: where to begin is not known yet
	held []*Frame // above a hole, by seq

	paged   int64 // the highest that 14 has brought
	dirty   bool
	filling bool  // a 16 is under way
	before  int64 // up to where it asks; 0: to the end
	tail    bool  // to be asked to the end, after what is under way
	tries   int   // its refusals so far
}

// push takes a chat frame as it comes from the wire.
func (c *Client) push(f *Frame) {
	if c.cfg.Raw {
		if c.cfg.OnPush != nil {
			c.cfg.OnPush(f)
		}
		return
	}
	conv := c.conversation(f.Conversation())
	c.arrived(conv, f)
	c.goOn(conv)
}

func (c *Client) conversation(id protocol.Conversation) *conversation {
	conv := c.convs[id]
	if conv == nil {
		conv = &conversation{id: id}
		c.convs[id] = conv
	}
	return conv
}

// arrived hands over what is in turn, and holds back what is early, or of a
// conversation whose begin is not known; it reports whether f is new. f is
// copied where it is kept. A frame without a body stands for one of this
// client's own.
func (c *Client) arrived(conv *conversation, f *Frame) bool {
	if conv.next == 0 && f.Seq == 1 {
		conv.next = 1
	}
	if conv.next > 0 && f.Seq == conv.next {
		c.hand(conv, f)
		c.drain(conv)
		return true
	}
	if f.Seq > conv.next {
		i, there := slices.BinarySearchFunc(conv.held, f.Seq, func(h *Frame, seq int64) int { return cmp.Compare(h.Seq, seq) })
		if !there {
			conv.held = slices.Insert(conv.held, i, f.Clone())
			return true
		}
		if f.msg == nil { // it came as a push, too: it was sent on a connection that broke
			conv.held[i] = f.Clone()
			return true
		}
	}
	c.count(func(s *Stats) { s.Dropped++ })
	c.touch(conv) // perhaps it comes again because the confirmation was lost
	return false
}

// goOn asks for what the first frame that is held back waits for.
func (c *Client) goOn(conv *conversation) {
	switch {
	case len(conv.held) == 0:
	case conv.next == 0:
		c.locate(conv)
	case c.paging.busy && conv.held[0].Seq > conv.paged: // 14 may bring what is missing; see afterPaging
	default:
		c.history(conv, conv.held[0].Seq)
	}
}

func (c *Client) hand(conv *conversation, f *Frame) {
	conv.next = f.Seq + 1
	if f.msg == nil {
		return // one's own need no confirmation
	}
	if c.cfg.OnPush != nil {
		c.cfg.OnPush(f)
	}
	c.touch(conv)
}

// drain hands over what was held back and is in turn now.
func (c *Client) drain(conv *conversation) {
	n := 0
	for n < len(conv.held) && conv.held[n].Seq <= conv.next {
		if f := conv.held[n]; f.Seq == conv.next {
			c.hand(conv, f)
		}
		n++
	}
	conv.held = slices.Delete(conv.held, 0, n)
}

func (c *Client) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// acked notes the number of a message of this client's own: no push of it
// will come here.
func (c *Client) acked(f *Frame) {
	id := protocol.GroupOf(f.Group)
	if f.Type == protocol.Chat.Reply() {
		id = protocol.Pair(c.User(), f.To)
	}
	if conv := c.conversation(id); f.Seq >= conv.next {
		c.arrived(conv, &Frame{Raw: f.Raw, Type: f.Type, Seq: f.Seq})
		c.goOn(conv)
	}
}

// joined notes a group that the user is a member of from now on: all that one
// may see of it is new.
func (c *Client) joined(r *Reply) {
	if c.cfg.Raw || r.Err() != nil {
		return
	}
	if conv := c.conversation(protocol.GroupOf(r.Group)); conv.next == 0 {
		conv.next = 1
		c.goOn(conv)
	}
}

// touch notes that a conversation has something to confirm.
func (c *Client) touch(conv *conversation) {
	if c.cfg.Confirm && !conv.dirty {
		conv.dirty = true
		c.dirty = append(c.dirty, conv)
	}
}

// confirm sends a 5 for each conversation that went on. It is not kept until
// it is answered, which it is only if it fails: the next one says the same.
func (c *Client) confirm() {
	if len(c.dirty) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conv := range c.dirty {
		conv.dirty = false
		if c.ready && c.session.user != 0 {
			o := c.addressee(append(c.out, `{"msgType":5`...), conv.id)
			c.out = o.Int("seq", conv.next-1).End()
		}
	}
	c.dirty = c.dirty[:0]
}
