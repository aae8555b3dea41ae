// Package audit reads Sponge's log: every frame that edges published, the
// workers' journal of what took effect in which order, and the frames that no
// handler could take. The log is in topics, in an archive of them (package
// archive), or both; who reads it does not know which.
//
// It must not know rows: replaying the log into a database and comparing the two
// is package workers/replay.
package audit

import (
	"context"
	"fmt"
	"time"

	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// AllTopics are all that the log consists of, without the namespace, in a fixed
// order: those that carry frames, the journal, the dead letters.
func AllTopics() []string {
	var out []string
	for t := range protocol.NumTopics {
		out = append(out, t.Name())
	}
	return append(out, protocol.TopicJournal, protocol.TopicDead)
}

// Log is where records are read from. Topics are named without the namespace.
// Safe for concurrent use.
type Log interface {
	// Bounds is what the log holds of a topic, by partition: First is the oldest
	// offset, Next the one behind the newest. ErrNoTopic where there is none.
	Bounds(ctx context.Context, topic string) (map[int]queue.Bounds, error)

	// OffsetsAt finds, for each partition of a topic, the first offset whose
	// record has a time at or after t; Bounds' Next where none has. Kafka goes by
	// its own clock, when the record was appended; an archive, which does not know
	// that, by the publisher's (queue.Message.Time, to the millisecond).
	OffsetsAt(ctx context.Context, topic string, t time.Time) (map[int]int64, error)

	// EndsAt finds, for each partition, the offset behind its last record whose
	// time is before t; Bounds' First where none is. By Kafka's clock that is what
	// OffsetsAt finds; by publishers', one of which may be fast, it is not.
	EndsAt(ctx context.Context, topic string, t time.Time) (map[int]int64, error)

	// Open reads ranges of a topic's partitions, [First, Next) each. A range that
	// the log does not hold whole is a *RangeError: nothing is left out silently.
	Open(ctx context.Context, topic string, ranges map[int]queue.Bounds) (Stream, error)
}

// Stream reads several partitions of a topic side by side, in bounded memory.
// It is for one goroutine.
type Stream interface {
	// Next returns the next records of a partition, one at least, in the order of
	// their offsets, or io.EOF behind its range. It waits for them. Offsets may
	// skip where the broker itself has none (compaction, transactions' markers).
	// The messages stay valid.
	Next(ctx context.Context, partition int) ([]queue.Message, error)

	// Close ends the reading and waits for its goroutines. It may be called again.
	Close() error
}

// Prover is a Stream that knows at the end of a file only whether it is what it
// should be: an archive's. Who stops before has it prove what was read.
type Prover interface {
	Prove(ctx context.Context) error
}

// ErrNoTopic means that a log has no such topic.
var ErrNoTopic = fmt.Errorf("audit: no such topic in this log")

// RangeError says that a log does not hold what it was asked for: retention
// passed, or it never came that far.
type RangeError struct {
	Topic     string
	Partition int
	Wanted    queue.Bounds
	Held      queue.Bounds
}

func (e *RangeError) Error() string {
	if e.Held.First >= e.Held.Next {
		return fmt.Sprintf("%s/%d: offsets %d to %d are wanted, the log holds none; the next one is %d",
			e.Topic, e.Partition, e.Wanted.First, e.Wanted.Next-1, e.Held.Next)
	}
	return fmt.Sprintf("%s/%d: offsets %d to %d are wanted, the log holds %d to %d",
		e.Topic, e.Partition, e.Wanted.First, e.Wanted.Next-1, e.Held.First, e.Held.Next-1)
}

// Record is a record and where it stands.
type Record struct {
	Topic     string
	Partition int
	queue.Message
}
