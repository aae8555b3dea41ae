package edge

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"sponge/pkg/envelope"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
)

const (
	keepRetry   = 200 * time.Millisecond // after a failed renewal
	keepTimeout = 2 * time.Second        // of one renewal
	syncsPerSec = 500                    // after a loss
	// syncMargin is how far before the last moment at which the channel was
	// known to be whole a loss may lie: clocks differ, and records wait.
	syncMargin = time.Minute
)

// lost says that entries of the channel may be missing.
func (e *Edge) lost(reason string) {
	select {
	case e.losses <- reason:
	default: // a loss that was not looked at yet covers this one
	}
}

// keep renews the node's lease and channel, and recovers from their loss. A
// Redis that came back empty is noticed within presence.RenewEvery.
func (e *Edge) keep(ctx context.Context) {
	timer := time.NewTimer(presence.RenewEvery)
	defer timer.Stop()
	failing := false
	for {
		reason := ""
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case reason = <-e.losses:
		}
		whole := e.channel.WholeSince()
		why, err := e.renewKeys(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !failing {
				e.log.Warn("lease and channel cannot be renewed, trying again", "error", err)
			}
			failing = true
			if reason != "" {
				e.lost(reason)
			}
			pause(ctx, keepRetry)
			timer.Reset(0)
			continue
		}
		failing = false
		timer.Reset(presence.RenewEvery)
		if why != "" {
			reason = why
		}
		if reason != "" {
			e.restore(reason, whole)
		}
	}
}

// renewKeys renews both keys, and says which one was missing.
func (e *Edge) renewKeys(ctx context.Context) (missing string, err error) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	gone, err := e.channel.Renew(ctx)
	if err != nil {
		return "", err
	}
	there, err := e.lease.Renew(ctx)
	switch {
	case err != nil && gone:
		e.lost("the channel was gone")
		return "", err
	case err != nil:
		return "", err
	case gone:
		return "the channel was gone", nil
	case !there:
		return "the lease was gone", nil
	}
	return "", nil
}

// restore does what a loss asks for: all presence entries are written again,
// what is outstanding is published again, and sessions are synchronised.
func (e *Edge) restore(reason string, whole time.Time) {
	e.metrics.losses.Inc()
	conns := e.table.all()
	e.log.Warn("results may have been lost, synchronising", "reason", reason, "connections", len(conns), "whole", whole)
	now := e.now()
	for _, c := range conns {
		c.mu.Lock()
		if c.state == open {
			if c.proof != nil {
				e.presence.refresh(c)
			}
			c.overdue(now, true)
			c.flush()
		}
		c.mu.Unlock()
	}
	since := whole.Add(-syncMargin)
	select {
	case before := <-e.resyncs: // not begun: one run serves both
		if before.Before(since) {
			since = before
		}
	default:
	}
	e.resyncs <- since
}

// resync has every session synchronised from its cursors, paced, so that a
// loss does not become an overload.
func (e *Edge) resync(ctx context.Context) {
	pace := rate.NewLimiter(syncsPerSec, syncsPerSec/10)
	for {
		select {
		case <-ctx.Done():
			return
		case since := <-e.resyncs:
			for _, c := range e.table.all() {
				if !c.loggedIn() {
					continue
				}
				if pace.Wait(ctx) != nil {
					return
				}
				c.sync(since)
			}
		}
	}
}

func (c *conn) loggedIn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == open && c.proof != nil
}

// sync asks for what was pushed since, but the client has not seen. To one that
// had caught up, that is all that it has not seen: no clock is asked, since
// senders' edges may have others. To the rest, a 14 brings what a clock hides.
func (c *conn) sync(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open || c.proof == nil {
		return
	}
	from := int64(0)
	if !c.caughtUp {
		from = since.UnixMilli()
	}
	if err := c.publishOwn(envelope.Sync, syncFrame, protocol.TopicStorage, c.marks.take(), from); err != nil {
		c.edge.log.Warn("a session cannot be synchronised", "conn", c.id, "error", err)
		return
	}
	c.edge.metrics.resyncs.Inc()
}
