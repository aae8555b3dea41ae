package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/journal"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers"
)

// loadRows is how many journal rows are written at once.
const loadRows = 500

// loadTopic copies sponge.journal into the schema's table. The topic has the rows
// nearly in their order, and some twice: the table sorts them. It returns the
// number of the last row to replay, 0 where all are.
func (t *target) loadTopic(ctx context.Context) (until int64, err error) {
	bounds, err := t.Log.Bounds(ctx, protocol.TopicJournal)
	if err != nil {
		return 0, err
	}
	var cut map[int]int64 // offsets in the topic that are too late
	if !t.Until.Time.IsZero() {
		if cut, err = t.Log.EndsAt(ctx, protocol.TopicJournal, t.Until.Time); err != nil {
			return 0, err
		}
	}
	until = t.Until.Number
	var page []journal.Row
	err = t.eachTopicRow(ctx, bounds, func(row journal.Row, partition int, offset int64) error {
		if late, ok := cut[partition]; ok && offset < late {
			until = max(until, row.Number)
		}
		if page = append(page, row); len(page) < loadRows {
			return nil
		}
		err := t.load(ctx, page)
		page = page[:0]
		return err
	})
	if err == nil {
		err = t.load(ctx, page)
	}
	if err == nil && cut != nil && until == 0 && t.rows > 0 {
		err = fmt.Errorf("no row of the journal was published before %s", t.Until.Time.Format(time.RFC3339))
	}
	return until, err
}

// eachTopicRow calls each for the rows in sponge.journal, which must be there from
// the first on: what was deleted cannot be told from what was never published.
func (t *target) eachTopicRow(ctx context.Context, bounds map[int]queue.Bounds, each func(row journal.Row, partition int, offset int64) error) error {
	for id, b := range bounds {
		if b.First > 0 {
			return &audit.RangeError{Topic: protocol.TopicJournal, Partition: id, Wanted: queue.Bounds{First: 0, Next: b.Next}, Held: b}
		}
	}
	stream, err := t.Log.Open(ctx, protocol.TopicJournal, bounds)
	if err != nil {
		return err
	}
	defer stream.Close()
	var done, total int64
	for _, b := range bounds {
		total += b.Next - b.First
	}
	for id := range bounds {
		for {
			messages, err := stream.Next(ctx, id)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("%s: %w", protocol.TopicJournal, err)
			}
			for i := range messages {
				m := &messages[i]
				var row journal.Row
				if err := json.Unmarshal(m.Value, &row); err != nil || row.Number < 1 {
					return fmt.Errorf("%s/%d offset %d is no row of the journal: %.100q", protocol.TopicJournal, id, m.Offset, m.Value)
				}
				if err := each(row, id, m.Offset); err != nil {
					return err
				}
			}
			done += int64(len(messages))
			t.report("read journal", done, total)
		}
	}
	return nil
}

// load adds rows to the schema's journal. A number that is there already must
// have the same row.
func (t *target) load(ctx context.Context, page []journal.Row) error {
	for _, row := range page {
		if row.Number < 1 {
			return fmt.Errorf("the journal has a row %d: workers number them from 1", row.Number)
		}
	}
	known, err := t.known(ctx, page)
	if err != nil {
		return err
	}
	var fresh []journal.Row
	for _, row := range page {
		if have, ok := known[row.Number]; ok {
			if !sameRow(&have, &row) {
				return fmt.Errorf("journal row %d comes twice, and not the same: %s and %s", row.Number, have.Ranges, row.Ranges)
			}
			continue
		}
		known[row.Number] = row
		fresh = append(fresh, row)
		batch, err := row.Batch()
		if err != nil {
			return err
		}
		for _, r := range batch.Ranges {
			t.frames += r.Last - r.First + 1
		}
	}
	t.rows += int64(len(fresh))
	return t.session.Transact(ctx, false, func(tx *workers.Tx) error {
		workers.Insert(tx, "INSERT INTO journal (number, topic, rules, ranges, inputs, dead) VALUES {}", "(?,?,?,?,?,?)", fresh,
			func(a []any, r journal.Row) []any {
				return append(a, r.Number, r.Topic, r.Rules, []byte(r.Ranges), nullable(r.Inputs), nullable(r.Dead))
			})
		return nil
	})
}

func nullable(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// known are those of some rows that the schema's journal has, by number.
func (t *target) known(ctx context.Context, page []journal.Row) (map[int64]journal.Row, error) {
	known := map[int64]journal.Row{}
	err := t.session.Transact(ctx, false, func(tx *workers.Tx) error {
		return workers.In(ctx, tx, "SELECT number, topic, rules, ranges, inputs, dead FROM journal WHERE number IN ({})", "?", nil, page,
			func(a []any, r journal.Row) []any { return append(a, r.Number) },
			func(scan func(...any) error) error {
				row, err := scanRow(scan)
				known[row.Number] = row
				return err
			})
	})
	return known, err
}

// scanRow scans what is selected of a row of journal.
func scanRow(scan func(...any) error) (journal.Row, error) {
	var r journal.Row
	var ranges, inputs, dead []byte
	err := scan(&r.Number, &r.Topic, &r.Rules, &ranges, &inputs, &dead)
	r.Ranges, r.Inputs, r.Dead = ranges, inputs, dead
	return r, err
}

// sameRow compares rows of which one has been through JSON.
func sameRow(x, y *journal.Row) bool {
	same := func(x, y json.RawMessage) bool {
		if bytes.Equal(x, y) {
			return true
		}
		var a, b bytes.Buffer
		return len(x) > 0 && len(y) > 0 && json.Compact(&a, x) == nil && json.Compact(&b, y) == nil && bytes.Equal(a.Bytes(), b.Bytes())
	}
	return x.Topic == y.Topic && x.Rules == y.Rules && same(x.Ranges, y.Ranges) && same(x.Inputs, y.Inputs) && same(x.Dead, y.Dead)
}
