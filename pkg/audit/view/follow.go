package view

import (
	"context"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// followEvery is how often following looks for new records.
const followEvery = 250 * time.Millisecond

// Pace waits as long as following does between two looks at the log.
func Pace(ctx context.Context) bool {
	t := time.NewTimer(followEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// follow shows what comes behind the ranges: at each look, what had come by the
// one before. By then most of it has its journal rows, if outcomes are asked for.
func (r *reader) follow(ctx context.Context, read ranges) error {
	tick := r.Tick
	if tick == nil {
		tick = Pace
	}
	next, err := r.grown(ctx, read)
	if err != nil {
		return err
	}
	for tick(ctx) {
		if r.outcomes != nil {
			if err := r.outcomes.journal.extend(ctx); err != nil {
				return err
			}
		}
		if err := r.round(ctx, next); err != nil {
			return err
		}
		if next, err = r.grown(ctx, next); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// grown is what has come behind ranges.
func (r *reader) grown(ctx context.Context, read ranges) (ranges, error) {
	out := ranges{}
	for topic, parts := range read {
		held, err := r.log.Bounds(ctx, topic)
		if err != nil {
			return nil, err
		}
		out[topic] = map[int]queue.Bounds{}
		for id, b := range parts {
			now := held[id]
			if now.Next < b.Next {
				return nil, &audit.RangeError{Topic: topic, Partition: id, Wanted: queue.Bounds{First: b.Next, Next: b.Next + 1}, Held: now}
			}
			out[topic][id] = queue.Bounds{First: b.Next, Next: now.Next}
		}
	}
	return out, nil
}
