package edge

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"sponge/pkg/protocol"
)

// tcpConn is a connection over TCP. While it is idle it costs this struct and
// the socket.
type tcpConn struct {
	conn
	nc      *net.TCPConn
	fd      int32 // of nc, which stays open until release
	resumed bool  // what was kept comes before what can be read; for the token's holder
}

// readSize is how much is read at once.
const readSize = 32 << 10

func (e *Edge) serveTCP(nc *net.TCPConn) {
	t := &tcpConn{nc: nc}
	rc, err := nc.SyscallConn()
	if err == nil {
		err = rc.Control(func(fd uintptr) { t.fd = int32(fd) })
	}
	if err != nil {
		nc.Close()
		return
	}
	var peer netip.AddrPort
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		peer = a.AddrPort()
		peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	}
	e.admit(&t.conn, t, peer)
	t.await()
}

// await gives the read token to the poller until there is something to read.
func (t *tcpConn) await() {
	if err := t.edge.poller.arm(t); err != nil { // the system has no room for it
		t.edge.log.Error("a connection cannot be waited for", "conn", t.id, "error", err)
		t.unreadable()
	}
}

// startWorkers starts the pool that reads and handles. It ends when readable
// is closed.
func (e *Edge) startWorkers() *sync.WaitGroup {
	var pool sync.WaitGroup
	for range 2 * max(2, runtime.GOMAXPROCS(0)) {
		pool.Go(func() {
			r := newReader()
			for t := range e.readable {
				if t.step(r) {
					t.await()
				}
			}
		})
	}
	return &pool
}

// reader is what a worker of the pool reads with.
type reader struct {
	buf   []byte
	frame protocol.Frame
}

func newReader() *reader { return &reader{buf: make([]byte, readSize)} }

// step handles what there is. It reports whether to wait for more.
func (t *tcpConn) step(r *reader) (wait bool) {
	if t.resumed {
		t.resumed = false
		return t.take(nil, &r.frame)
	}
	n, err := syscall.Read(int(t.fd), r.buf)
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return true
	case err != nil || n <= 0:
		return t.hungUp(err != nil) && t.take(nil, &r.frame)
	case !t.heard():
		t.carry = nil
		return true
	}
	return t.take(r.buf[:n], &r.frame)
}

func (t *tcpConn) transport() transport { return tcp }

func (t *tcpConn) resume() {
	t.resumed = true
	t.edge.readable <- t
}

func (t *tcpConn) write(b []byte) (int, error) {
	n, err := syscall.Write(int(t.fd), b)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
		return 0, nil
	}
	return max(n, 0), err
}

func (t *tcpConn) writeAll(b []byte, within time.Duration) (n int, err error) {
	// In pieces: a client that takes something, if slowly, is not given up.
	for n < len(b) {
		if err := t.nc.SetWriteDeadline(time.Now().Add(within)); err != nil {
			return n, err
		}
		k, err := t.nc.Write(b[n:min(len(b), n+bigOutbox)])
		if n += k; err != nil {
			return n, err
		}
	}
	return n, t.nc.SetWriteDeadline(time.Time{})
}

// writeFault is why a connection is closed that could not be written to.
func writeFault(err error) Reason {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return SlowConsumer
	}
	return WriteFailed
}

func (t *tcpConn) shutdown(Reason) { _ = t.nc.CloseWrite() }

// destroy wakes whoever waits for the socket, which a close would not: a
// closed file leaves the poller without a word.
func (t *tcpConn) destroy() {
	_ = t.nc.CloseWrite()
	_ = t.nc.CloseRead()
}

func (t *tcpConn) release() { _ = t.nc.Close() }
