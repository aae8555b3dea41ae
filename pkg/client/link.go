package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"sponge/pkg/protocol"
)

// link is the present connection. Guarded by Client.mu.
type link struct {
	nc      net.Conn
	addr    string
	ready   bool // frames may be sent: logged in, where there is a session to resume
	was     bool // it was ready, and is so no more or again
	leaving bool // a notice came: nothing more is sent here
	onWire  int
	writing bool // somebody writes, and will write what is appended meanwhile
	batch   bool // the reader will write when it has handled all it has read
	out     []byte
	spare   []byte
	heard   time.Time
	head    uint64    // the oldest frame on the wire when a ping was last due,
	headAt  time.Time // and since when
	until   time.Time // a notice asked not to come back earlier
	fatal   error     // set where coming back is of no use
}

// run keeps a connection up until the client is closed or cannot go on.
func (c *Client) run(nc net.Conn, addr string) {
	defer close(c.done)
	pause := c.newBackoff()
	for {
		since := time.Now()
		err := c.serve(nc, addr)
		until, was, fatal := c.unlink()
		if c.ctx.Err() != nil {
			fatal = ErrClosed
		}
		if c.cfg.OnLink != nil {
			c.cfg.OnLink(Link{Addr: addr, Err: errors.Join(fatal, err)})
		}
		if fatal != nil {
			c.end(fatal)
			return
		}
		if was && time.Since(since) >= steady {
			pause.Reset()
		}
		c.cfg.Log.Info("connection lost", "address", addr, "error", err)
		if nc, addr = c.redial(pause, until); nc == nil {
			c.end(ErrClosed)
			return
		}
	}
}

// steady is how long a connection must have held for the next pause to be the
// first again: an edge may let clients in and fail at once.
const steady = time.Second

func (c *Client) newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = c.cfg.Backoff[0], c.cfg.Backoff[1], 2, 0.5
	return b
}

// redial connects again, not before until. It returns nil when the client is
// closed.
func (c *Client) redial(pause *backoff.ExponentialBackOff, until time.Time) (net.Conn, string) {
	for {
		if !sleep(c.ctx, max(pause.NextBackOff(), time.Until(until))) {
			return nil, ""
		}
		nc, addr, err := c.dialAny(c.ctx)
		if err == nil {
			c.mu.Lock()
			c.stats.Reconnects++
			c.mu.Unlock()
			return nc, addr
		}
		c.cfg.Log.Info("cannot connect", "error", err)
	}
}

// sleep waits, and reports whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// serve uses a connection until it breaks.
func (c *Client) serve(nc net.Conn, addr string) error {
	defer c.aside.Wait()
	defer nc.Close()
	c.mu.Lock()
	c.link = link{nc: nc, addr: addr, writing: c.writing, out: c.out[:0], spare: c.spare, heard: time.Now()}
	login := c.session.user != 0
	if login {
		c.sendLogin()
		c.flush()
	}
	c.mu.Unlock()
	if login {
		if err := nc.SetReadDeadline(time.Now().Add(answerWithin)); err != nil {
			return err
		}
	} else {
		c.open(false)
	}
	if c.ctx.Err() != nil { // closed before there was anything to close
		return c.ctx.Err()
	}
	if c.cfg.Ping > 0 {
		defer c.keepAlive(nc)()
	}
	return c.read(nc)
}

// unlink forgets a broken connection.
func (c *Client) unlink() (until time.Time, was bool, fatal error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, was, fatal = c.until, c.was, c.fatal
	c.nc, c.ready, c.onWire = nil, false, 0
	return until, was, fatal
}

// open lets frames flow: first those that are still unanswered, in order.
func (c *Client) open(resumed bool) {
	c.mu.Lock()
	c.ready, c.was, c.onWire = true, true, 0
	others := c.dropStale()
	for _, call := range c.calls {
		if call.sent {
			c.stats.Repeated++
		}
	}
	addr := c.addr
	c.send()
	c.flush()
	c.mu.Unlock()
	for _, k := range others {
		k.done(noReply(k.tag, ErrOtherUser))
	}
	if c.cfg.OnLink != nil {
		c.cfg.OnLink(Link{Up: true, Resumed: resumed, Addr: addr})
	}
}

