package edge

import (
	"context"
	"slices"
	"sync"
	"time"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/presence"
)

// Times of the presence queue.
const (
	presenceTimeout = time.Second           // of one round trip
	presenceRetry   = 50 * time.Millisecond // after a failure
	presenceKeep    = 10 * time.Second      // for which a change that nobody waits for is tried
	presenceBatch   = 512                   // changes in one round trip
)

// presenceOp is a change of presence, and what waits for it.
type presenceOp struct {
	user     int64
	conn     *conn // of req
	place    uint64
	there    bool
	back     bool  // not there, and expected back
	out      bool  // not there, by a logout
	sweep    bool  // afterwards, the user's entries of dead nodes go
	deadline int64 // by Edge.now; 0: set when first tried

	barrier  chan struct{} // closed when all before is written or given up; then nothing else is set
	req      *request      // nil: nobody waits
	proof    *keys.Proof
	life     time.Duration // of proof
	confirm  bool
	caughtUp bool
	payload  []byte
	shown    []envelope.Range
}

// presenceQueue writes changes of presence to Redis in the order in which they
// were asked for, as many at once as there are. Asking never blocks.
type presenceQueue struct {
	wake chan struct{}

	mu  sync.Mutex // guards ops
	ops []*presenceOp
}

func newPresenceQueue() *presenceQueue { return &presenceQueue{wake: make(chan struct{}, 1)} }

func (q *presenceQueue) add(op *presenceOp) {
	q.mu.Lock()
	q.ops = append(q.ops, op)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// bind writes an entry, then finishes the login that waits for it.
func (q *presenceQueue) bind(c *conn, req *request, r *channel.Result) {
	q.add(&presenceOp{
		user: r.Proof.User(), conn: c, place: c.place(), there: true, deadline: req.deadline, req: req, proof: r.Proof, life: r.Life,
		confirm: r.Confirm, caughtUp: r.CaughtUp, payload: slices.Clone(r.Payload), shown: slices.Clone(r.Shown),
	})
}

// unbind removes an entry, then finishes the logout that waits for it.
func (q *presenceQueue) unbind(c *conn, req *request, r *channel.Result) {
	q.add(&presenceOp{user: c.user(), conn: c, place: c.place(), out: true, deadline: req.deadline, req: req, payload: slices.Clone(r.Payload)})
}

// remove removes an entry.
func (q *presenceQueue) remove(user int64, place uint64) {
	q.add(&presenceOp{user: user, place: place})
}

// gone removes the entry of a connection that is being closed. Whom a restart
// sends away is expected back, also one who leaves by himself when told.
func (q *presenceQueue) gone(c *conn) {
	q.add(&presenceOp{user: c.user(), place: c.place(), back: c.reason == Draining || c.noticed && c.edge.draining.Load()})
}

// refresh writes the entry of a connection again, at its time or because it may
// be gone. The former is seldom, and the time to sweep.
func (q *presenceQueue) refresh(c *conn, sweep bool) {
	q.add(&presenceOp{user: c.user(), place: c.place(), there: true, sweep: sweep})
}

// written waits until what was asked for so far is written, or given up.
func (q *presenceQueue) written(ctx context.Context) error {
	done := make(chan struct{})
	q.add(&presenceOp{barrier: done})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *presenceQueue) take() []*presenceOp {
	q.mu.Lock()
	defer q.mu.Unlock()
	ops := q.ops
	if len(ops) > presenceBatch {
		ops = ops[:presenceBatch]
		q.ops = slices.Clone(q.ops[presenceBatch:])
	} else {
		q.ops = nil
	}
	return ops
}

// run writes until ctx ends; then what is left is tried once more.
func (q *presenceQueue) run(ctx context.Context, e *Edge) {
	var left []*presenceOp
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-q.wake:
			for ops := q.take(); len(ops) > 0; ops = q.take() {
				if left = q.write(ctx, e, ops); len(left) > 0 {
					break
				}
			}
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), presenceTimeout)
	defer cancel()
	for ops := append(left, q.take()...); len(ops) > 0; ops = q.take() {
		if err := e.lease.Write(last, changes(ops)); err != nil {
			e.log.Warn("the last changes of presence cannot be written", "error", err)
			return
		}
	}
}

// write writes a batch, and repeats it while somebody waits for it. When ctx
// ends first, it returns what is left.
func (q *presenceQueue) write(ctx context.Context, e *Edge, ops []*presenceOp) (left []*presenceOp) {
	failed := false
	for len(ops) > 0 {
		bounded, cancel := context.WithTimeout(ctx, presenceTimeout)
		err := e.lease.Write(bounded, changes(ops))
		cancel()
		if err == nil {
			var sweep []int64
			for _, op := range ops {
				switch {
				case op.req != nil:
					op.conn.bound(op, nil)
				case op.barrier != nil:
					close(op.barrier)
				case op.sweep:
					sweep = append(sweep, op.user)
				}
			}
			q.sweep(ctx, e, sweep)
			return nil
		}
		if ctx.Err() != nil {
			return ops
		}
		if !failed {
			e.log.Warn("presence cannot be written, trying again", "error", err)
			failed = true
		}
		ops = giveUpOverdue(ops, e.now(), err)
		pause(ctx, presenceRetry)
		if len(ops) < presenceBatch { // who came meanwhile has a deadline, too
			ops = append(ops, q.take()...)
		}
	}
	return nil
}

// sweep removes what dead nodes have left, if that can be done at once.
func (q *presenceQueue) sweep(ctx context.Context, e *Edge, users []int64) {
	if len(users) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, presenceTimeout)
	defer cancel()
	if err := e.lease.Sweep(bounded, users); err != nil && ctx.Err() == nil {
		e.log.Warn("presence cannot be swept, the next time will do", "error", err)
	}
}

// giveUpOverdue finishes, without success, what has waited for too long.
func giveUpOverdue(ops []*presenceOp, now int64, err error) []*presenceOp {
	return slices.DeleteFunc(ops, func(op *presenceOp) bool {
		if op.deadline == 0 {
			op.deadline = now + presenceKeep.Milliseconds()
		}
		if now < op.deadline {
			return false
		}
		switch {
		case op.req != nil:
			op.conn.bound(op, err)
		case op.barrier != nil:
			close(op.barrier)
		}
		return true
	})
}

func changes(ops []*presenceOp) []presence.Change {
	out := make([]presence.Change, 0, len(ops))
	for _, op := range ops {
		if op.barrier == nil {
			out = append(out, presence.Change{User: op.user, Conn: op.place, There: op.there, Back: op.back, Out: op.out})
		}
	}
	return out
}

// refreshEvery is when an entry is to be written again, spread so that logins
// that came together are not refreshed together.
func refreshEvery(id uint64) int64 {
	most := presence.Refresh.Milliseconds()
	return most - int64(id%1024)*(most/4)/1024
}
