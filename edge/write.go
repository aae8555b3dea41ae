package edge

import (
	"sync"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

// outbox is what waits to be written to one connection.
type outbox struct {
	b    []byte
	done int // bytes of b that were written
	// shown are the seqs that are marked as delivered once b is written up to
	// end.
	shown []shown
}

type shown struct {
	end int
	envelope.Range
}

// outboxes are shared by all connections: an idle one has none.
var outboxes = sync.Pool{New: func() any { return new(outbox) }}

// bigOutbox is the size above which an outbox is left to the collector.
const bigOutbox = 64 << 10

func recycle(o *outbox) {
	if cap(o.b) > bigOutbox || cap(o.shown) > 1024 {
		return
	}
	o.b, o.done, o.shown = o.b[:0], 0, o.shown[:0]
	outboxes.Put(o)
}

// outbox is where to append what shall be written. The caller flushes.
func (c *conn) outbox() *outbox {
	if c.out == nil {
		c.out = outboxes.Get().(*outbox)
	}
	return c.out
}

// waiting is how many bytes the socket has not taken, or was not yet given.
func (c *conn) waiting() int {
	n := c.flying
	if c.out != nil {
		n += len(c.out.b) - c.out.done
	}
	if f := c.holder(); f != nil && f.hold != nil {
		n += f.hold.bytes
	}
	return n
}

// send appends whole lines, which show the client the seqs in ranges. Where
// delivers is set, these count as delivered once they are with the kernel.
func (c *conn) send(payload []byte, ranges []envelope.Range, delivers bool) {
	if c.state != open || len(payload) == 0 {
		return
	}
	if c.waiting()+len(payload) > c.edge.cfg.MaxOutbound {
		if c.flush(); c.flying > 0 || c.out != nil { // the socket does take no more
			c.close(SlowConsumer)
			return
		}
	}
	o := c.outbox()
	o.b = append(o.b, payload...)
	if c.proof == nil || len(ranges) == 0 {
		return
	}
	c.remember(ranges)
	if !delivers {
		return
	}
	for _, r := range ranges {
		o.shown = append(o.shown, shown{len(o.b), r})
	}
}

// notice appends the notice of a close. Whoever is told to come back is told
// when: not all at once.
func (c *conn) notice(r Reason) {
	after := int64(0)
	if reasons[r].reconnect {
		after = jitter(c.id)
	}
	o := c.outbox()
	o.b = protocol.NewNotice(o.b, reasons[r].notice, reasons[r].reconnect, after)
	c.noticed = true
}

// flush writes what the socket takes at once; a goroutine does the rest.
func (c *conn) flush() {
	if c.out == nil || c.writing || c.given {
		return
	}
	o := c.out
	n, err := c.sock.write(o.b[o.done:])
	o.done += n
	c.commit(o)
	switch {
	case err != nil:
		c.dropOut()
		if c.state != open {
			c.sock.destroy()
			return
		}
		c.close(WriteFailed)
	case o.done == len(o.b):
		c.out = nil
		recycle(o)
	default:
		c.writing = true
		c.edge.sockets.Add(1)
		go c.writeOut()
	}
}

// commit marks what was written as delivered.
func (c *conn) commit(o *outbox) {
	i := 0
	for ; i < len(o.shown) && o.shown[i].end <= o.done; i++ {
		c.mark(o.shown[i].Range)
	}
	if i > 0 {
		o.shown = o.shown[:copy(o.shown, o.shown[i:])]
	}
}

// dropOut forgets what was not written.
func (c *conn) dropOut() {
	c.out = nil // perhaps still in use by the socket: not recycled
	if f := c.holder(); f != nil {
		f.hold = nil
	}
}

// maxFarewell bounds the writing to a connection that is being closed.
const maxFarewell = 5 * time.Second

// writeOut writes with waiting, until the outbox is empty.
func (c *conn) writeOut() {
	defer c.edge.sockets.Done()
	for {
		c.mu.Lock()
		o := c.out
		c.out = nil
		if o == nil {
			c.writing, c.flying = false, 0
			if c.state == closing {
				c.report(true)
				c.written()
				c.release()
			}
			c.syncOn()
			c.unpark() // a 14, or a client that did not read, may have waited for this
			c.mu.Unlock()
			return
		}
		c.flying = len(o.b) - o.done
		within := c.edge.cfg.WriteTimeout
		if c.state == closing {
			within = min(within, maxFarewell)
		}
		c.mu.Unlock()

		n, err := c.sock.writeAll(o.b[o.done:], within)

		c.mu.Lock()
		o.done += n
		c.commit(o)
		if err != nil {
			c.dropOut()
			c.writing, c.flying = false, 0
			if c.state == open {
				c.close(writeFault(err))
			} else {
				c.report(true)
				c.sock.destroy()
				c.release()
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		recycle(o)
	}
}

// jitter spreads reconnections over two seconds.
func jitter(id uint64) int64 { return int64(id * 0x9E3779B97F4A7C15 >> 40 % 2000) }
