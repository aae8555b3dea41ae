package audit

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"sponge/pkg/queue"
)

// Merge calls each for all records of some ranges, by topic and partition, in
// the order of their times; within a partition in the order of their offsets,
// whatever its clocks say. The record is each's until it returns; what its
// message holds stays valid. An error of each ends it, and is returned.
func Merge(ctx context.Context, log Log, ranges map[string]map[int]queue.Bounds, each func(*Record) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var m merge
	for topic, parts := range ranges {
		stream, err := log.Open(ctx, topic, parts)
		if err != nil {
			return err
		}
		defer stream.Close()
		for id := range parts {
			m = append(m, &run{stream: stream, record: Record{Topic: topic, Partition: id}})
		}
	}
	for _, r := range m {
		if err := r.advance(ctx); err != nil {
			return err
		}
	}
	m = slices.DeleteFunc(m, func(r *run) bool { return r.ended })
	heap.Init(&m)
	for len(m) > 0 {
		r := m[0]
		if err := each(&r.record); err != nil {
			return err
		}
		if err := r.advance(ctx); err != nil {
			return err
		}
		if r.ended {
			heap.Pop(&m)
		} else {
			heap.Fix(&m, 0)
		}
	}
	return ctx.Err()
}

// run is one partition's records.
type run struct {
	stream Stream
	rest   []queue.Message
	record Record // the next one
	ended  bool
}

func (r *run) advance(ctx context.Context) error {
	if len(r.rest) == 0 {
		var err error
		if r.rest, err = r.stream.Next(ctx, r.record.Partition); err != nil {
			if errors.Is(err, io.EOF) {
				r.ended = true
				return nil
			}
			return fmt.Errorf("%s/%d: %w", r.record.Topic, r.record.Partition, err)
		}
	}
	r.record.Message, r.rest = r.rest[0], r.rest[1:]
	return nil
}

// merge is a heap of runs, by the times of their next records.
type merge []*run

func (m merge) Len() int      { return len(m) }
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m merge) Less(i, j int) bool {
	x, y := &m[i].record, &m[j].record
	if c := x.Time.Compare(y.Time); c != 0 {
		return c < 0
	}
	return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition)) < 0
}

// Push implements heap.Interface.
func (m *merge) Push(x any) { *m = append(*m, x.(*run)) }

// Pop implements heap.Interface.
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
