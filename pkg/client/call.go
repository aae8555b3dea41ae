package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sponge/pkg/protocol"
)

// call is a frame that is not answered yet.
type call struct {
	number uint64
	user   int64 // who posted it first; 0 for nobody
	tag    int64
	sent   bool   // on some connection
	left   bool   // nobody waits for its answer any more
	line   []byte // as it is sent, newline included
	done   func(*Reply)
}

// Reply is how a frame ended. Its frame holds only until the callback returns.
type Reply struct {
	*Frame
	Tag   int64 // what Post was given
	Ended error // not nil: there is no answer and will be none, and Frame is empty
}

// Err is nil for a success; a *protocol.Error where the server refused; else
// why there is no answer.
func (r *Reply) Err() error {
	if r.Ended != nil {
		return r.Ended
	}
	return r.Frame.Err()
}

// noReply ends a frame without an answer.
func noReply(tag int64, err error) *Reply {
	return &Reply{Frame: &Frame{Type: protocol.NoType}, Tag: tag, Ended: err}
}

// Post sends a frame without waiting, and calls done once, from the client's
// goroutine, with its reply. fields are the members of the frame but msgType
// and id, well-formed, as protocol.Object(nil).Int(…).Text(…) makes them; they
// are not kept. tag comes back with the reply.
//
// At most protocol.Window frames are on the wire; more wait for their turn.
// Whoever posts bounds how many. A failure code (503 and 504, too) ends the
// frame: whoever needs it repeated under the same id uses Send or Request.
func (c *Client) Post(t protocol.Type, fields protocol.Object, tag int64, done func(*Reply)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers++
	if err := c.post(c.numbers, c.session.user, t, fields, tag, done); err != nil {
		return err
	}
	c.flush()
	return nil
}

// post queues a frame under a number, which its id is made of. user is who
// posted it first: it must not become somebody else's.
func (c *Client) post(number uint64, user int64, t protocol.Type, fields protocol.Object, tag int64, done func(*Reply)) error {
	if c.err != nil {
		return c.err
	}
	if user != c.session.user {
		return ErrOtherUser
	}
	var k *call
	if n := len(c.free); n > 0 {
		k, c.free = c.free[n-1], c.free[:n-1]
	} else {
		k = &call{}
	}
	line := append(k.line[:0], `{"msgType":`...)
	line = strconv.AppendInt(line, int64(t), 10)
	line = append(line, `,"id":"`...)
	line = append(line, c.prefix...)
	line = append(strconv.AppendUint(line, number, 36), '"')
	if len(fields) > 0 {
		line = append(append(line, ','), fields...)
	}
	line = append(line, '}', '\n')
	*k = call{number: number, user: user, tag: tag, line: line, done: done}
	if len(line)-1 > protocol.MaxFrame {
		c.recycle(k)
		return protocol.Errorf(protocol.TooLarge, "a frame may have %d bytes at most", protocol.MaxFrame)
	}
	c.calls = append(c.calls, k)
	c.send()
	return nil
}

func (c *Client) recycle(k *call) {
	if len(c.free) < protocol.Window && cap(k.line) <= 4096 {
		k.done = nil
		c.free = append(c.free, k)
	}
}

// send puts on the wire what has room there. Called with mu held; the caller
// flushes.
func (c *Client) send() {
	for c.ready && c.onWire < len(c.calls) && c.onWire < protocol.Window {
		k := c.calls[c.onWire]
		k.sent = true
		c.out = append(c.out, k.line...)
		c.onWire++
	}
}

// remove takes out the call at i.
func (c *Client) remove(i int) *call {
	k := c.calls[i]
	n := copy(c.calls[i:], c.calls[i+1:])
	c.calls[i+n] = nil
	c.calls = c.calls[:i+n]
	if i < c.onWire {
		c.onWire--
	}
	return k
}

func (c *Client) find(number uint64) int {
	for i, k := range c.calls {
		if k.number == number {
			return i
		}
	}
	return -1
}

// handle deals with one frame of the server.
func (c *Client) handle(line []byte) error {
	f := &c.frame
	if err := f.parse(line); err != nil {
		return err
	}
	f.At = c.readAt
	switch {
	case f.Type == protocol.Chat || f.Type == protocol.GroupChat:
		c.push(f)
		return nil
	case f.Type == protocol.Notice:
		return c.notice(f)
	case f.Type < protocol.Unreadable:
		return nil // a push of a later version
	}
	if !bytes.HasPrefix(f.id, []byte(c.prefix)) {
		return c.unasked(f)
	}
	number, ok := number36(f.id[len(c.prefix):])
	if !ok {
		return nil
	}
	if number == loginNumber {
		return c.resumed(f)
	}
	c.mu.Lock()
	i := c.find(number)
	if i < 0 {
		c.mu.Unlock()
		return nil
	}
	k := c.remove(i)
	c.send()
	others := c.others(k)
	c.mu.Unlock()
	c.answer(k, f)
	if !c.cfg.Raw && !others && f.Seq > 0 && f.Code == protocol.OK && (f.Type == protocol.Chat.Reply() || f.Type == protocol.GroupChat.Reply()) {
		c.acked(f)
	}
	return nil
}

// others reports whether a frame was sent by somebody who is not logged in any
// more. Called with mu held.
func (c *Client) others(k *call) bool { return k.user != 0 && k.user != c.session.user }

// answer hands a reply over.
func (c *Client) answer(k *call, f *Frame) {
	if k.done != nil {
		c.reply = Reply{Frame: f, Tag: k.tag}
		k.done(&c.reply)
	}
	c.mu.Lock()
	c.recycle(k)
	c.mu.Unlock()
}

