package replay

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"sponge/pkg/journal"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// Bounds of one transaction, and of what is read ahead of it.
const (
	txFrames   = 4000
	txSteps    = 200
	aheadSteps = 64
	pageRows   = 200 // of the journal
)

// replay handles the loaded journal's rows, in their order, up to a number (0:
// all).
func (t *target) replay(ctx context.Context, until int64) (Result, error) {
	var r Result
	f := newFeed(t.Log, t.handlers)
	defer f.close()
	run, ctx := errgroup.WithContext(ctx)
	steps := make(chan *step, aheadSteps)
	run.Go(func() error {
		defer close(steps)
		return t.eachRow(ctx, until, func(row journal.Row) error {
			s, err := f.step(ctx, row)
			if err != nil {
				return err
			}
			select {
			case steps <- s:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	run.Go(func() error { return t.applyAll(ctx, steps, &r) })
	if err := run.Wait(); err != nil {
		return r, err
	}
	return r, t.trim(context.WithoutCancel(ctx), until)
}

// trim removes the journal's rows that were not replayed.
func (t *target) trim(ctx context.Context, until int64) error {
	if until == 0 {
		return nil
	}
	_, err := t.db.ExecContext(ctx, "DELETE FROM journal WHERE number > ?", until)
	return err
}

// eachRow reads the schema's journal in its order, a page at a time.
func (t *target) eachRow(ctx context.Context, until int64, each func(journal.Row) error) error {
	for last := int64(0); ; {
		rows, err := t.db.QueryContext(ctx, "SELECT number, topic, rules, ranges, inputs, dead FROM journal WHERE number > ? ORDER BY number LIMIT ?", last, pageRows)
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		var page []journal.Row
		for rows.Next() {
			row, err := scanRow(rows.Scan)
			if err != nil {
				rows.Close()
				return fmt.Errorf("read the journal: %w", err)
			}
			page = append(page, row)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		rows.Close()
		for _, row := range page {
			if until > 0 && row.Number > until {
				return nil
			}
			if err := each(row); err != nil {
				return err
			}
			last = row.Number
		}
		if len(page) < pageRows {
			return nil
		}
	}
}

// applyAll handles steps in large transactions, each step as the batch that it
// was: frames of one batch see each other's effects otherwise than those of a
// later one do.
func (t *target) applyAll(ctx context.Context, steps <-chan *step, r *Result) error {
	for {
		var some []*step
		frames := 0
		for frames < txFrames && len(some) < txSteps {
			var s *step
			if len(some) == 0 {
				s = <-steps
			} else {
				select {
				case s = <-steps:
				default:
				}
			}
			if s == nil {
				break
			}
			some = append(some, s)
			frames += len(s.frames)
		}
		if len(some) == 0 {
			return ctx.Err()
		}
		err := t.apply(ctx, some, false)
		if err != nil && workers.FaultOf(err) == workers.FaultRepeat {
			err = t.apply(ctx, some, true)
		}
		if err != nil {
			return err
		}
		for _, s := range some {
			r.Rows++
			r.Frames += s.count
			r.Dead += s.dead
			r.Last = s.row.Number
		}
		t.report("replay", r.Frames, t.frames)
	}
}

func (t *target) apply(ctx context.Context, steps []*step, careful bool) error {
	return t.session.Transact(ctx, careful, func(tx *workers.Tx) error {
		tx.Replaying = true
		ends := map[protocol.Topic]map[int]workers.Applied{}
		for _, s := range steps {
			if len(s.frames) > 0 {
				h, ok := t.handlers[s.topic]
				if !ok {
					return fmt.Errorf("no handlers for %s", s.topic.Name())
				}
				outcomes, err := h.Handle(ctx, tx, s.frames)
				if err != nil {
					return fmt.Errorf("journal row %d: %w", s.row.Number, err)
				}
				if len(outcomes) != len(s.frames) {
					return fmt.Errorf("journal row %d: %d outcomes for %d frames", s.row.Number, len(outcomes), len(s.frames))
				}
			}
			if ends[s.topic] == nil {
				ends[s.topic] = map[int]workers.Applied{}
			}
			for _, a := range s.last {
				ends[s.topic][a.Partition] = a
			}
		}
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
