package client

import (
	"slices"
	"time"

	"sponge/pkg/protocol"
)

// Send is Post for what must not be lost: a frame that was not accepted (503),
// or may have been (504), is sent again with the same id after a pause, behind
// what was sent meanwhile. done, unless nil, is called once, with any other
// reply or when the client has ended.
func (c *Client) Send(t protocol.Type, fields protocol.Object, tag int64, done func(*Reply)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers++
	number := c.numbers
	fields = slices.Clone(fields)
	if done == nil {
		done = func(*Reply) {}
	}
	pause := c.newBackoff()
	var answered func(*Reply)
	again := func() {
		c.mu.Lock()
		err := c.post(number, t, fields, tag, answered)
		c.flush()
		c.mu.Unlock()
		if err != nil {
			done(&Reply{Frame: &Frame{Type: protocol.NoType}, Tag: tag, Ended: err})
		}
	}
	answered = func(r *Reply) {
		if r.Ended == nil && (r.Code == protocol.NotAccepted || r.Code == protocol.Unknown) {
			time.AfterFunc(pause.NextBackOff(), again)
			return
		}
		done(r)
	}
	if err := c.post(number, t, fields, tag, answered); err != nil {
		return err
	}
	c.flush()
	return nil
}
