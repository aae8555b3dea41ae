package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/journal"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// journalReader reads the journal's topic beside the frames, as far as they need
// it. Of rows that come before their frames it keeps the ranges, 24 bytes each,
// until the frames have passed.
type journalReader struct {
	log   audit.Log
	parts map[string]map[int]*handled // by handler group and partition: what is read

	started bool
	bounds  map[int]queue.Bounds // what has been opened of the topic, or read
	stream  audit.Stream         // nil where all has been read
	open    []int                // its partitions that have not ended
}

// newJournalReader is for frames that lie in ranges; with open ends for those
// behind them, too.
func newJournalReader(log audit.Log, wanted ranges, open bool) *journalReader {
	j := &journalReader{log: log, parts: map[string]map[int]*handled{}}
	for t := range protocol.NumTopics {
		for id, b := range wanted[t.Name()] {
			if j.parts[t.Group()] == nil {
				j.parts[t.Group()] = map[int]*handled{}
			}
			h := &handled{until: b.Next}
			if open {
				h.until = 1<<63 - 1
			}
			j.parts[t.Group()][id] = h
		}
	}
	return j
}

// close ends the reading. It may be called again.
func (j *journalReader) close() error {
	if j.stream == nil {
		return nil
	}
	stream := j.stream
	j.stream = nil
	return stream.Close()
}

// find tells how a record was handled, and forgets the records of its partition
// that come before it. It reads the journal on until it knows, at most to where
// it ended when it was last opened.
func (j *journalReader) find(ctx context.Context, topic string, at journal.Place, published time.Time) (handling, error) {
	t, err := protocol.TopicOf(topic[len("sponge."):])
	if err != nil {
		return handling{}, err
	}
	h := j.parts[t.Group()][at.Partition]
	if h == nil {
		return handling{}, fmt.Errorf("%s/%d is not among what is read", topic, at.Partition)
	}
	if !j.started {
		if err := j.start(ctx, published); err != nil {
			return handling{}, err
		}
	}
	h.forget(at.Offset)
	for {
		if len(h.ranges) > 0 && h.ranges[0].first <= at.Offset {
			return handling{h.ranges[0].number, h.dead[at.Offset], h.refused[at.Offset]}, nil
		}
		if more, err := j.advance(ctx); !more || err != nil {
			return handling{}, err
		}
		h.forget(at.Offset)
	}
}

// start opens the journal where the rows of the first frame, and so of all, can
// begin. It fails where those may have been deleted.
func (j *journalReader) start(ctx context.Context, first time.Time) error {
	held, err := bounds(ctx, j.log, protocol.TopicJournal)
	if err != nil {
		return fmt.Errorf("what became of frames is told by %s: %w", protocol.TopicJournal, err)
	}
	at, err := j.log.OffsetsAt(ctx, protocol.TopicJournal, first.Add(-clockSpan))
	if err != nil {
		return err
	}
	j.bounds = map[int]queue.Bounds{}
	for id, b := range held {
		begin := queue.Bounds{First: max(b.First, min(at[id], b.Next)), Next: b.Next}
		if b.First > 0 && begin.First == b.First {
			w := Window{From: Bound{Time: first}}
			if err := w.complete(ctx, j.log, protocol.TopicJournal, id, b); err != nil {
				return fmt.Errorf("what became of frames cannot be told: %w", err)
			}
		}
		j.bounds[id] = begin
	}
	j.started = true
	return j.openStream(ctx)
}

// extend has find read what has come to the journal since. All before has been
// read, or will be.
func (j *journalReader) extend(ctx context.Context) error {
	if !j.started {
		return nil
	}
	for more := true; more; { // frames to come may need it
		var err error
		if more, err = j.advance(ctx); err != nil {
			return err
		}
	}
	held, err := j.log.Bounds(ctx, protocol.TopicJournal)
	if err != nil {
		return err
	}
	for id, b := range held {
		j.bounds[id] = queue.Bounds{First: j.bounds[id].Next, Next: max(b.Next, j.bounds[id].Next)}
	}
	return j.openStream(ctx)
}

func (j *journalReader) openStream(ctx context.Context) (err error) {
	wanted := map[int]queue.Bounds{}
	j.open = j.open[:0]
	for id, b := range j.bounds {
		if b.First < b.Next {
			wanted[id] = b
			j.open = append(j.open, id)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	slices.Sort(j.open)
	j.stream, err = j.log.Open(ctx, protocol.TopicJournal, wanted)
	return err
}

// advance takes the next rows. The topic has one partition; if it had more,
// their rows would come in no order, which does not matter here.
func (j *journalReader) advance(ctx context.Context) (more bool, err error) {
	if len(j.open) == 0 {
		return false, j.close()
	}
	id := j.open[0]
	messages, err := j.stream.Next(ctx, id)
	if errors.Is(err, io.EOF) {
		j.open = j.open[1:]
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s/%d: %w", protocol.TopicJournal, id, err)
	}
	for i := range messages {
		if err := j.take(&messages[i]); err != nil {
			return false, fmt.Errorf("%s/%d@%d: %w", protocol.TopicJournal, id, messages[i].Offset, err)
		}
	}
	return true, nil
}

func (j *journalReader) take(m *queue.Message) error {
	var row journal.Row
	if err := json.Unmarshal(m.Value, &row); err != nil {
		return fmt.Errorf("no journal row: %w", err)
	}
	parts := j.parts[row.Topic]
	if parts == nil {
		return nil
	}
	batch, err := row.Batch()
	if err != nil {
		return err
	}
	for _, r := range batch.Ranges {
		if h := parts[r.Partition]; h != nil {
			h.add(numbered{r.First, r.Last, row.Number})
		}
	}
	for at := range batch.Dead {
		if h := parts[at.Partition]; h != nil {
			h.dead = with(h.dead, at.Offset, h.until)
		}
	}
	for at, input := range batch.Inputs {
		if h := parts[at.Partition]; h != nil && string(input) == journal.Refused {
			h.refused = with(h.refused, at.Offset, h.until)
		}
	}
	return nil
}
