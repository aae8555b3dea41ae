package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// compare holds the archive against the topics, record by record, where both
// have the same offsets.
func (c *checker) compare(ctx context.Context) error {
	r, err := NewReader(ctx, c.store, c.report.Key)
	if err != nil {
		return err
	}
	for _, topic := range slices.Sorted(maps.Keys(r.held)) {
		bounds, err := c.cfg.Topics.Bounds(ctx, topic)
		if err != nil {
			return fmt.Errorf("archive: compare %s: %w", topic, err)
		}
		ranges := map[int]queue.Bounds{}
		for _, p := range sortedKeys(r.held[topic]) {
			held := r.held[topic][p].bounds()
			live, ok := bounds[p]
			name := fmt.Sprintf("%s/%d", topic, p)
			switch {
			case !ok || live.Next < held.Next:
				return fault(name, ErrDiffers, "the archive holds offsets up to %d, the topic only up to %d", held.Next-1, live.Next-1)
			case live.First > held.Next:
				return fault(name, ErrGap, "offsets %d to %d are neither in the archive nor in the topic", held.Next, live.First-1)
			}
			if both := (queue.Bounds{First: max(held.First, live.First), Next: held.Next}); both.First < both.Next {
				ranges[p] = both
			}
		}
		if len(ranges) == 0 {
			continue
		}
		if err := c.compareTopic(ctx, r, topic, ranges); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) compareTopic(ctx context.Context, r *Reader, topic string, ranges map[int]queue.Bounds) (err error) {
	ours, err := r.Open(ctx, topic, ranges)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	theirs, err := c.cfg.Topics.Open(ctx, topic, ranges)
	if err != nil {
		return fmt.Errorf("archive: compare %s: %w", topic, err)
	}
	defer func() { err = errors.Join(err, theirs.Close()) }()
	for _, p := range sortedKeys(ranges) {
		a, b := &cursor{stream: ours, partition: p}, &cursor{stream: theirs, partition: p}
		for {
			x, err := a.next(ctx)
			if err != nil {
				return err
			}
			y, err := b.next(ctx)
			if err != nil {
				return fmt.Errorf("archive: compare %s/%d: %w", topic, p, err)
			}
			if x == nil && y == nil {
				break
			}
			if what := differ(x, y); what != "" {
				return fault(fmt.Sprintf("%s/%d", topic, p), ErrDiffers, "%s", what)
			}
			if c.report.Compared++; c.report.Compared%1000 == 0 {
				c.progress.Compared = c.report.Compared
				c.tell(0)
			}
		}
	}
	return nil
}

// cursor reads a stream's partition record by record.
type cursor struct {
	stream    audit.Stream
	partition int
	left      []queue.Message
}

// next is nil behind the last.
func (c *cursor) next(ctx context.Context) (*queue.Message, error) {
	if len(c.left) == 0 {
		var err error
		if c.left, err = c.stream.Next(ctx, c.partition); errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	m := &c.left[0]
	c.left = c.left[1:]
	return m, nil
}

// differ says in what two records differ, archive's first; empty if in nothing.
func differ(x, y *queue.Message) string {
	switch {
	case y == nil || x != nil && x.Offset < y.Offset:
		return fmt.Sprintf("offset %d is in the archive, but not in the topic", x.Offset)
	case x == nil || y.Offset < x.Offset:
		return fmt.Sprintf("offset %d is in the topic, but not in the archive", y.Offset)
	case !equal(x.Key, y.Key):
		return fmt.Sprintf("offset %d has key %q in the archive, %q in the topic", x.Offset, x.Key, y.Key)
	case !equal(x.Value, y.Value):
		return fmt.Sprintf("offset %d has other bytes in the archive than in the topic", x.Offset)
	case !equal(x.Header, y.Header) || !slices.EqualFunc(x.Rest, y.Rest, sameHeader):
		return fmt.Sprintf("offset %d has other headers in the archive than in the topic", x.Offset)
	case x.Time.UnixMilli() != y.Time.UnixMilli():
		return fmt.Sprintf("offset %d has time %s in the archive, %s in the topic", x.Offset, x.Time.UTC().Format(timeForm), y.Time.UTC().Format(timeForm))
	}
	return ""
}

func equal(x, y []byte) bool { return (x == nil) == (y == nil) && bytes.Equal(x, y) }

func sameHeader(x, y queue.Header) bool { return x.Key == y.Key && equal(x.Value, y.Value) }
