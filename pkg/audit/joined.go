package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sponge/pkg/queue"
)

// Joined is a log whose older part is in one place and whose rest is in another:
// an archive, and the topics that it was made of. Where both hold a record it is
// the older's; package archive compares them. Safe for concurrent use.
type Joined struct{ Older, Newer Log }

// ErrShort means that topics end before the archive that was made of them.
var ErrShort = errors.New("audit: the topics end before the archive")

// Bounds implements Log. A gap between the two is a *RangeError.
func (j Joined) Bounds(ctx context.Context, topic string) (map[int]queue.Bounds, error) {
	out, _, err := j.bounds(ctx, topic)
	return out, err
}

// bounds also tells where the newer part begins, by partition.
func (j Joined) bounds(ctx context.Context, topic string) (out map[int]queue.Bounds, seam map[int]int64, err error) {
	older, err := j.Older.Bounds(ctx, topic)
	if err != nil && !errors.Is(err, ErrNoTopic) {
		return nil, nil, err
	}
	newer, err := j.Newer.Bounds(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	out, seam = map[int]queue.Bounds{}, map[int]int64{}
	for id, n := range newer {
		out[id], seam[id] = n, n.First
	}
	for id, o := range older {
		n, ok := newer[id]
		switch {
		case !ok || o.Next > n.Next:
			return nil, nil, fmt.Errorf("%w: %s/%d at %d, and at %d", ErrShort, topic, id, n.Next, o.Next)
		case o.Next < n.First && o.First < o.Next:
			return nil, nil, &RangeError{Topic: topic, Partition: id, Wanted: queue.Bounds{First: o.Next, Next: n.First}, Held: n}
		case o.First < o.Next:
			out[id], seam[id] = queue.Bounds{First: o.First, Next: n.Next}, o.Next
		}
	}
	return out, seam, nil
}

// OffsetsAt implements Log.
func (j Joined) OffsetsAt(ctx context.Context, topic string, t time.Time) (map[int]int64, error) {
	bounds, seam, err := j.bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	older, err := j.Older.OffsetsAt(ctx, topic, t)
	if err != nil && !errors.Is(err, ErrNoTopic) {
		return nil, err
	}
	newer, err := j.Newer.OffsetsAt(ctx, topic, t)
	if err != nil && !errors.Is(err, ErrNoTopic) {
		return nil, err
	}
	out := map[int]int64{}
	for id, b := range bounds {
		out[id] = b.Next
		if at, ok := older[id]; ok && b.First <= at && at < seam[id] {
			out[id] = at
		} else if at, ok := newer[id]; ok {
			out[id] = max(at, seam[id])
		}
	}
	return out, nil
}

// EndsAt implements Log.
func (j Joined) EndsAt(ctx context.Context, topic string, t time.Time) (map[int]int64, error) {
	bounds, seam, err := j.bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	older, err := j.Older.EndsAt(ctx, topic, t)
	if err != nil && !errors.Is(err, ErrNoTopic) {
		return nil, err
	}
	newer, err := j.Newer.EndsAt(ctx, topic, t)
	if err != nil {
		return nil, err
	}
	out := map[int]int64{}
	for id, b := range bounds {
		if out[id] = max(b.First, newer[id]); out[id] <= seam[id] {
			out[id] = max(b.First, min(seam[id], older[id]))
		}
	}
	return out, nil
}

// SameAtSeam compares the last record of the older part with the newer's, where
// that still has it: topics that were made anew are others.
func (j Joined) SameAtSeam(ctx context.Context) error {
	for _, topic := range AllTopics() {
		older, err := j.Older.Bounds(ctx, topic)
		if errors.Is(err, ErrNoTopic) {
			continue
		}
		if err != nil {
			return err
		}
		newer, err := j.Newer.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		last := map[int]queue.Bounds{}
		for id, o := range older {
			if n := newer[id]; o.First < o.Next && n.First < o.Next && o.Next <= n.Next {
				last[id] = queue.Bounds{First: o.Next - 1, Next: o.Next}
			}
		}
		if err := sameRecords(ctx, j, topic, last); err != nil {
			return err
		}
	}
	return nil
}

func sameRecords(ctx context.Context, j Joined, topic string, ranges map[int]queue.Bounds) (err error) {
	var found [2]map[int]queue.Message
	for i, log := range []Log{j.Older, j.Newer} {
		found[i] = map[int]queue.Message{}
		err := Merge(ctx, log, map[string]map[int]queue.Bounds{topic: ranges}, func(r *Record) error {
			found[i][r.Partition] = r.Message
			return nil
		})
		if err != nil {
			return err
		}
	}
	for id, x := range found[0] {
		y := found[1][id]
		if !bytes.Equal(x.Key, y.Key) || !bytes.Equal(x.Value, y.Value) || !bytes.Equal(x.Header, y.Header) {
			return fmt.Errorf("%s/%d offset %d: the topic's record is not the archive's: the topic was made anew, or one of them was altered", topic, id, x.Offset)
		}
	}
	return nil
}

// Open implements Log.
func (j Joined) Open(ctx context.Context, topic string, ranges map[int]queue.Bounds) (Stream, error) {
	_, seam, err := j.bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	before, behind := map[int]queue.Bounds{}, map[int]queue.Bounds{}
	for id, r := range ranges {
		at, ok := seam[id]
		if !ok {
			return nil, &RangeError{Topic: topic, Partition: id, Wanted: r}
		}
		if r.First < min(at, r.Next) {
			before[id] = queue.Bounds{First: r.First, Next: min(at, r.Next)}
		}
		if r.Next > at {
			behind[id] = queue.Bounds{First: max(at, r.First), Next: r.Next}
		}
	}
	s := &joinedStream{}
	if len(before) > 0 {
		if s.older, err = j.Older.Open(ctx, topic, before); err != nil {
			return nil, err
		}
	}
	if len(behind) > 0 {
		if s.newer, err = j.Newer.Open(ctx, topic, behind); err != nil {
			return nil, errors.Join(fmt.Errorf("behind the archive: %w", err), s.Close())
		}
	}
	s.before, s.behind = before, behind
	return s, nil
}

// joinedStream reads one part after the other.
type joinedStream struct {
	older, newer   Stream // nil where nothing is read of it
	before, behind map[int]queue.Bounds
}

// Next implements Stream.
func (s *joinedStream) Next(ctx context.Context, partition int) ([]queue.Message, error) {
	if _, ok := s.before[partition]; ok {
		messages, err := s.older.Next(ctx, partition)
		if !errors.Is(err, io.EOF) {
			return messages, err
		}
		delete(s.before, partition)
	}
	if _, ok := s.behind[partition]; ok {
		return s.newer.Next(ctx, partition)
	}
	return nil, io.EOF
}

// Prove implements Prover.
func (s *joinedStream) Prove(ctx context.Context) error {
	if p, ok := s.older.(Prover); ok {
		return p.Prove(ctx)
	}
	return nil
}

// Close implements Stream.
func (s *joinedStream) Close() error {
	var errs []error
	for _, part := range []Stream{s.older, s.newer} {
		if part != nil {
			errs = append(errs, part.Close())
		}
	}
	return errors.Join(errs...)
}
