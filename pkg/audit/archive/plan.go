package archive

import (
	"context"
	"errors"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// plan finds what to copy. Partitions with a gap are left out, and told of.
func (r *run) plan(ctx context.Context) (map[string]map[int]queue.Bounds, error) {
	todo := map[string]map[int]queue.Bounds{}
	for _, topic := range audit.AllTopics() {
		bounds, err := r.a.cfg.Log.Bounds(ctx, topic)
		if errors.Is(err, audit.ErrNoTopic) && len(r.held[topic]) == 0 {
			r.a.cfg.Logger.Warn("archive: there is no such topic yet", "topic", topic)
			continue
		}
		if err != nil {
			return nil, err
		}
		if todo[topic], err = r.planTopic(ctx, topic, bounds); err != nil {
			return nil, err
		}
	}
	return todo, nil
}

func (r *run) planTopic(ctx context.Context, topic string, bounds map[int]queue.Bounds) (map[int]queue.Bounds, error) {
	if r.held[topic] == nil {
		r.held[topic] = map[int]Span{}
	}
	held, todo := r.held[topic], map[int]queue.Bounds{}
	for _, p := range sortedKeys(held) {
		b, ok := bounds[p]
		if next := held[p].Next; !ok || b.First > next || b.Next < next {
			r.gaps = append(r.gaps, &GapError{Topic: topic, Partition: p, Next: next, Held: b})
			delete(bounds, p)
		}
	}
	for _, p := range sortedKeys(bounds) {
		b := bounds[p]
		if _, ok := held[p]; !ok {
			if b.First > 0 {
				r.a.cfg.Logger.Warn("archive: a partition's first records were gone before it was archived first",
					"topic", topic, "partition", p, "first", b.First)
			}
			held[p] = Span{First: b.First, Next: b.First}
		}
		if next := held[p].Next; b.Next > next {
			todo[p] = queue.Bounds{First: next, Next: b.Next}
			// The record before tells whether the topic is still the same.
			if held[p].LastHash != "" && b.First < next {
				r.known[place{topic, p}] = true
			}
		}
	}
	if r.a.cfg.Lag > 0 && len(todo) > 0 {
		until, err := r.a.cfg.Log.OffsetsAt(ctx, topic, r.a.cfg.Now().Add(-r.a.cfg.Lag))
		if err != nil {
			return nil, err
		}
		for p, b := range todo {
			if b.Next = min(b.Next, until[p]); b.Next > b.First {
				todo[p] = b
			} else {
				delete(todo, p)
			}
		}
	}
	for _, b := range todo {
		r.total += b.Next - b.First
	}
	return todo, nil
}
