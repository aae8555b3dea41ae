package edge

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// drain lets go of all clients: nothing new comes in, each is told to go
// elsewhere, gets what it is owed, and is closed.
func (e *Edge) drain(ctx context.Context, web *http.Server, acceptors *sync.WaitGroup) {
	e.mu.Lock() // with enter: nobody comes in any more
	e.draining.Store(true)
	e.mu.Unlock()
	e.closeListeners()
	if web != nil {
		web.Close() // WebSockets are connections of ours, not the server's
	}
	acceptors.Wait()

	conns := e.table.all()
	e.log.Info("edge drains", "connections", len(conns))
	for _, c := range conns {
		c.mu.Lock()
		if c.state == open {
			c.notice(Draining)
			c.flush()
		}
		c.mu.Unlock()
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.DrainTimeout)
	defer cancel()
	e.await(bounded, func() bool { return e.metrics.outstanding.Load() == 0 })

	for _, c := range e.table.all() {
		c.mu.Lock()
		c.close(Draining)
		c.mu.Unlock()
	}
	e.sockets.Wait() // bounded by lingerTime and maxFarewell
}

// await polls until done or ctx ends. Nothing signals what it waits for: a
// signal for each answer would cost every answer of a node's life.
func (e *Edge) await(ctx context.Context, done func() bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
