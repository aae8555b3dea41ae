//go:build !race

package queue

import (
	"bytes"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// closing counts the records that were given back.
type closing struct {
	bytes.Reader
	closed *int
}

func (c *closing) Close() error { *c.closed++; return nil }

// TestDecodeGivesBackAndAllocatesLittle: every record that was read is closed,
// also one below the offset that was asked for, and bytes share their memory.
func TestDecodeGivesBackAndAllocatesLittle(t *testing.T) {
	const records, size = 400, 300
	closed := 0
	value := bytes.Repeat([]byte{'v'}, size)
	batch := make([]protocol.Record, records)
	values := make([]closing, records)
	fill := func() protocol.RecordReader {
		for i := range batch {
			values[i].closed = &closed
			values[i].Reset(value)
			batch[i] = protocol.Record{Offset: int64(i), Time: time.Unix(1, 0), Value: &values[i]}
		}
		return protocol.NewRecordReader(batch...)
	}
	messages, err := decode(fill(), 10)
	if err != nil || len(messages) != records-10 || messages[0].Offset != 10 || !bytes.Equal(messages[records-11].Value, value) {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	if closed != records {
		t.Errorf("%d of %d records were closed", closed, records)
	}
	got := testing.AllocsPerRun(20, func() {
		if _, err := decode(fill(), 0); err != nil {
			t.Fatal(err)
		}
	})
	if got > records/5 {
		t.Errorf("%.0f allocations for %d records", got, records)
	}
}

// TestDecodeTellsEmptyFromNone, wherever in a fetch the record stands: an archive
// is compared with its topics byte by byte.
func TestDecodeTellsEmptyFromNone(t *testing.T) {
	var batch []protocol.Record
	for i := range int64(3) {
		batch = append(batch, protocol.Record{Offset: i, Key: protocol.NewBytes([]byte{}), Value: protocol.NewBytes([]byte("v"))})
	}
	batch = append(batch, protocol.Record{Offset: 3})
	messages, err := decode(protocol.NewRecordReader(batch...), 0)
	if err != nil || len(messages) != 4 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	for _, m := range messages {
		if none := m.Offset == 3; (m.Key == nil) != none || (m.Value == nil) != none {
			t.Errorf("offset %d: key %#v, value %#v", m.Offset, m.Key, m.Value)
		}
	}
}
