package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"sponge/pkg/queue"
)

// Topics is the log as Kafka has it. Safe for concurrent use.
type Topics struct {
	brokers   []string
	namespace string
	log       *slog.Logger
}

// NewTopics reads the topics of a namespace. It connects when it is asked.
func NewTopics(brokers []string, namespace string, log *slog.Logger) *Topics {
	return &Topics{brokers, namespace, log}
}

// Bounds implements Log.
func (t *Topics) Bounds(ctx context.Context, topic string) (map[int]queue.Bounds, error) {
	ids, err := t.partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	return queue.Offsets(ctx, t.brokers, t.namespace+topic, ids)
}

func (t *Topics) partitions(ctx context.Context, topic string) ([]int, error) {
	ids, err := queue.Partitions(ctx, t.brokers, t.namespace+topic)
	if errors.Is(err, queue.ErrNoTopic) {
		err = fmt.Errorf("%w: %w", ErrNoTopic, err)
	}
	return ids, err
}

// OffsetsAt implements Log.
func (t *Topics) OffsetsAt(ctx context.Context, topic string, at time.Time) (map[int]int64, error) {
	bounds, err := t.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	ids := make([]int, 0, len(bounds))
	for id := range bounds {
		ids = append(ids, id)
	}
	found, err := queue.OffsetsAt(ctx, t.brokers, t.namespace+topic, ids, at)
	if err != nil {
		return nil, err
	}
	for id, b := range bounds {
		if _, ok := found[id]; !ok {
			found[id] = b.Next
		}
	}
	return found, nil
}

// EndsAt implements Log.
func (t *Topics) EndsAt(ctx context.Context, topic string, at time.Time) (map[int]int64, error) {
	return t.OffsetsAt(ctx, topic, at)
}

// Kept is since when a topic has lost no record by its age; ok is false where
// nobody knows.
func (t *Topics) Kept(ctx context.Context, topic string) (since time.Time, ok bool, err error) {
	keeps, ok, err := queue.Retention(ctx, t.brokers, t.namespace+topic)
	return time.Now().Add(-keeps), ok, err
}

// Open implements Log.
func (t *Topics) Open(ctx context.Context, topic string, ranges map[int]queue.Bounds) (Stream, error) {
	held, err := t.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	s := &topicStream{topic: topic, parts: map[int]*fetched{}}
	starts := map[int]int64{}
	for id, r := range ranges {
		b, ok := held[id]
		if !ok || r.First < r.Next && (r.First < b.First || r.Next > b.Next) {
			return nil, &RangeError{Topic: topic, Partition: id, Wanted: r, Held: b}
		}
		s.parts[id] = &fetched{wanted: r, arrived: make(chan struct{}, 1), ended: r.First >= r.Next}
		if r.First < r.Next {
			starts[id] = r.First
		}
	}
	s.open = len(starts)
	if s.open == 0 {
		return s, nil
	}
	s.fetcher = queue.NewFetcher(queue.FetcherConfig{Brokers: t.brokers, Topic: t.namespace + topic, Log: t.log}, starts)
	ctx, s.cancel = context.WithCancel(ctx)
	s.running.Go(func() { s.fetcher.Run(ctx, s) })
	return s, nil
}

// waitingMost is from how many bytes on a partition waits to be read; a fetch
// may bring a megabyte more.
const waitingMost = 256 << 10

// topicStream is a Stream over a Fetcher, whose Sink it is.
type topicStream struct {
	topic   string
	fetcher *queue.Fetcher // nil where there is nothing to read
	cancel  context.CancelFunc
	running sync.WaitGroup
	parts   map[int]*fetched // does not change

	mu   sync.Mutex // guards the following, and what the parts hold
	open int        // partitions whose end has not been fetched
}

// fetched is what has been fetched of a partition and not been read.
type fetched struct {
	wanted  queue.Bounds
	arrived chan struct{} // holds one when something has changed
	waiting [][]queue.Message
	bytes   int
	ended   bool // all has been fetched
	err     error
}

// Next implements Stream.
func (s *topicStream) Next(ctx context.Context, partition int) ([]queue.Message, error) {
	p, ok := s.parts[partition]
	if !ok {
		return nil, io.EOF
	}
	for {
		s.mu.Lock()
		if len(p.waiting) > 0 {
			messages := p.waiting[0]
			p.waiting = p.waiting[1:]
			wasFull := p.bytes >= waitingMost
			p.bytes -= sizeOf(messages)
			wake := wasFull && p.bytes < waitingMost
			s.mu.Unlock()
			if wake {
				s.fetcher.Wake()
			}
			return messages, nil
		}
		ended, err := p.ended, p.err
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if ended {
			return nil, io.EOF
		}
		select {
		case <-p.arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements Stream.
func (s *topicStream) Close() error {
	if s.cancel != nil {
		s.cancel()
		s.running.Wait()
	}
	return nil
}

// Deliver implements queue.Sink.
func (s *topicStream) Deliver(partition int, messages []queue.Message) {
	p := s.parts[partition]
	last := len(messages) - 1
	ended := messages[last].Offset+1 >= p.wanted.Next
	for last >= 0 && messages[last].Offset >= p.wanted.Next {
		last--
	}
	messages = messages[:last+1]
	s.mu.Lock()
	if len(messages) > 0 {
		p.waiting = append(p.waiting, messages)
		p.bytes += sizeOf(messages)
	}
	s.mu.Unlock()
	if ended {
		s.end(partition, nil)
	}
	p.signal()
}

// end stops fetching a partition. The fetcher asks Full under its lock, so mu is
// not held over a call of it.
func (s *topicStream) end(partition int, err error) {
	s.fetcher.Forget(partition)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts[partition].ended, s.parts[partition].err = true, err
	if s.open--; s.open == 0 {
		s.cancel()
	}
}

// Full implements queue.Sink.
func (s *topicStream) Full(partition int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[partition].bytes >= waitingMost
}

// Lost implements queue.Sink: retention passed while the range was read.
func (s *topicStream) Lost(partition int, err error) {
	s.end(partition, fmt.Errorf("%s/%d: the records were deleted while they were read: %w", s.topic, partition, err))
	s.parts[partition].signal()
}

func (p *fetched) signal() {
	select {
	case p.arrived <- struct{}{}:
	default:
	}
}

func sizeOf(messages []queue.Message) (n int) {
	for i := range messages {
		m := &messages[i]
		n += len(m.Key) + len(m.Value) + len(m.Header) + 128
	}
	return n
}
