package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// Window is which stretch of which topics is read.
type Window struct {
	Topics     []string // none: those that can hold what the filter takes
	Partition  int      // -1: all
	From, To   Bound    // To is exclusive
	Everywhere bool     // read also partitions where no frame that the filter takes belongs
	Tail       bool     // without From: begin at the end
}

// ranges are the records to read, by topic and partition.
type ranges = map[string]map[int]queue.Bounds

// named is the one partition that the bounds name, if they do.
func (w *Window) named(topics []string) (topic string, partition int, err error) {
	partition = w.Partition
	for _, b := range []Bound{w.From, w.To} {
		if b.Place == nil {
			continue
		}
		t, p := b.Place.Topic, b.Place.Partition
		if t == "" {
			if len(topics) != 1 || w.Partition < 0 {
				return "", 0, fmt.Errorf("@%d: of which partition? say sponge.storage/3@%d, or give one --topic and a --partition", b.Place.Offset, b.Place.Offset)
			}
			t, p = topics[0], w.Partition
		}
		if topic != "" && t != topic || partition >= 0 && p != partition {
			return "", 0, errors.New("--from and --to name offsets of different partitions, or another than --topic and --partition")
		}
		topic, partition = t, p
	}
	if topic != "" && len(w.Topics) > 0 && !slices.Contains(w.Topics, topic) {
		return "", 0, fmt.Errorf("%s is none of the topics to read", topic)
	}
	return topic, partition, nil
}

// plan is what is read for a window.
type plan struct {
	ranges ranges
	times  map[string]map[int]times // of a window of time
}

// plan finds the offsets between which all lies that the window and the filter
// take, with some to spare where the window is one of time. Nothing is read but
// the first records of partitions that have lost some.
func (w *Window) plan(ctx context.Context, log audit.Log, f *Filter) (*plan, error) {
	if !w.From.Time.IsZero() && !w.To.Time.IsZero() && w.From.Time.After(w.To.Time) {
		return nil, fmt.Errorf("--from (%s) is after --to (%s)", w.From.Time.Format(time.RFC3339), w.To.Time.Format(time.RFC3339))
	}
	topics := w.Topics
	if len(topics) == 0 {
		topics = f.topics()
	}
	named, partition, err := w.named(topics)
	if err != nil {
		return nil, err
	}
	if named != "" {
		topics = []string{named}
	}
	p := &plan{ranges{}, map[string]map[int]times{}}
	var mu sync.Mutex // guards what p holds
	looking, ctx := errgroup.WithContext(ctx)
	for _, topic := range topics {
		looking.Go(func() error {
			parts, err := w.ofTopic(ctx, log, f, topic, partition)
			if err != nil {
				return err
			}
			at, err := w.times(ctx, log, topic, parts)
			mu.Lock()
			defer mu.Unlock()
			p.ranges[topic], p.times[topic] = parts, at
			return err
		})
	}
	return p, looking.Wait()
}

func (w *Window) ofTopic(ctx context.Context, log audit.Log, f *Filter, topic string, partition int) (map[int]queue.Bounds, error) {
	held, err := bounds(ctx, log, topic)
	if err != nil {
		return nil, err
	}
	if _, ok := held[partition]; !ok && partition >= 0 {
		return nil, fmt.Errorf("%s has no partition %d, but 0 to %d", topic, partition, len(held)-1)
	}
	some := map[int]bool(nil)
	if !w.Everywhere {
		some = f.partitions(topic, len(held))
	}
	out := maps.Clone(held)
	maps.DeleteFunc(out, func(id int, _ queue.Bounds) bool {
		return partition >= 0 && id != partition || some != nil && !some[id]
	})
	if err := w.begin(ctx, log, topic, out); err != nil {
		return nil, err
	}
	return out, w.end(ctx, log, topic, out)
}

// begin moves the ranges' beginnings to the window's.
func (w *Window) begin(ctx context.Context, log audit.Log, topic string, parts map[int]queue.Bounds) error {
	switch {
	case w.From.Place != nil:
		for id, b := range parts {
			if o := w.From.Place.Offset; o < b.First || o > b.Next {
				return &audit.RangeError{Topic: topic, Partition: id, Wanted: queue.Bounds{First: o, Next: o + 1}, Held: b}
			}
			parts[id] = queue.Bounds{First: w.From.Place.Offset, Next: b.Next}
		}
	case !w.From.Time.IsZero():
		at, err := log.OffsetsAt(ctx, topic, w.From.Time.Add(-clockSpan))
		if err != nil {
			return err
		}
		for id, b := range parts {
			if o, ok := at[id]; ok && o > b.First {
				parts[id] = queue.Bounds{First: min(o, b.Next), Next: b.Next}
			} else if b.First > 0 {
				if err := w.complete(ctx, log, topic, id, b); err != nil {
					return err
				}
			}
		}
	case w.Tail:
		for id, b := range parts {
			parts[id] = queue.Bounds{First: b.Next, Next: b.Next}
		}
	}
	return nil
}

// keeper is a log that knows since when a topic has lost nothing by its age.
type keeper interface {
	Kept(ctx context.Context, topic string) (since time.Time, ok bool, err error)
}

// complete fails unless the oldest record that is held of a partition is older
// than the window, or retention cannot have come so far: else the window's
// beginning may have been deleted.
func (w *Window) complete(ctx context.Context, log audit.Log, topic string, id int, held queue.Bounds) error {
	first, err := recordAt(ctx, log, topic, map[int]queue.Bounds{id: {First: held.First, Next: min(held.First+1, held.Next)}})
	if err != nil {
		return err
	}
	if m, ok := first[id]; !ok || m.Time.After(w.From.Time) {
		if k, is := log.(keeper); is {
			since, known, err := k.Kept(ctx, topic)
			if err != nil {
				return err
			}
			if known && w.From.Time.Add(-clockSpan).After(since) {
				return nil // nothing was said for long, and what was said before is gone
			}
		}
		return &GoneError{Topic: topic, Partition: id, From: w.From.Time, First: held.First, Held: m.Time}
	}
	return nil
}

// end moves the ranges' ends to the window's.
func (w *Window) end(ctx context.Context, log audit.Log, topic string, parts map[int]queue.Bounds) error {
	switch {
	case w.To.Place != nil:
		for id, b := range parts {
			to := w.To.Place.Offset
			if to > b.Next {
				return &audit.RangeError{Topic: topic, Partition: id, Wanted: queue.Bounds{First: b.First, Next: to}, Held: b}
			}
			if to < b.First && w.From.IsZero() {
				return &audit.RangeError{Topic: topic, Partition: id, Wanted: queue.Bounds{Next: to}, Held: b}
			}
			if to < b.First {
				return fmt.Errorf("--from (offset %d) is after --to (offset %d)", b.First, to)
			}
			parts[id] = queue.Bounds{First: b.First, Next: to}
		}
	case !w.To.Time.IsZero():
		at, err := log.EndsAt(ctx, topic, w.To.Time.Add(clockSpan))
		if err != nil {
			return err
		}
		for id, b := range parts {
			if o, ok := at[id]; ok {
				parts[id] = queue.Bounds{First: b.First, Next: max(b.First, min(o, b.Next))}
			}
		}
	}
	return nil
}
