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
	keepRetry     = 200 * time.Millisecond // after a failed renewal
	keepTimeout   = 2 * time.Second        // of one renewal
	syncsPerSec   = 500                    // after a loss
	settleTimeout = 5 * time.Second        // of one attempt to settle
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
	renewed := time.Now()
	for {
		reason := ""
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case reason = <-e.losses:
		}
		// What the reader has found whole since it came back says nothing of
		// what workers did not send to a node without a lease.
		whole, now := e.channel.WholeSince(), time.Now()
		if renewed.Before(whole) {
			whole = renewed
		}
		gone, unleased, err := e.renewKeys(ctx)
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
		// A lease that had lapsed may be there again by a renewal whose answer
		// was lost.
		unleased = unleased || time.Since(renewed) > presence.LeaseTime
		renewed = now
		switch {
		case gone:
			e.restore("the channel was gone", whole, true)
		case reason != "":
			e.restore(reason, whole, true)
		case unleased:
			e.restore("the lease was gone", whole, false)
		}
	}
}

// renewKeys renews both keys, and says which of them were missing.
func (e *Edge) renewKeys(ctx context.Context) (gone, unleased bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if gone, err = e.channel.Renew(ctx); err != nil {
		return false, false, err
	}
	there, err := e.lease.Renew(ctx)
	if err != nil && gone {
		e.lost("the channel was gone")
	}
	return gone, !there, err
}

// restore does what a loss asks for: all presence entries are written again,
// and sessions are synchronised, since workers pass over a node without a lease.
// Where results that were sent may be lost, what is outstanding is published
// again: a lease alone lives shorter than the channel, which then still has them.
func (e *Edge) restore(reason string, whole time.Time, lost bool) {
	e.metrics.losses.Inc()
	conns := e.table.all()
	e.log.Warn("results may have been lost, synchronising", "reason", reason, "connections", len(conns), "whole", whole)
	now := e.now()
	for _, c := range conns {
		c.mu.Lock()
		if c.state == open {
			if c.proof != nil {
				e.presence.refresh(c, false)
			}
			if lost {
				c.overdue(now, true)
			}
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
			if e.settle(ctx) != nil {
				return
			}
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

// settle waits until what is asked for now is what is missing: what the channel
// holds has been delivered, and users are present again, so that workers push
// what they commit behind the synchronisation. The error is ctx's.
func (e *Edge) settle(ctx context.Context) error {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, settleTimeout)
		err := e.channel.CatchUp(attempt)
		if err == nil {
			err = e.presence.written(attempt)
		}
		cancel()
		if err == nil {
			break
		}
		e.log.Warn("sessions cannot be synchronised yet, trying again", "error", err)
		pause(ctx, keepRetry)
	}
	return ctx.Err()
}

func (c *conn) loggedIn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == open && c.proof != nil
}

// sync asks for what was pushed since, but the client has not seen. To one that
// had caught up, that is all that it has not seen: no clock is asked, since
// senders' edges may have others. To the rest, a 14 brings what a clock hides;
// also to those who confirm, since what they have got is not marked until then.
func (c *conn) sync(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open || c.proof == nil {
		return
	}
	from := int64(0)
	if !c.caughtUp || c.confirm {
		from = since.UnixMilli()
	}
	c.syncFrom(from)
}

// syncFrom asks for what is not marked, from a time in Unix milliseconds on.
func (c *conn) syncFrom(from int64) {
	if err := c.publishOwn(envelope.Sync, syncFrame, protocol.TopicStorage, c.marks.take(), from); err != nil {
		c.edge.log.Warn("a session cannot be synchronised", "conn", c.id, "error", err)
		return
	}
	c.edge.metrics.resyncs.Inc()
}
