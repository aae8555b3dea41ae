package client

import (
	"maps"
	"slices"
	"time"

	"sponge/pkg/protocol"
)

// waiting is a frame of Send between a refusal and its repeat.
type waiting struct {
	user  int64
	tag   int64
	done  func(*Reply)
	timer *time.Timer
}

// Send is Post for what must not be lost: a frame that was not accepted (503,
// 429), or may have been (504), is sent again with the same id after a growing
// pause, behind what was sent meanwhile. done, unless nil, is called once, from
// the client's goroutine: with any other reply, or when the client has ended or
// the user has logged out.
func (c *Client) Send(t protocol.Type, fields protocol.Object, tag int64, done func(*Reply)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers++
	number, user := c.numbers, c.session.user
	fields = slices.Clone(fields)
	if done == nil {
		done = func(*Reply) {}
	}
	pause := c.newBackoff()
	var answered func(*Reply)
	repeat := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.waiting[number] == nil {
			return // it was ended
		}
		delete(c.waiting, number)
		// An error is impossible: who waits is ended with the client, and when
		// the user changes.
		_ = c.post(number, user, t, fields, tag, answered)
		c.flush()
	}
	answered = func(r *Reply) {
		if r.Ended != nil || !again(r.Code) {
			done(r)
			return
		}
		c.mu.Lock()
		other := c.session.user != user
		if !other {
			c.waiting[number] = &waiting{user, tag, done, time.AfterFunc(pause.NextBackOff(), repeat)}
		}
		c.mu.Unlock()
		if other {
			done(noReply(tag, ErrOtherUser))
		}
	}
	if err := c.post(number, user, t, fields, tag, answered); err != nil {
		return err
	}
	c.flush()
	return nil
}

// takeWaiting takes out what waits for its repeat and is meant, oldest first.
// Called with mu held, by the client's goroutine.
func (c *Client) takeWaiting(meant func(*waiting) bool) (taken []*waiting) {
	for _, number := range slices.Sorted(maps.Keys(c.waiting)) {
		if w := c.waiting[number]; meant(w) {
			w.timer.Stop()
			delete(c.waiting, number)
			taken = append(taken, w)
		}
	}
	return taken
}
