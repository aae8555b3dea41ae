package floor

import (
	"context"
	"fmt"
	"log/slog"

	"sponge/pkg/queue"
)

// Reading Kafka is pkg/queue's: its fetch session is a thin layer over
// kafka-go, which has none of its own.

var silent = slog.New(slog.DiscardHandler)

// sink takes what a fetcher reads.
type sink struct {
	deliver func(partition int, messages []queue.Message)
	full    func() bool // nil: never
	lost    chan<- error
}

// Deliver implements queue.Sink.
func (s *sink) Deliver(partition int, messages []queue.Message) { s.deliver(partition, messages) }

// Full implements queue.Sink.
func (s *sink) Full(int) bool { return s.full != nil && s.full() }

// Lost implements queue.Sink.
func (s *sink) Lost(partition int, err error) {
	select {
	case s.lost <- fmt.Errorf("partition %d is lost: %w", partition, err):
	default:
	}
}

// bounds are the offsets behind the last records of a topic, and how many
// records it has.
func bounds(ctx context.Context, brokers []string, topic string, partitions int) (ends map[int]int64, records int, err error) {
	ids := make([]int, partitions)
	for i := range ids {
		ids[i] = i
	}
	all, err := queue.Offsets(ctx, brokers, topic, ids)
	ends = map[int]int64{}
	for id, b := range all {
		ends[id] = b.Next
		records += int(b.Next - b.First)
	}
	return ends, records, err
}

// take waits for an item, and takes what waits behind it, up to most.
func take(ctx context.Context, items <-chan int64, most int, failed <-chan error) (batch []int64, err error) {
	select {
	case <-ctx.Done():
		return nil, nil
	case err := <-failed:
		return nil, err
	case n := <-items:
		batch = append(batch, n)
	}
	for len(batch) < most {
		select {
		case n := <-items:
			batch = append(batch, n)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// ended leaves out what failed only because the stage was told to end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
