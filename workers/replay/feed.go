package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"sponge/pkg/audit"
	"sponge/pkg/journal"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers"
)

// step is a row of the journal with its frames, ready to be handled.
type step struct {
	row    journal.Row
	topic  protocol.Topic
	frames []*workers.Frame // those that may change rows
	last   []workers.Applied
	count  int64 // of records
	dead   int64
	bytes  int64        // of them
	left   atomic.Int32 // shares that have not been handled
}

// size is what the step takes of the room for records.
func (s *step) size() int64 { return min(max(s.bytes, 1), aheadBytes) }

// done is called for each share that has been handled.
func (s *step) done(room *semaphore.Weighted) {
	if room != nil && s.left.Add(-1) == 0 {
		room.Release(s.size())
	}
}

// feed makes steps of journal rows: it reads the partitions side by side, each
// from its begin, and looks that the rows leave nothing out.
type feed struct {
	log     audit.Log
	streams map[protocol.Topic]audit.Stream
	readers map[protocol.Topic]*workers.Reader
	parts   map[protocol.Topic]map[int]*partition
	restore map[protocol.Topic]workers.Handler
	lacking int64 // offsets that the log has no record for
}

// partition is where the journal stands with one.
type partition struct {
	next   int64 // the offset that its next row begins with
	number int64 // of the row before
	rest   []queue.Message
}

func newFeed(log audit.Log, handlers map[protocol.Topic]workers.Handler) *feed {
	return &feed{log: log, streams: map[protocol.Topic]audit.Stream{}, readers: map[protocol.Topic]*workers.Reader{},
		parts: map[protocol.Topic]map[int]*partition{}, restore: handlers}
}

// open begins to read a topic, all that the log holds of it now. ctx is for the
// whole reading.
func (f *feed) open(ctx context.Context, topic protocol.Topic) error {
	bounds, err := f.log.Bounds(ctx, topic.Name())
	if err != nil {
		return err
	}
	parts := map[int]*partition{}
	for id, b := range bounds {
		// What has been deleted was not all that there is to replay.
		bounds[id] = queue.Bounds{First: 0, Next: b.Next}
		parts[id] = &partition{}
	}
	stream, err := f.log.Open(ctx, topic.Name(), bounds)
	if err != nil {
		return err
	}
	f.streams[topic], f.readers[topic], f.parts[topic] = stream, workers.NewReader(topic), parts
	return nil
}

func (f *feed) close() {
	for _, s := range f.streams {
		_ = s.Close()
	}
}

// OrderError means that the rows of a journal do not follow each other: one was
// removed, added or altered.
type OrderError struct {
	Row, Before int64 // numbers; Before is 0 for the first of a partition
	Topic       string
	Partition   int
	Offset      int64 // that the row begins with
	Next        int64 // that it should begin with
}

func (e *OrderError) Error() string {
	return fmt.Sprintf("journal row %d begins at %s/%d offset %d, and row %d before it ends at %d",
		e.Row, e.Topic, e.Partition, e.Offset, e.Before, e.Next-1)
}

// step makes the step of a row.
func (f *feed) step(ctx context.Context, row journal.Row) (*step, error) {
	if row.Rules != workers.Rules {
		return nil, fmt.Errorf("journal row %d was decided by rules %d: this program knows rules %d only", row.Number, row.Rules, workers.Rules)
	}
	topic, err := protocol.TopicOf(row.Topic)
	if err != nil {
		return nil, fmt.Errorf("journal row %d: %w", row.Number, err)
	}
	batch, err := row.Batch()
	if err != nil {
		return nil, err
	}
	if f.streams[topic] == nil {
		if err := f.open(ctx, topic); err != nil {
			return nil, err
		}
	}
	s := &step{row: row, topic: topic, dead: int64(len(batch.Dead))}
	used := 0
	for _, r := range batch.Ranges {
		p, ok := f.parts[topic][r.Partition]
		if !ok {
			return nil, fmt.Errorf("journal row %d tells of %s/%d, which the log does not have", row.Number, topic.Name(), r.Partition)
		}
		if r.Last-r.First >= mostRecords {
			return nil, fmt.Errorf("journal row %d tells of %d records of %s/%d: no worker takes so many at once", row.Number, r.Last-r.First+1, topic.Name(), r.Partition)
		}
		broken := &OrderError{row.Number, p.number, topic.Name(), r.Partition, r.First, p.next}
		if r.First < p.next {
			return nil, broken
		}
		messages, err := f.take(ctx, topic, r, p)
		if err != nil {
			return nil, fmt.Errorf("journal row %d: %w", row.Number, err)
		}
		if r.First > p.next && len(messages) > 0 && messages[0].Offset < r.First {
			return nil, broken
		}
		f.lacking += r.Last + 1 - p.next - int64(len(messages))
		p.next, p.number = r.Last+1, row.Number
		n, err := f.read(s, r, messages, &batch)
		if err != nil {
			return nil, fmt.Errorf("journal row %d: %w", row.Number, err)
		}
		used += n
	}
	if used != len(batch.Inputs)+len(batch.Dead) {
		return nil, fmt.Errorf("journal row %d has inputs or dead records outside its ranges", row.Number)
	}
	return s, nil
}

