package edge

import (
	"context"
	"time"

	"sponge/pkg/presence"
	"sponge/pkg/protocol"
)

// sweepSteps is in how many steps the sweeper visits all connections: a few
// shards at a time, so that its work is spread.
const sweepSteps = 8

// sweepEvery is how often each connection is visited: seldom, but often enough
// for the shortest of the configured times.
func (c *Config) sweepEvery() time.Duration {
	every := min(c.LoginTimeout/8, c.IdleTimeout/8, c.AnswerTimeout/40, c.RepublishAfter/8, c.ReportEvery/2)
	return min(max(every, 16*time.Millisecond), 500*time.Millisecond)
}

// sweep does for all connections what is due by the clock. No connection has a
// timer of its own.
func (e *Edge) sweep(ctx context.Context) {
	tick := time.NewTicker(e.cfg.sweepEvery() / sweepSteps)
	defer tick.Stop()
	var conns []*conn
	for step := 0; ; step = (step + 1) % sweepSteps {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for i := step; i < numShards; i += sweepSteps {
			conns = e.table.list(conns[:0], i)
			for _, c := range conns {
				c.visit(e.now())
			}
			clear(conns)
		}
	}
}

// visit does what is due for one connection.
func (c *conn) visit(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open {
		return
	}
	cfg := &c.edge.cfg
	if len(c.window) > 0 {
		if c.overdue(now, false); c.state != open {
			return
		}
	}
	switch {
	case c.proof == nil && now-c.loggedOut > cfg.LoginTimeout.Milliseconds() && !c.loggingIn():
		c.close(LoginTimeout)
		return
	case now-c.received > cfg.IdleTimeout.Milliseconds():
		c.close(Idle)
		return
	}
	c.report(false)
	c.renew(now)
	c.forget(now)
	if c.proof != nil && now >= c.refreshAt {
		c.refreshAt = now + presence.Refresh.Milliseconds()
		c.edge.presence.refresh(c, true)
	}
	c.flush()
}

// loggingIn reports whether a login is about to be answered.
func (c *conn) loggingIn() bool {
	return len(c.window) == 1 && c.window[0].typ == protocol.Login
}
