package edge

import (
	"net/netip"
	"sync"
	"time"

	"sponge/pkg/keys"
)

// socket is what a connection needs of its transport. Its methods may be
// called from any goroutine; write and writeAll never at the same time.
type socket interface {
	// write writes what is taken at once, possibly nothing, without waiting.
	write(b []byte) (n int, err error)
	// writeAll writes everything, waiting within the time given.
	writeAll(b []byte, within time.Duration) (n int, err error)
	// resume takes the read token: what was kept is handled by another
	// goroutine, which then reads on. It may wait for a moment.
	resume()
	transport() transport
	// shutdown says that nothing more will be written; reading goes on.
	shutdown(r Reason)
	// destroy ends both directions, and with them whoever waits.
	destroy()
	// release gives the socket back to the system, once nobody uses it.
	release()
}

type connState uint8

const (
	open    connState = iota
	closing           // the reason is decided; the outbox is emptied and input dropped
)

// lingerTime is for how long input is dropped after the last byte was written:
// closing at once would make some systems throw away what the client has not
// read.
const lingerTime = time.Second

// conn is one client's connection. There may be very many that are idle, so
// what is seldom needed hangs behind a pointer, and no buffer waits with it.
type conn struct {
	edge *Edge
	sock socket
	id   uint64
	peer netip.AddrPort

	// For the holder of the read token.
	stream  stream
	carry   []byte   // what has arrived and was not handled
	ended   bool     // nothing follows carry: end of input, or of a message
	verdict itemKind // what the transport found a message to be, whatever its bytes

	dirty bool // in Edge.dirty; the channel reader's own

	mu sync.Mutex // guards the following

	state    connState
	parked   bool // nobody has the read token: the next frame waits for answers …
	barrier  bool // … for all of them
	eof      bool // the client will send nothing more
	handling bool // with eof: what it sent last is being handled
	writing  bool // a goroutine empties the outbox
	confirm  bool // the client confirms what it got (5)
	caughtUp bool // a 14 has said that there is no more, or the login
	noticed  bool // the client was told that the node is going
	reason   Reason
	given    bool // the read token was given back for good

	numbers uint32     // the last request's number
	logouts uint16     // how often somebody logged out: part of the place
	life    uint32     // of the proof when it came, in seconds
	window  []*request // outstanding and held back, in typed order; nil when there are none
	out     *outbox    // nil when empty
	flying  int        // bytes that the writing goroutine has taken

	proof     *keys.Proof // of the session; nil without a login
	marks     *marks      // nil when there are none
	received  int64       // when the last byte came; all times by Edge.now
	loggedOut int64       // when the connection was opened or logged out
	renewAt   int64       // when the proof wants renewal
	refreshAt int64       // when the presence entry wants to be written again
	linger    *time.Timer // ends the socket; nil before it is shut down
}

// admit puts a new connection to work. The caller holds the read token, and
// reads on in any case: a connection that is refused is already being closed.
func (e *Edge) admit(c *conn, sock socket, peer netip.AddrPort) {
	c.edge, c.sock, c.peer = e, sock, peer
	c.id = e.table.nextID.Add(1)
	c.received = e.now()
	c.loggedOut = c.received
	e.sockets.Add(1)
	e.metrics.open[sock.transport()].Inc()

	c.mu.Lock()
	defer c.mu.Unlock()
	e.table.add(c)
	if limit := int64(e.cfg.MaxConnections); limit > 0 && e.table.open.Load() > limit {
		c.close(ServerFull)
	} else if e.draining.Load() {
		c.close(Draining)
	}
}

// placeShift is where a place's count of logouts begins; below it is the
// connection's id.
const placeShift = 48

// place is what the workers call the connection, while one user is logged in:
// what is on its way to somebody who has logged out since reaches nobody, also
// when another user has logged in on the connection.
func (c *conn) place() uint64 { return c.id | uint64(c.logouts)<<placeShift }

// close decides that the connection ends, and why. What waits for the client
// is still written, and the notice behind it, where the reason leaves the
// socket whole. Called with mu held; only the first call counts.
func (c *conn) close(r Reason) {
	broken := r == WriteFailed || r == SlowConsumer
	if f := c.holder(); f != nil && c.state == open && !broken {
		c.letGo(f) // its answer does not come any more
	}
	if c.state != open {
		return
	}
	e := c.edge
	c.state, c.reason = closing, r
	e.table.open.Add(-1)
	e.metrics.closes[r].Inc()
	e.metrics.open[c.sock.transport()].Dec()
	e.metrics.outstanding.Add(-int64(len(c.window)))
	for _, r := range c.window {
		r.leaveGate(false)
	}
	c.window = nil

	if broken {
		c.dropOut()
	} else if text := reasons[r].notice; text != "" && !c.noticed {
		c.notice(r)
	}
	c.flush()
	c.report(true)
	if c.proof != nil {
		e.presence.gone(c)
	}
	switch {
	case broken:
		c.sock.destroy()
	case !c.writing:
		c.written()
	}
	switch {
	case c.eof:
		c.giveBack()
	case c.parked: // somebody must drop the input
		c.parked = false
		c.sock.resume()
	}
}

// written is called once the last byte of a closing connection was written.
func (c *conn) written() {
	if c.eof {
		c.sock.destroy()
		return
	}
	c.sock.shutdown(c.reason)
	if c.linger == nil {
		c.linger = time.AfterFunc(lingerTime, c.sock.destroy)
	}
}

// giveBack ends the read token of a closing connection.
func (c *conn) giveBack() {
	if c.given {
		return
	}
	c.given = true
	if c.linger != nil {
		c.linger.Stop()
	}
	c.release()
	c.edge.table.remove(c.id)
	c.edge.sockets.Done()
}

// release lets go of the socket after its last user: the holder of the read
// token, or the goroutine that writes.
func (c *conn) release() {
	if c.given && !c.writing {
		c.out = nil
		c.sock.release()
	}
}
