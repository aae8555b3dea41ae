package client

import (
	"math/rand/v2"
	"slices"
	"time"

	"sponge/pkg/protocol"
)

// catchUp fetches what arrived while there was no connection: 14 has what
// reached none of the user's devices; then 16 what reached another one, or was
// written to the connection that broke.
func (c *Client) catchUp() {
	if c.cfg.Raw {
		return
	}
	for _, conv := range c.convs {
		conv.tail = conv.next > 0
	}
	c.paging.again = c.paging.busy
	c.page()
}

// history asks for what follows the last message that was handed over: up to
// before, where a hole ends, so that nothing comes twice that is on its way as
// a push; or to the end with 0.
func (c *Client) history(conv *conversation, before int64) {
	if conv.filling {
		conv.tail = conv.tail || before == 0 && conv.before > 0
		return
	}
	conv.filling, conv.before, conv.tries = true, before, 0
	c.fills++
	// An error means that the client has ended.
	_ = c.Post(protocol.History, c.hole(conv), 0, func(r *Reply) { c.filled(conv, r) })
}

func (c *Client) hole(conv *conversation) protocol.Object {
	c.mu.Lock()
	o := c.addressee(nil, conv.id)
	c.mu.Unlock()
	o = o.Int("after", conv.next-1)
	if conv.before > 0 {
		o = o.Int("before", conv.before)
	}
	return o.Int("limit", protocol.MaxPage)
}

// addressee names a conversation the way 5 and 16 do.
func (c *Client) addressee(o protocol.Object, id protocol.Conversation) protocol.Object {
	if id.IsGroup() {
		return o.Int("GROUPID", id.Group())
	}
	return o.Int("TOID", id.Other(c.session.user))
}

// retryAfter is the first pause after a page that was refused for the moment;
// each further one is twice as long, up to 64 times.
const retryAfter = 250 * time.Millisecond

// later posts a frame after a pause with jitter.
func (c *Client) later(tries int, t protocol.Type, fields protocol.Object, done func(*Reply)) {
	pause := retryAfter << min(tries, 6)
	// An error means that the client has ended.
	time.AfterFunc(pause+rand.N(pause), func() { _ = c.Post(t, fields, 0, done) })
}

// passing reports whether a page that was refused may be had later. Reading
// changes nothing, so a fault of the server (500) is worth a retry, too.
func passing(code protocol.Code) bool {
	return code == protocol.Internal || again(code)
}

// filled takes a page of history.
func (c *Client) filled(conv *conversation, r *Reply) {
	if c.Err() != nil {
		return
	}
	here := c.convs[conv.id] == conv // else: logged out meanwhile
	retry := here && passing(r.Code)
	if conv.tries == 0 {
		c.fills-- // what is refused holds up no other conversation
	}
	if retry {
		c.cfg.Log.Warn("history is not to be had", "conversation", conv.id, "after", conv.next-1, "error", r.Err())
		c.later(conv.tries, protocol.History, c.hole(conv), func(r *Reply) { c.filled(conv, r) })
		conv.tries++
	} else {
		conv.filling = false
		if here {
			c.take(conv, r)
		}
	}
	c.turn()
	c.nextTails()
}

// take hands over a page of history, and what was held back behind it.
func (c *Client) take(conv *conversation, r *Reply) {
	var messages []*Frame
	var more bool
	err := r.Err()
	if err == nil {
		messages, more, err = r.Messages()
	}
	if err != nil {
		c.cfg.Log.Warn("a hole cannot be filled", "conversation", conv.id, "after", conv.next-1, "error", err)
	}
	filled := false
	for _, f := range messages {
		// What the page leaves out is not for this user; what was held back may
		// be this client's own.
		for len(conv.held) > 0 && conv.held[0].Seq <= f.Seq {
			conv.next = max(conv.next, conv.held[0].Seq)
			c.drain(conv)
		}
		if f.Seq >= conv.next {
			filled = true
			c.hand(conv, f)
		}
	}
	if filled && conv.before > 0 {
		c.count(func(s *Stats) { s.Gaps++ })
	}
	if more && len(messages) > 0 {
		c.history(conv, conv.before)
		return
	}
	conv.next = max(conv.next, conv.before) // said before the user joined, or after leaving
	c.drain(conv)
	if conv.tail && !c.paging.busy {
		conv.tail = false
		c.history(conv, 0)
		return
	}
	c.goOn(conv)
}

