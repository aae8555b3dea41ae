package client

import (
	"slices"
	"time"

	"sponge/pkg/protocol"
)

// conversation is what is known of one: every seq below next was handed over,
// or was this client's own. Only for the client's goroutine, but filling,
// which is guarded by Client.mu.
type conversation struct {
	id      protocol.Conversation
	next    int64
	held    []*Frame // above a hole, by seq
	dirty   bool
	filling bool // a 16 is under way
}

// push takes a chat frame as it comes from the wire.
func (c *Client) push(f *Frame) {
	if c.cfg.Raw {
		if c.cfg.OnPush != nil {
			c.cfg.OnPush(f)
		}
		return
	}
	conv := c.conversation(f.Conversation(), f.Seq)
	c.arrived(conv, f)
	c.fill(conv)
}

// conversation finds one; what came before the first seq that is seen of it is
// history.
func (c *Client) conversation(id protocol.Conversation, seq int64) *conversation {
	conv := c.convs[id]
	if conv == nil {
		conv = &conversation{id: id, next: seq}
		c.convs[id] = conv
	}
	return conv
}

// arrived hands over what is in turn, and holds back what is early. f is
// copied where it is kept. A frame without a body stands for one of this
// client's own.
func (c *Client) arrived(conv *conversation, f *Frame) {
	switch {
	case f.Seq < conv.next:
		c.count(func(s *Stats) { s.Dropped++ })
		c.touch(conv) // perhaps it comes again because the confirmation was lost
		return
	case f.Seq > conv.next:
		i, there := slices.BinarySearchFunc(conv.held, f.Seq, func(h *Frame, seq int64) int { return int(h.Seq - seq) })
		if !there {
			conv.held = slices.Insert(conv.held, i, f.Clone())
		}
		return
	}
	c.hand(conv, f)
	c.drain(conv)
}

func (c *Client) hand(conv *conversation, f *Frame) {
	conv.next = f.Seq + 1
	if f.msg != nil && c.cfg.OnPush != nil {
		c.cfg.OnPush(f)
	}
	c.touch(conv)
}

// drain hands over what a filled hole has held back.
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
	if conv := c.conversation(id, f.Seq); f.Seq >= conv.next {
		own := Frame{Raw: f.Raw, Type: f.Type, Seq: f.Seq}
		c.arrived(conv, &own)
		c.fill(conv)
	}
}

// fill asks for what is missing below the first message that is held back.
func (c *Client) fill(conv *conversation) {
	if len(conv.held) > 0 {
		c.history(conv, conv.next-1)
	}
}

// history asks for what follows a seq. A page that is under way will do, since
// nothing is handed over meanwhile but by it.
func (c *Client) history(conv *conversation, after int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conv.filling {
		return
	}
	c.numbers++
	o := c.addressee(nil, conv.id).Int("after", after).Int("limit", protocol.MaxPage)
	conv.filling = c.post(c.numbers, protocol.History, o, 0, func(r *Reply) { c.filled(conv, r) }) == nil
	c.flush()
}

// addressee names a conversation the way 5 and 16 do.
func (c *Client) addressee(o protocol.Object, id protocol.Conversation) protocol.Object {
	if id.IsGroup() {
		return o.Int("GROUPID", id.Group())
	}
	return o.Int("TOID", id.Other(c.session.user))
}

// retryAfter is the pause after a page that was refused for the moment.
const retryAfter = 500 * time.Millisecond

// filled takes a page of history.
func (c *Client) filled(conv *conversation, r *Reply) {
	c.mu.Lock()
	conv.filling = false
	c.mu.Unlock()
	if c.convs[conv.id] != conv {
		return // logged out meanwhile
	}
	var messages []*Frame
	var more bool
	err := r.Err()
	if err == nil {
		messages, more, err = r.Messages()
	}
	switch {
	case r.Ended != nil:
		return
	case r.Code == protocol.NotAccepted || r.Code == protocol.Unknown:
		after := conv.next - 1
		time.AfterFunc(retryAfter, func() { c.history(conv, after) })
		return
	case err != nil:
		c.cfg.Log.Warn("a hole cannot be filled", "conversation", conv.id, "after", conv.next-1, "error", err)
		c.skip(conv)
		return
	}
	if len(conv.held) > 0 {
		c.count(func(s *Stats) { s.Gaps++ })
	}
	for _, f := range messages {
		if f.Seq >= conv.next {
			conv.next = f.Seq // what the page leaves out is not for this user
			for len(conv.held) > 0 && conv.held[0].Seq < f.Seq {
				conv.held = conv.held[1:]
			}
			if len(conv.held) > 0 && conv.held[0].Seq == f.Seq {
				f = conv.held[0] // it may be this client's own
				conv.held = conv.held[1:]
			}
			c.hand(conv, f)
		}
	}
	c.drain(conv)
	switch {
	case more && len(messages) > 0:
		c.history(conv, conv.next-1)
	case len(conv.held) > 0:
		c.skip(conv)
	}
}

// skip goes on behind a hole that nothing fills: what was said before the user
// joined a group, or after leaving it.
func (c *Client) skip(conv *conversation) {
	if len(conv.held) > 0 {
		conv.next = conv.held[0].Seq
		c.drain(conv)
		c.fill(conv)
	}
}

// catchUp fetches what arrived while there was no connection: 14 has what
// reached none of the user's devices, 16 what reached another one.
func (c *Client) catchUp() {
	if c.cfg.Raw {
		return
	}
	c.offline()
	for _, conv := range c.convs {
		c.history(conv, conv.next-1)
	}
}

func (c *Client) offline() {
	// An error means that the client has ended.
	_ = c.Post(protocol.Offline, nil, 0, func(r *Reply) {
		if r.Code == protocol.NotAccepted || r.Code == protocol.Unknown {
			time.AfterFunc(retryAfter, c.offline)
			return
		}
		if r.Err() != nil {
			return
		}
		messages, more, err := r.Messages()
		if err != nil {
			c.cfg.Log.Warn("offline messages cannot be read", "error", err)
			return
		}
		for _, f := range messages {
			c.push(f)
		}
		c.confirm()
		if more {
			c.offline()
		}
	})
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
