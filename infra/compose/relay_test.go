package compose_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay is a TCP port that leads to a private service's unix socket.
type relay struct {
	listener net.Listener
	socket   string
	running  sync.WaitGroup

	mu sync.Mutex
	// mu guards the following.
	open  []net.Conn
	ended bool
}

// newRelay starts one that ends with the test, and returns where it listens.
func newRelay(t *testing.T, socket string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, socket: socket}
	r.running.Go(r.accept)
	t.Cleanup(r.stop)
	return l.Addr().String()
}

func (r *relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("unix", r.socket)
		if err != nil { // the service is gone: so is this
			c.Close()
			continue
		}
		if !r.keep(c, s) {
			return
		}
		r.running.Go(func() { pass(c, s) })
		r.running.Go(func() { pass(s, c) })
	}
}

// keep has both closed at the end, which may have come.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		for _, c := range conns {
			c.Close()
		}
		return false
	}
	r.open = append(r.open, conns...)
	return true
}

// pass copies one way. Its ends find out by themselves what was lost.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
}

func (r *relay) stop() {
	r.listener.Close()
	r.mu.Lock()
	r.ended = true
	for _, c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}
