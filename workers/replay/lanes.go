package replay

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"

	"sponge/pkg/protocol"
	"sponge/workers"
)

// lane handles its share of the conversations, in the order of the journal, in
// transactions of its own.
type lane struct {
	target  *target
	session *workers.Session
	work    chan share
}

// share is what a lane has to do of a step: frames, or only to say that it has
// done all before.
type share struct {
	step   *step
	frames []*workers.Frame
	done   chan<- struct{}
}

// maxLanes bounds the transactions that are under way; the database has other
// cores, but one disk.
const maxLanes = 8

// dispatch handles steps in their order. What handlers do to conversations apart
// is parted among lanes; any other step is handled when all before it has been,
// and before all behind it.
func (t *target) dispatch(ctx context.Context, steps <-chan *step, r *Result) (ends map[protocol.Topic]map[int]workers.Applied, err error) {
	run, ctx := errgroup.WithContext(ctx)
	lanes := make([]*lane, min(maxLanes, max(2, runtime.GOMAXPROCS(0))))
	for i := range lanes {
		session, err := workers.OpenSession(ctx, t.db)
		if err != nil {
			return nil, err
		}
		defer session.Close()
		lanes[i] = &lane{t, session, make(chan share, aheadSteps)}
	}
	for _, l := range lanes {
		run.Go(func() error { return l.run(ctx) })
	}
	ends = map[protocol.Topic]map[int]workers.Applied{}
	run.Go(func() error {
		defer func() {
			for _, l := range lanes {
				close(l.work)
			}
		}()
		d := &dispatcher{target: t, lanes: lanes, seed: maphash.MakeSeed()}
		for {
			if len(steps) == 0 { // what waits holds room that the next step may need
				if err := d.flush(ctx); err != nil {
					return err
				}
			}
			var s *step
			select {
			case s = <-steps:
			case <-ctx.Done():
				return ctx.Err()
			}
			if s == nil {
				return d.flush(ctx)
			}
			if err := d.add(ctx, s); err != nil {
				return err
			}
			if ends[s.topic] == nil {
				ends[s.topic] = map[int]workers.Applied{}
			}
			for _, a := range s.last {
				ends[s.topic][a.Partition] = a
			}
			r.Rows++
			r.Frames += s.count
			r.Dead += s.dead
			r.Last = s.row.Number
			t.report("replay", r.Frames, t.frames)
		}
	})
	return ends, run.Wait()
}

// advance writes how far all partitions have taken effect: the last thing, since
// before, a part of the rows is there.
func (t *target) advance(ctx context.Context, ends map[protocol.Topic]map[int]workers.Applied) error {
	return t.session.Transact(ctx, false, func(tx *workers.Tx) error {
		for topic, parts := range ends {
			var list []workers.Applied
			for _, a := range parts {
				list = append(list, a)
			}
			workers.Advance(tx, topic, list)
		}
		return nil
	})
}

// dispatcher parts steps among lanes.
type dispatcher struct {
	target *target
	lanes  []*lane
	seed   maphash.Seed
	alone  []*step // that wait to be handled, by themselves
	frames int     // in them
	bytes  int64
}

func (d *dispatcher) lane(c protocol.Conversation) int {
	return int(maphash.Comparable(d.seed, c) % uint64(len(d.lanes)))
}

func (d *dispatcher) add(ctx context.Context, s *step) error {
	if len(s.frames) == 0 {
		d.target.room.Release(s.size())
		return nil
	}
	h, ok := d.target.handlers[s.topic]
	if !ok {
		return fmt.Errorf("no handlers for %s", s.topic.Name())
	}
	parter, ok := h.(workers.Parter)
	if !ok {
		d.alone = append(d.alone, s)
		d.frames += len(s.frames)
		if d.bytes += s.size(); d.frames >= txFrames || len(d.alone) >= txSteps || d.bytes >= aheadBytes/4 {
			return d.flush(ctx)
		}
		return nil
	}
	if err := d.flush(ctx); err != nil {
		return err
	}
	shares := make([][]*workers.Frame, len(d.lanes))
	for _, f := range s.frames {
		parter.Part(f, d.lane, func(n int, f *workers.Frame) { shares[n] = append(shares[n], f) })
	}
	s.left.Store(1) // ours
	defer s.done(d.target.room)
	for n, frames := range shares {
		if len(frames) > 0 {
			s.left.Add(1)
			if err := d.lanes[n].send(ctx, share{step: s, frames: frames}); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush handles the steps that wait, when the lanes have done all before them.
func (d *dispatcher) flush(ctx context.Context) error {
	if len(d.alone) == 0 {
		return nil
	}
	done := make(chan struct{}, len(d.lanes))
	for _, l := range d.lanes {
		if err := l.send(ctx, share{done: done}); err != nil {
			return err
		}
	}
	for range d.lanes {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var shares []share
	for _, s := range d.alone {
		s.left.Store(1)
		shares = append(shares, share{step: s, frames: s.frames})
	}
	d.alone, d.frames, d.bytes = nil, 0, 0
	return d.target.apply(ctx, d.target.session, shares)
}

func (l *lane) send(ctx context.Context, s share) error {
	select {
	case l.work <- s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run handles shares until there are no more, as many in a transaction as wait.
func (l *lane) run(ctx context.Context) (err error) {
	var some []share
	frames := 0
	flush := func() {
		if err == nil && len(some) > 0 {
			err = l.target.apply(ctx, l.session, some)
		}
		some, frames = nil, 0
	}
	for s := range l.work {
		if s.done == nil {
			some = append(some, s)
			frames += len(s.frames)
		}
		if s.done != nil || frames >= txFrames || len(some) >= txSteps || len(l.work) == 0 {
			flush()
		}
		if err != nil {
			return err
		}
		if s.done != nil {
			s.done <- struct{}{}
		}
	}
	flush()
	return err
}

// apply handles shares in one transaction, each step as the batch that it was:
// frames of one batch see each other's effects otherwise than those of a later one
// do.
func (t *target) apply(ctx context.Context, session *workers.Session, shares []share) error {
	careful := false
	for {
		err := session.Transact(ctx, careful, func(tx *workers.Tx) error {
			tx.Replaying = true
			for _, s := range shares {
				outcomes, err := t.handlers[s.step.topic].Handle(ctx, tx, s.frames)
				if err == nil && len(outcomes) != len(s.frames) {
					err = fmt.Errorf("%d outcomes for %d frames", len(outcomes), len(s.frames))
				}
				if err != nil {
					return fmt.Errorf("journal row %d: %w", s.step.row.Number, err)
				}
			}
			return nil
		})
		switch {
		case err == nil:
			for _, s := range shares {
				s.step.done(t.room)
			}
			return nil
		case workers.FaultOf(err) == workers.FaultRepeat && !careful:
			careful = true
		case isDeadlock(err): // with another lane: InnoDB has rolled it back
		default:
			return err
		}
	}
}

func isDeadlock(err error) bool {
	const deadlock = 1213
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == deadlock
}