// mostRecords is more than any worker's batch has (SPONGE_WORKER_BATCH).
const mostRecords = 10_000

// take removes the records of a range. Offsets may skip where the broker has none
// at all; a record before the range comes along, as the first.
func (f *feed) take(ctx context.Context, topic protocol.Topic, r journal.Range, p *partition) (out []queue.Message, err error) {
	for {
		if len(p.rest) == 0 {
			p.rest, err = f.streams[topic].Next(ctx, r.Partition)
			if errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("%s/%d ends before offset %d, which the journal tells of (an archive may be behind: --with-topics goes on where it ends)", topic.Name(), r.Partition, r.Last)
			}
			if err != nil {
				return nil, fmt.Errorf("%s/%d: %w", topic.Name(), r.Partition, err)
			}
		}
		n, _ := slices.BinarySearchFunc(p.rest, r.Last+1, func(m queue.Message, offset int64) int { return int(m.Offset - offset) })
		out = append(out, p.rest[:n]...)
		if p.rest = p.rest[n:]; len(out) > 0 && out[len(out)-1].Offset == r.Last {
			return out, nil
		}
		if len(p.rest) > 0 {
			return nil, fmt.Errorf("%s/%d has no record at offset %d, which the journal tells of", topic.Name(), r.Partition, r.Last)
		}
	}
}

// read adds a range's frames to the step, and returns how many of the row's
// inputs and dead records they took.
func (f *feed) read(s *step, r journal.Range, messages []queue.Message, batch *journal.Batch) (used int, err error) {
	slab := make([]workers.Frame, len(messages))
	for i := range messages {
		m, frame := &messages[i], &slab[i]
		at := journal.Place{Partition: r.Partition, Offset: m.Offset}
		input, has := batch.Inputs[at]
		if has {
			used++
		}
		refused := has && isRefused(input)
		err := f.readers[s.topic].Read(frame, r.Partition, m)
		if err == nil && !refused {
			frame.Believe()
		}
		if i == len(messages)-1 {
			s.last = append(s.last, workers.Applied{Partition: r.Partition, Announced: m.Offset + 1, Last: frame})
		}
		s.count++
		s.bytes += int64(len(m.Key) + len(m.Value) + len(m.Header) + recordCost)
		if batch.Dead[at] {
			used++
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("%s/%d offset %d: %w", s.topic.Name(), r.Partition, m.Offset, err)
		}
		if frame.Type.Reads() {
			continue
		}
		if h, ok := f.restore[s.topic].(workers.Replayer); ok {
			if err := h.Restore(frame, input); err != nil {
				return 0, fmt.Errorf("%s/%d offset %d: %w", s.topic.Name(), r.Partition, m.Offset, err)
			}
		}
		s.frames = append(s.frames, frame)
	}
	return used, nil
}

// recordCost is about what a record takes in memory besides its bytes.
const recordCost = 600

// isRefused reports whether an input is journal.Refused.
func isRefused(input json.RawMessage) bool {
	var in struct {
		Proof string `json:"proof"`
	}
	return json.Unmarshal(input, &in) == nil && in.Proof == "refused"
}

// prove has an archive prove what was read of it.
func (f *feed) prove(ctx context.Context) error {
	for _, s := range f.streams {
		if p, ok := s.(audit.Prover); ok {
			if err := p.Prove(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// behind counts the records that the rows so far do not cover.
func (f *feed) behind(ctx context.Context) (n int64, err error) {
	for topic := range protocol.NumTopics {
		bounds, err := f.log.Bounds(ctx, topic.Name())
		if err != nil {
			return 0, err
		}
		for id, b := range bounds {
			covered := int64(0)
			if p := f.parts[topic][id]; p != nil {
				covered = p.next
			}
			n += max(0, b.Next-max(covered, b.First))
		}
	}
	return n, nil
}
