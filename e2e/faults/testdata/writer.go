package edge

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/queue"
)

// writer is the producer that kafka-go's Writer makes: a batch that failed is
// written again behind those that have come since, and nobody knows whether it
// arrived.
type writer struct {
	log       *slog.Logger
	transport *kafka.Transport
	client    *kafka.Client
	w         *kafka.Writer

	mu      sync.Mutex
	waiting map[*queue.Record]func(*queue.Record, error) // guarded by mu: neither done nor cancelled
}

func newWriter(brokers []string, log *slog.Logger) *writer {
	transport := &kafka.Transport{ClientID: "sponge", DialTimeout: 3 * time.Second, MetadataTTL: time.Second}
	w := &writer{
		log: log, transport: transport,
		client:  &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport, Timeout: 5 * time.Second},
		waiting: map[*queue.Record]func(*queue.Record, error){},
	}
	w.w = &kafka.Writer{
		Addr: w.client.Addr, Transport: transport, Balancer: chosen{},
		Async: true, Completion: w.completed, RequiredAcks: kafka.RequireAll,
		BatchTimeout: 2 * time.Millisecond, WriteTimeout: 2 * time.Second, MaxAttempts: 1,
	}
	return w
}

// Partitions implements producer.
func (w *writer) Partitions(ctx context.Context, topic string) (int, error) {
	res, err := w.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	for _, t := range res.Topics {
		if t.Name == topic && t.Error == nil && len(t.Partitions) > 0 {
			return len(t.Partitions), nil
		}
	}
	return 0, fmt.Errorf("partitions of %s: %w", topic, kafka.UnknownTopicOrPartition)
}

// sent is a record on its way, as its message carries it.
type sent struct {
	record    *queue.Record
	partition int
}

// chosen takes the partition that the edge has chosen.
type chosen struct{}

// Balance implements kafka.Balancer.
func (chosen) Balance(m kafka.Message, _ ...int) int { return m.WriterData.(sent).partition }

// Enqueue implements producer.
func (w *writer) Enqueue(topic string, partition int, r *queue.Record, done func(*queue.Record, error)) error {
	w.mu.Lock()
	w.waiting[r] = done
	w.mu.Unlock()
	err := w.w.WriteMessages(context.Background(), kafka.Message{
		Topic: topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Time: r.Time, WriterData: sent{r, partition},
	})
	if err != nil {
		w.forget(r)
	}
	return err
}

func (w *writer) forget(r *queue.Record) (done func(*queue.Record, error), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	done, ok = w.waiting[r]
	delete(w.waiting, r)
	return done, ok
}

// completed ends a batch that succeeded, and writes one that failed again.
func (w *writer) completed(batch []kafka.Message, err error) {
	if err == nil {
		w.end(batch, nil)
		return
	}
	w.log.Warn("write failed, trying again", "messages", len(batch), "error", err)
	time.Sleep(20 * time.Millisecond)
	var again []kafka.Message
	w.mu.Lock()
	for _, m := range batch {
		if w.waiting[m.WriterData.(sent).record] != nil {
			again = append(again, kafka.Message{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: m.Headers, Time: m.Time, WriterData: m.WriterData})
		}
	}
	w.mu.Unlock()
	if err := w.w.WriteMessages(context.Background(), again...); err != nil {
		w.end(again, fmt.Errorf("%w: %w", queue.ErrUnknown, err))
	}
}

func (w *writer) end(batch []kafka.Message, err error) {
	for _, m := range batch {
		r := m.WriterData.(sent).record
		if done, ok := w.forget(r); ok {
			done(r, err)
		}
	}
}

// Cancel implements producer. The Writer cannot tell whether a record was sent.
func (w *writer) Cancel(r *queue.Record) (neverSent bool) {
	w.forget(r)
	return false
}

// Close implements producer.
func (w *writer) Close(context.Context) error {
	defer w.transport.CloseIdleConnections()
	return w.w.Close()
}
