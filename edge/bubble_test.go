package edge

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sponge/pkg/protocol"
)

// memSocket is a socket in memory: real ones would keep a bubble's clock from
// going on.
type memSocket struct {
	conn
	mu     sync.Mutex
	taken  []byte
	stuck  bool          // takes nothing
	drain  chan struct{} // closed where a writer that waits shall get on
	ended  chan struct{}
	closed bool
}

func (s *memSocket) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck {
		return 0, nil
	}
	s.taken = append(s.taken, b...)
	return len(b), nil
}

func (s *memSocket) writeAll(b []byte, within time.Duration) (int, error) {
	select {
	case <-s.drain:
		return len(b), nil
	case <-s.ended:
		return 0, context.Canceled
	case <-time.After(within):
		return 0, context.DeadlineExceeded
	}
}

func (s *memSocket) resume()              { s.edge.sockets.Go(func() { s.take(nil, new(protocol.Frame)) }) }
func (s *memSocket) transport() transport { return tcp }
func (s *memSocket) shutdown(Reason)      {}
func (s *memSocket) release()             {}

func (s *memSocket) destroy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.ended)
	}
}

// send is what the client types.
func (s *memSocket) send(text string) {
	if s.heard() {
		s.take([]byte(text), new(protocol.Frame))
	}
}

// read waits until nothing happens any more at this moment, and returns what
// was written since the last time.
func (s *memSocket) read() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	text := string(s.taken)
	s.taken = nil
	return text
}

// bubble runs an edge without listeners under a clock that jumps.
func bubble(t *testing.T, change func(*Config), test func(h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *Config) {
			c.ReportEvery = time.Second
			if change != nil {
				change(c)
			}
		})
		for i := range h.edge.routes {
			h.edge.routes[i] = newRoute(protocol.Topic(i).Name(), 4)
		}
		ctx, cancel := context.WithCancel(t.Context())
		h.edge.serving = ctx
		var wg sync.WaitGroup
		wg.Go(func() { h.edge.sweep(ctx) })
		wg.Go(func() { h.edge.presence.run(ctx, h.edge) })
		wg.Go(func() { h.chann.Run(ctx) })
		wg.Go(func() { h.edge.keep(ctx) })
		wg.Go(func() { h.edge.resync(ctx) })
		test(h)
		for _, c := range h.edge.table.all() {
			c.mu.Lock()
			c.eof = true
			c.close(ClientClosed)
			c.mu.Unlock()
		}
		h.kafka.Close(ctx)
		cancel()
		wg.Wait()
	})
}

// connect makes a connection without a network.
func (h *harness) connect() *memSocket {
	s := &memSocket{ended: make(chan struct{}), drain: make(chan struct{})}
	h.edge.admit(&s.conn, s, netip.MustParseAddrPort("192.0.2.1:1234"))
	return s
}

// login logs in for life.
func (s *memSocket) login(h *harness, user int64, life time.Duration) {
	h.t.Helper()
	s.send(`{"msgType":1,"USERID":6,"password":"x"}`)
	h.answer(h.next(), func(r *result) { r.Session, r.Proof = 1, h.prove(user, s.id, life) })
	if got := s.read(); !strings.Contains(got, `{"msgType":101,"code":0`) {
		h.t.Fatalf("login: %s", got)
	}
}

func (s *memSocket) isClosed() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.state != open
}