// paging is the fetching of offline messages, a page after the other until
// there are no more. Only for the client's goroutine.
type paging struct {
	busy  bool
	taken bool // the last page was, and waits for its holes to be filled
	more  bool // it was not the last
	again bool // to be done once more, since there was a reconnect meanwhile
	tries int  // pages in a row that were refused, or brought nothing

	refused bool // a confirmation was: to be done once more, after a pause

	// Conversations whose begin is not known: it is at the end of this paging
	// where it started after their first frame, else at the end of the next.
	located, waiting []*conversation
}

// locate finds out where a conversation begins that this client did not know
// and of which a later message than the first has come: an earlier one may be
// undelivered still, and come with 14 only.
func (c *Client) locate(conv *conversation) {
	if len(conv.held) == 1 { // else it is under way
		c.paging.waiting = append(c.paging.waiting, conv)
		c.page()
	}
}

// page begins a paging, unless one is under way.
func (c *Client) page() {
	p := &c.paging
	if p.busy {
		return
	}
	p.busy = true
	p.located, p.waiting = p.waiting, p.located[:0]
	if p.refused {
		p.refused = false
		c.pageLater()
		return
	}
	_ = c.Post(protocol.Offline, nil, 0, c.paged)
}

// paged takes a page of offline messages.
func (c *Client) paged(r *Reply) {
	p := &c.paging
	if c.Err() != nil {
		return
	}
	if passing(r.Code) {
		c.cfg.Log.Warn("offline messages are not to be had", "error", r.Err())
		c.pageLater()
		return
	}
	var messages []*Frame
	err := r.Err()
	p.more = false
	if err == nil {
		messages, p.more, err = r.Messages()
	}
	if err != nil {
		c.cfg.Log.Warn("offline messages cannot be read", "error", err)
	}
	fresh := false
	for _, f := range messages {
		conv := c.conversation(f.Conversation())
		if conv.next == 0 { // the oldest comes first
			conv.next = f.Seq
			if len(conv.held) > 0 {
				conv.next = min(conv.next, conv.held[0].Seq)
			}
			c.drain(conv)
		}
		conv.paged = max(conv.paged, f.Seq)
		fresh = c.arrived(conv, f) || fresh
	}
	for _, f := range messages {
		c.goOn(c.conversation(f.Conversation()))
	}
	if p.more && !fresh { // the confirmations were not accepted, or a hole stays
		c.confirm()
		c.pageLater()
		return
	}
	p.taken, p.tries = true, 0
	c.turn()
}

func (c *Client) pageLater() {
	c.later(c.paging.tries, protocol.Offline, nil, c.paged)
	c.paging.tries++
}

// turn goes on with the next page, or ends the paging. A page's holes are
// filled first: what is held back is not confirmed, and would come again.
func (c *Client) turn() {
	p := &c.paging
	if !p.taken || c.fills > 0 {
		return
	}
	p.taken = false
	if p.more {
		c.confirm()
		_ = c.Post(protocol.Offline, nil, 0, c.paged)
		return
	}
	p.busy = false
	for _, conv := range p.located {
		if conv.next == 0 && len(conv.held) > 0 && c.convs[conv.id] == conv {
			conv.next = conv.held[0].Seq // what came before is history
			c.drain(conv)
		}
	}
	p.located = p.located[:0]
	if !p.again {
		c.afterPaging()
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(conv *conversation) bool { return conv.next > 0 || c.convs[conv.id] != conv })
	if p.again || p.refused || len(p.waiting) > 0 {
		p.again = false
		c.page()
	}
}

// afterPaging fetches what 14 has not brought.
func (c *Client) afterPaging() {
	for _, conv := range c.convs {
		switch {
		case conv.next == 0:
		case len(conv.held) > 0:
			c.history(conv, conv.held[0].Seq)
		case conv.tail:
			c.tails = append(c.tails, conv)
		}
	}
	c.nextTails()
}

// maxTails bounds the pages of history that are asked for at once after a
// reconnect: each is waited for by all that the program sends meanwhile.
const maxTails = 4

func (c *Client) nextTails() {
	for len(c.tails) > 0 && c.fills < maxTails && !c.paging.busy {
		conv := c.tails[0]
		c.tails = slices.Delete(c.tails, 0, 1)
		if conv.tail && c.convs[conv.id] == conv {
			conv.tail = false
			c.history(conv, 0)
		}
	}
}

// refused takes the answer to a confirmation that failed. 14 brings what is not
// confirmed once more.
func (c *Client) refused(f *Frame) {
	if passing(f.Code) && !c.cfg.Raw {
		c.paging.refused = true
		c.page() // or when the present paging has ended
	}
}
