package replay

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"sponge/pkg/journal"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// Bounds of one transaction, and of what is read ahead of it.
const (
	txFrames   = 2000
	txSteps    = 200
	aheadSteps = 32
	aheadBytes = 128 << 20 // of records that were read and not handled
	pageRows   = 200       // of the journal
)

// replay handles the loaded journal's rows, in their order, up to a number (0:
// all).
func (t *target) replay(parent context.Context, until int64) (r Result, err error) {
	t.room = semaphore.NewWeighted(aheadBytes)
	f := newFeed(t.Log, t.handlers)
	defer f.close()
	run, ctx := errgroup.WithContext(parent)
	steps := make(chan *step, aheadSteps)
	run.Go(func() error {
		defer close(steps)
		return t.eachRow(ctx, until, func(row journal.Row) error {
			s, err := f.step(ctx, row)
			if err != nil {
				return err
			}
			if err := t.room.Acquire(ctx, s.size()); err != nil {
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
	var ends map[protocol.Topic]map[int]workers.Applied
	run.Go(func() (err error) {
		ends, err = t.dispatch(ctx, steps, &r)
		return err
	})
	if err := run.Wait(); err != nil {
		return r, err
	}
	if err := f.prove(parent); err != nil {
		return r, err
	}
	r.Lacking = f.lacking
	// Now that all rows are there.
	if err := t.advance(parent, ends); err != nil {
		return r, err
	}
	if err := t.trim(parent, until); err != nil {
		return r, err
	}
	r.Behind, err = f.behind(parent)
	return r, err
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