func number36(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 12 {
		return 0, false
	}
	for _, ch := range b {
		switch {
		case ch >= '0' && ch <= '9':
			n = n*36 + uint64(ch-'0')
		case ch >= 'a' && ch <= 'z':
			n = n*36 + uint64(ch-'a') + 10
		default:
			return 0, false
		}
	}
	return n, true
}

// unasked takes a reply without an id of ours: a pong, a refused confirmation,
// or the answer to what the server could not read. The largest frame on the
// wire is the one that is too large for a server with a lower limit; it would
// be repeated for ever.
func (c *Client) unasked(f *Frame) error {
	if f.Code == protocol.OK {
		return nil
	}
	if f.Type == protocol.Received.Reply() {
		c.refused(f)
	}
	c.cfg.Log.Warn("the server refused a frame without naming it", "reply", string(f.Raw))
	if f.Code != protocol.TooLarge {
		return nil
	}
	c.mu.Lock()
	largest := -1
	for i, k := range c.calls[:c.onWire] {
		if largest < 0 || len(k.line) > len(c.calls[largest].line) {
			largest = i
		}
	}
	var k *call
	if largest >= 0 {
		k = c.remove(largest)
		c.send()
	}
	c.mu.Unlock()
	if k != nil {
		c.answer(k, f)
	}
	return nil
}

// notice stops sending on this connection: what is sent now would not be
// answered. What is outstanding will be, until the server closes.
func (c *Client) notice(f *Frame) error {
	var said struct {
		Reason    string
		Reconnect bool
		After     int64
	}
	if err := f.Decode(&said); err != nil {
		return err
	}
	n := Notice{Reason: said.Reason, Reconnect: said.Reconnect, After: time.Duration(said.After) * time.Millisecond}
	c.mu.Lock()
	c.ready, c.leaving = false, true
	c.until = c.readAt.Add(n.After)
	if !n.Reconnect {
		c.fatal = fmt.Errorf("%w: %s", ErrRevoked, n.Reason)
	}
	c.mu.Unlock()
	if c.cfg.OnNotice != nil {
		c.cfg.OnNotice(n)
	}
	return c.nc.SetReadDeadline(c.readAt.Add(farewellWithin)) // nc is set by this goroutine only
}

// end ends every frame that was not answered.
func (c *Client) end(err error) {
	c.mu.Lock()
	c.err = err
	calls := c.calls
	c.calls, c.onWire = nil, 0
	waited := c.takeWaiting(func(*waiting) bool { return true })
	c.mu.Unlock()
	c.cancel()
	for _, k := range calls {
		if k.done != nil {
			k.done(noReply(k.tag, err))
		}
	}
	for _, w := range waited {
		w.done(noReply(w.tag, err))
	}
}

// Request sends a frame and waits for its reply, which may be kept. What was
// not accepted (503, 429), or may have been (504), is sent again with the same
// id, after a growing pause, until ctx ends or the user logs out. The error is
// a *protocol.Error where the server refused. A frame that ctx gives up may
// have its effect all the same, if it was sent.
func (c *Client) Request(ctx context.Context, t protocol.Type, fields protocol.Object) (*Frame, error) {
	var line bytes.Buffer // a newline between members would end the frame
	whole := append(append(make([]byte, 0, len(fields)+2), '{'), fields...)
	if err := json.Compact(&line, append(whole, '}')); err != nil {
		return nil, fmt.Errorf("client: the fields are no members of a JSON object: %w", err)
	}
	return c.request(ctx, t, line.Bytes()[1:line.Len()-1], nil)
}

// request is Request; hook is called first, from the client's goroutine.
func (c *Client) request(ctx context.Context, t protocol.Type, fields protocol.Object, hook func(*Reply)) (*Frame, error) {
	c.mu.Lock()
	c.numbers++
	number, user := c.numbers, c.session.user
	c.mu.Unlock()
	pause := c.newBackoff()
	for {
		f, err := c.attempt(ctx, number, user, t, fields, hook)
		var refused *protocol.Error
		if err == nil || !errors.As(err, &refused) || !again(refused.Code) {
			return f, err
		}
		if !sleep(ctx, pause.NextBackOff()) {
			return nil, fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
	}
}

// again reports whether a frame with this answer is to be sent again, under the
// same id.
func again(code protocol.Code) bool {
	return code == protocol.TooFast || code == protocol.NotAccepted || code == protocol.Unknown
}

func (c *Client) attempt(ctx context.Context, number uint64, user int64, t protocol.Type, fields protocol.Object, hook func(*Reply)) (*Frame, error) {
	type answer struct {
		f   *Frame
		err error
	}
	answers := make(chan answer, 1)
	c.mu.Lock()
	err := c.post(number, user, t, fields, 0, func(r *Reply) {
		if hook != nil {
			hook(r)
		}
		answers <- answer{r.Clone(), r.Err()}
	})
	if err == nil {
		c.flush()
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case a := <-answers:
		return a.f, a.err
	case <-ctx.Done():
		c.leave(number, hook)
		return nil, ctx.Err()
	}
}

// leave gives up a frame. One that is on the wire keeps its place in the window
// until it is answered, since its answer says what holds now: who is logged in,
// which number a message has. No later connection repeats it.
func (c *Client) leave(number uint64, hook func(*Reply)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.find(number)
	switch {
	case i < 0:
	case i < c.onWire:
		c.calls[i].left, c.calls[i].done = true, hook
	default:
		c.remove(i)
	}
}