// dropStale takes out what must not be sent again: what was given up, and what
// another user sent, which it returns where somebody waits for it. Called with
// mu held, and nothing on the wire.
func (c *Client) dropStale() (others []*call) {
	c.calls = slices.DeleteFunc(c.calls, func(k *call) bool {
		if c.others(k) && !k.left && k.done != nil {
			others = append(others, k)
		}
		return c.others(k) || k.left
	})
	return others
}

// minBuffer is what an idle connection keeps; it grows while reads fill it.
const (
	minBuffer = 512
	maxBuffer = protocol.MaxOutbound + minBuffer
)

// read handles what arrives, a whole read at a time: what the callbacks send
// goes out in one write.
func (c *Client) read(nc net.Conn) error {
	buf := make([]byte, minBuffer)
	kept := 0 // bytes of a frame that is not complete yet, without a newline
	for {
		n, err := nc.Read(buf[kept:])
		if n > 0 {
			c.readAt = time.Now()
			c.begin()
			rest, bad := c.lines(buf[:kept+n], kept)
			c.confirm()
			c.finish()
			if bad != nil {
				return bad
			}
			full := kept+n == len(buf)
			kept = len(rest)
			switch {
			case full && len(buf) < 64<<10, kept == len(buf):
				if len(buf) >= maxBuffer {
					return fmt.Errorf("client: a frame of more than %d bytes", protocol.MaxOutbound)
				}
				buf = append(make([]byte, 0, 4*len(buf)), rest...)
				buf = buf[:cap(buf)]
			default:
				copy(buf, rest)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return errors.New("client: the server closed the connection")
			}
			return err
		}
	}
}

// lines handles complete lines of b, of which the first seen bytes hold no
// newline, and returns what is left.
func (c *Client) lines(b []byte, seen int) (rest []byte, err error) {
	for {
		i := bytes.IndexByte(b[seen:], '\n')
		if i < 0 {
			return b, nil
		}
		line := b[:seen+i]
		b, seen = b[seen+i+1:], 0
		if len(line) == 0 {
			continue
		}
		if err := c.handle(line); err != nil {
			return nil, err
		}
	}
}

func (c *Client) begin() {
	c.mu.Lock()
	c.batch, c.heard = true, c.readAt
	c.mu.Unlock()
}

// asideAbove is more than the reader writes itself: a server that writes, too,
// may take no more before it is read from.
const asideAbove = 16 << 10

func (c *Client) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batch = false
	if len(c.out) <= asideAbove || c.writing {
		c.flush()
		return
	}
	c.writing = true
	c.aside.Go(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.write()
	})
}

// flush writes what waits, unless somebody else will. Called with mu held,
// which it releases while it writes.
func (c *Client) flush() {
	if c.writing || c.batch {
		return
	}
	c.writing = true
	c.write()
}

func (c *Client) write() {
	for c.nc != nil && len(c.out) > 0 {
		nc, b := c.nc, c.out
		c.out = c.spare[:0]
		c.mu.Unlock()
		_, err := nc.Write(b)
		if err != nil {
			nc.Close() // the reader notices
		}
		c.mu.Lock()
		c.spare = b[:0]
		if err != nil && c.nc == nc {
			break
		}
	}
	c.writing = false
}

// keepAlive asks a silent server whether it lives, and leaves one that does not
// answer, that or a frame, until stop is called.
func (c *Client) keepAlive(nc net.Conn) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(c.cfg.Ping, func() {
		c.mu.Lock() // with it, timer is set
		defer c.mu.Unlock()
		c.ping(nc, timer)
	})
	return func() { timer.Stop() }
}

// overdue reports whether the server owes an answer for longer than it may, as
// seen whenever a ping is due. All before the oldest frame were answered.
func (c *Client) overdue() bool {
	if c.onWire == 0 || c.calls[0].number != c.head {
		c.head, c.headAt = 0, time.Now()
		if c.onWire > 0 {
			c.head = c.calls[0].number
		}
		return false
	}
	return time.Since(c.headAt) >= answerWithin
}

func (c *Client) ping(nc net.Conn, timer *time.Timer) {
	if c.nc != nc {
		return
	}
	switch silent := time.Since(c.heard); {
	case silent >= 2*c.cfg.Ping || c.overdue():
		nc.Close()
		return
	case silent >= c.cfg.Ping-c.cfg.Ping/10:
		timer.Reset(c.cfg.Ping) // before the write, which blocks where the peer is gone
		c.out = append(c.out, `{"msgType":0}`+"\n"...)
		c.flush()
		return
	}
	timer.Reset(c.cfg.Ping)
}
