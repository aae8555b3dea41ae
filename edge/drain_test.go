package edge

import (
	"net/http"
	"strings"
	"testing"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

type httpHandler = http.HandlerFunc

func TestDrain(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c, idle := h.dial(), h.dial()
	conn := c.login(6)
	idle.quiet()
	h.push(conn, seqs(protocol.Pair(6, 8), 1, 1))
	c.expect("{}")
	c.send(chat(8, "a"))
	p := h.next()
	for p.env.Kind != envelope.FromClient {
		p = h.next()
	}
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	c.expect(`{"msgType":98,"reason":"draining: this server is going away","reconnect":true`)
	c.send(chat(8, "b")) // too late
	idle.expect(`{"msgType":98`)
	h.answer(p)
	c.expect(`"id":"a"`)
	if rest := c.rest(); rest != "" {
		t.Errorf("then %q", rest)
	}
	idle.rest()
	<-stopped
	for len(h.kafka.records) > 0 {
		if p := h.next(); p.env.Kind == envelope.FromClient {
			t.Errorf("published %s", p.rec.Value)
		}
	}
	if h.lease.has(6, conn) || !h.lease.removed {
		t.Error("presence is left")
	}
	h.closed(Draining, 2)
}

func TestDrainReportsWhatWasShown(t *testing.T) {
	t.Parallel()
	h := startEdge(t, func(c *Config) { c.ReportEvery = 1 << 40 })
	c := h.dial()
	conn := c.login(6)
	h.push(conn, seqs(protocol.Pair(6, 8), 1, 1))
	c.expect("{}")
	h.stop()
	if p := h.next(); p.env.Kind != envelope.Report {
		t.Errorf("published %+v", p.env)
	}
}

func TestServerFull(t *testing.T) {
	t.Parallel()
	h := startEdge(t, func(c *Config) { c.MaxConnections = 1 })
	c := h.dial()
	c.quiet()
	if rest := h.dial().rest(); !strings.Contains(rest, `{"msgType":98,"reason":"server full`) {
		t.Errorf("the second got %q", rest)
	}
	c.quiet()
	h.closed(ServerFull, 1)
}

func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	h := startEdge(t, func(c *Config) { c.MaxOutbound = 1 << 20 })
	c := h.dial()
	conn := c.login(6)
	beside := h.dial()
	line := []byte(`{"x":"` + strings.Repeat("x", 1000) + `"}` + "\n")
	seq := int64(0)
	h.eventually("the client is given up", func() bool {
		var batch []result
		for range 500 {
			seq++
			batch = append(batch, result{Conns: []uint64{conn}, Push: true, Payload: line, Shown: []envelope.Range{seqs(protocol.Pair(6, 8), seq, seq)}})
		}
		h.results(batch...)
		return h.edge.table.get(conn) == nil
	})
	h.closed(SlowConsumer, 1)
	beside.quiet()
	// What the kernel has was shown; what was dropped was not.
	h.stop()
	reported := int64(0)
	for len(h.kafka.records) > 0 {
		for _, r := range h.next().env.Ranges {
			reported = max(reported, r.To)
		}
	}
	if reported >= seq {
		t.Errorf("all %d are reported as shown", seq)
	}
}

// TestUnreadable: where the system cannot wait for a socket, its client is told
// and closed, instead of being kept without ever being read.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.quiet()
	var conn *conn
	for _, each := range h.edge.table.all() {
		conn = each
	}
	conn.unreadable()
	if rest := c.rest(); !strings.Contains(rest, `{"msgType":98,"reason":"internal error"`) {
		t.Errorf("got %q", rest)
	}
	h.closed(Internal, 1)
}
