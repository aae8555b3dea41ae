package edge

import (
	"bytes"

	"sponge/pkg/protocol"
)

// take handles bytes that the holder of the read token has read, behind those
// that were kept. It reports whether the holder shall read on: else the token
// is parked, or has come to its end. f is scratch.
func (c *conn) take(b []byte, f *protocol.Frame) (readOn bool) {
	kept := len(c.carry) > 0
	if kept {
		// append grows by a factor: a frame that comes a byte at a time is not
		// copied each time.
		c.carry = append(c.carry, b...)
		b = c.carry
	}
	for len(b) > 0 || c.ended {
		it := c.next(b, f)
		if it.kind == itemNone || it.kind == itemPartial {
			b = b[it.n:]
			if len(b) > 0 && it.kind == itemNone {
				continue
			}
			if !c.ended {
				break
			}
			if it = c.stream.end(b, f); it.kind == itemNone {
				b, c.ended = nil, false
				c.stream = stream{} // a skipped line ends with its message
				break
			}
		}
		switch c.handle(it, f, b, kept) {
		case parked:
			return false
		case dropped:
			c.carry = nil
			return c.settled()
		}
		c.stream.accept(it)
		c.verdict = itemNone
		b = b[it.n:]
	}
	c.keep(b, kept)
	return c.settled()
}

// next is the next item of what has arrived.
func (c *conn) next(b []byte, f *protocol.Frame) item {
	switch c.verdict {
	case itemOversized:
		return item{kind: itemOversized, n: len(b)}
	case itemMalformed:
		return item{kind: itemMalformed, n: len(b), err: protocol.Errorf(protocol.Malformed, "a frame is a text message")}
	}
	return c.stream.next(b, c.edge.cfg.MaxFrame, f)
}

// maxBacklog is how many bytes may wait for a client whose frames are taken.
const maxBacklog = 64 << 10

// handled is what became of an item.
type handled uint8

const (
	passed  handled = iota
	parked          // it waits for answers, and the read token with it
	dropped         // the connection is being closed: input is dropped
)

// handle deals with one item, which rest begins with.
func (c *conn) handle(it item, f *protocol.Frame, rest []byte, kept bool) handled {
	c.mu.Lock()
	defer c.mu.Unlock()
	windowed := it.kind == itemFrame && f.Type.Windowed()
	// A client that does not read is not read from. And a 14 tells what the
	// client was shown, which is known once it is written.
	unwritten := false
	if c.waiting() > maxBacklog || it.kind == itemFrame && f.Type == protocol.Offline {
		c.flush()
		unwritten = c.writing
	}
	switch {
	case c.state != open:
		return dropped
	case unwritten || c.edge.draining.Load() || !c.room(windowed):
		c.keep(rest, kept)
		c.parked, c.barrier, c.handling = true, !windowed, false
		c.flush()
		return parked
	}
	switch it.kind {
	case itemFrame:
		c.request(f)
	case itemMalformed:
		c.fail(protocol.Ping, it.err, it.echo) // 100 answers what is no frame, too
	case itemOversized:
		c.fail(protocol.Ping, protocol.Errorf(protocol.TooLarge, "a frame may have %d bytes at most", c.edge.cfg.MaxFrame), nil)
		c.close(Oversized)
		return dropped
	}
	return passed
}

// room reports whether a frame may go now. A barrier waits for all that is
// outstanding, and is waited for.
func (c *conn) room(windowed bool) bool {
	n := len(c.window)
	return n == 0 || windowed && n < protocol.Window && c.window[n-1].typ.Windowed()
}

// unpark lets a parked connection go on when its next frame may go. A window
// that was full is half empty first, so that frames go in batches.
func (c *conn) unpark() {
	if !c.parked || c.state != open || c.edge.draining.Load() {
		return
	}
	if n := len(c.window); n == 0 || !c.barrier && n <= protocol.Window/2 && c.room(true) {
		c.parked, c.handling = false, true
		c.sock.resume()
	}
}

// keep keeps what was not handled, and nothing else.
func (c *conn) keep(rest []byte, kept bool) {
	switch {
	case len(rest) == 0:
		c.carry = nil
	case kept && cap(rest) < 4*len(rest):
		c.carry = rest
	default:
		c.carry = bytes.Clone(rest)
	}
}

// settled ends a take that left nothing to do. It reports whether to read on.
func (c *conn) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handling = false
	c.flush()
	c.leave()
	return !c.eof
}

// leave closes the connection of a client that will send nothing more, once
// it has got all its answers.
func (c *conn) leave() {
	if c.state == open && c.eof && !c.parked && !c.handling && len(c.window) == 0 {
		c.close(ClientClosed)
	}
}

// heard notes that bytes were read. It reports whether they are of interest.
func (c *conn) heard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = c.edge.now()
	return c.state == open
}

// hungUp notes the end of input, and reports whether what was kept is still to
// be handled. A broken connection gets no answers any more.
func (c *conn) hungUp(broken bool) (handle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eof = true
	if c.state == open && broken {
		c.dropOut()
		c.close(ClientClosed)
	}
	if c.state != open {
		c.giveBack()
		return false
	}
	c.ended, c.handling = true, true
	return true
}

// unreadable ends a connection whose input cannot be read any more.
func (c *conn) unreadable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eof = true
	if c.state == open {
		c.close(Internal)
		return
	}
	c.giveBack()
}
