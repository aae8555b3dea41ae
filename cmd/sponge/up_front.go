package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sponge/edge"
	"sponge/infra/local"
)

// balanced tells whether a balancer has the shared port. Otherwise the edges
// listen there together.
func (c *upCommand) balanced() bool { return c.Kafka == "real" }

// startFront puts a balancer on the shared port, where the edges do not listen
// there themselves.
func (u *cluster) startFront(ctx context.Context, edges []*edge.Edge) (err error) {
	if !u.cmd.balanced() {
		return nil
	}
	c := local.BalancerConfig{Listen: u.cmd.listen(0)}
	for i := range edges {
		c.Backends = append(c.Backends, u.cmd.listen(i+1))
	}
	u.front, err = local.StartBalancer(ctx, u.options("haproxy"), c)
	if errors.Is(err, local.ErrUnavailable) {
		return fmt.Errorf("%w; or leave out --kafka=real, which needs no balancer", err)
	}
	if err == nil {
		u.stops = append(u.stops, u.front.Stop)
	}
	return err
}

func (u *cluster) drainFront() error {
	if u.front == nil {
		return nil
	}
	return u.front.Drain()
}

// frontWait bounds the wait for clients that read their last words slowly.
const frontWait = time.Second

// emptyFront lets the balancer hand on what the edges said last.
func (u *cluster) emptyFront() {
	if u.front == nil {
		return
	}
	t := time.NewTimer(frontWait)
	defer t.Stop()
	select {
	case <-u.front.Done():
	case <-t.C:
	}
}
