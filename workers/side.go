package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"sponge/pkg/journal"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// journalWriter publishes journal rows to sponge.journal after their commit.
// Whoever reads it knows by contiguous offsets whether it is complete.
type journalWriter struct {
	producer *queue.Producer
	topic    string
	log      *slog.Logger
}

// write publishes a row and calls done, with nil when Kafka has it. Its topic
// has one partition, so rows keep their order.
func (w *journalWriter) write(row []byte, done func(error)) {
	r := &queue.Record{Value: row, Time: time.Now()}
	err := w.producer.Enqueue(w.topic, 0, r, func(_ *queue.Record, err error) {
		if err != nil {
			// The row stays in MySQL. Unless a later one succeeds, what it
			// covers counts as not announced: see publishMissing.
			w.log.Error("publish journal row", "error", err)
		}
		done(err)
	})
	if err != nil {
		w.log.Error("publish journal row", "error", err)
		done(err)
	}
}

// journalPage is how many journal rows are looked at at once.
const journalPage = 100

// publishMissing publishes the journal rows of what was applied but perhaps not
// announced.
func (g *group) publishMissing(ctx context.Context, parts []*partition) error {
	from := map[int]int64{}
	for _, p := range parts {
		if p.announce < p.next {
			from[p.id] = p.announce
		}
	}
	return g.publishFrom(ctx, from)
}

// publishFrom publishes the journal rows of all records from an offset of each
// partition on. Some of them may be in the topic already; they have numbers.
func (g *group) publishFrom(ctx context.Context, from map[int]int64) error {
	wanted := maps.Clone(from)
	before := int64(math.MaxInt64)
	var found [][]byte // the newest first
	for len(wanted) > 0 {
		rows, err := g.journalBefore(ctx, before)
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			before = row.Number
			batch, err := row.Batch()
			if err != nil {
				return err
			}
			missing := false
			for _, r := range batch.Ranges {
				first, ok := wanted[r.Partition]
				missing = missing || ok && r.Last >= first
				if ok && r.First <= first {
					delete(wanted, r.Partition)
				}
			}
			if missing {
				text, err := json.Marshal(row)
				if err != nil {
					return fmt.Errorf("encode journal row: %w", err)
				}
				found = append(found, text)
			}
		}
	}
	results := make(chan error, len(found))
	for _, row := range slices.Backward(found) {
		g.journal.write(row, func(err error) { results <- err })
	}
	// Before anything counts as announced, they must be in the topic.
	for range found {
		select {
		case err := <-results:
			if err != nil && !errors.Is(err, queue.ErrRejected) {
				return fmt.Errorf("publish journal rows: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// journalBefore reads a page of the topic's rows, the newest first, backwards
// through the primary key.
func (g *group) journalBefore(ctx context.Context, before int64) ([]journal.Row, error) {
	rows, err := g.db.QueryContext(ctx, "SELECT number, topic, rules, ranges, inputs, dead FROM journal"+
		" WHERE number < ? AND topic = ? ORDER BY number DESC LIMIT ?", before, g.topic.Group(), journalPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []journal.Row
	for rows.Next() {
		var r journal.Row
		var ranges, inputs, dead []byte
		if err := rows.Scan(&r.Number, &r.Topic, &r.Rules, &ranges, &inputs, &dead); err != nil {
			return nil, err
		}
		r.Ranges, r.Inputs, r.Dead = ranges, inputs, dead
		out = append(out, r)
	}
	return out, rows.Err()
}

// deadLetters keeps frames that no handler could take.
type deadLetters struct {
	producer *queue.Producer
	topic    string
}

// put stores a frame with its error and where it came from, and waits for
// Kafka to have it.
func (d *deadLetters) put(ctx context.Context, from protocol.Topic, f *Frame, cause error) error {
	headers := []queue.Header{
		{Key: "sponge", Value: f.header},
		{Key: "error", Value: []byte(cause.Error())},
		{Key: "source", Value: fmt.Appendf(nil, "%s/%d/%d", from.Name(), f.Partition, f.Offset)},
	}
	var panicked *panicError
	if errors.As(cause, &panicked) {
		headers = append(headers, queue.Header{Key: "stack", Value: panicked.stack})
	}
	r := &queue.Record{Key: f.key, Value: f.Bytes, Time: time.Now(), Headers: headers}
	result := make(chan error, 1)
	if err := d.producer.Enqueue(d.topic, 0, r, func(_ *queue.Record, err error) { result <- err }); err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
