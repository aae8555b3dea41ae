package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

// write publishes a row and calls done when Kafka has it. Its topic has one
// partition, so rows keep their order.
func (w *journalWriter) write(row []byte, done func()) {
	r := &queue.Record{Value: row, Time: time.Now()}
	err := w.producer.Enqueue(w.topic, 0, r, func(_ *queue.Record, err error) {
		if err != nil {
			// The row stays in MySQL; what it covers counts as not announced,
			// so the next owner publishes what is missing.
			w.log.Error("publish journal row", "error", err)
			return
		}
		done()
	})
	if err != nil {
		w.log.Error("publish journal row", "error", err)
	}
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
