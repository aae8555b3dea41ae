package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

var (
	// ErrFull means that the producer holds as many bytes as it may.
	ErrFull = errors.New("queue: the producer is full")
	// ErrNotSent means that a record is certainly not in the topic.
	ErrNotSent = errors.New("queue: the record was not sent")
	// ErrRejected is the ErrNotSent of a record that Kafka will never take,
	// such as one that is too large.
	ErrRejected = fmt.Errorf("%w: Kafka refuses it", ErrNotSent)
	// ErrUnknown means that a record may be in the topic, once or repeatedly.
	ErrUnknown = errors.New("queue: it is unknown whether the record was sent")
	// ErrClosed means that the producer has been closed.
	ErrClosed = errors.New("queue: the producer is closed")
)

// Header is a record header.
type Header = kafka.Header

// Record is a record to be produced. Its contents must not change before it is
// done.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Time       time.Time // the record's timestamp
	Data       any       // the caller's own; the producer does not look at it

	done  func(*Record, error)
	queue *partitionQueue // nil before Enqueue
	size  int64
	state recordState
	maybe bool // an attempt ended without a clear answer
}

// recordState is guarded by Producer.mu.
type recordState uint8

const (
	stateWaiting   recordState = iota // in its queue
	stateFlying                       // in a request that has no answer yet
	stateCancelled                    // given up by its owner; removed when its turn comes
	stateDone
)

// Sizes of requests. A partition's share is one batch, which must stay below
// the broker's max.message.bytes (1 MiB by default).
const (
	maxBatchBytes   = 512 << 10
	maxRequestBytes = 4 << 20
	recordOverhead  = 64
)

// ProducerConfig is what a Producer needs.
type ProducerConfig struct {
	Brokers  []string
	MaxBytes int64         // of all records that wait or are under way; 0: 64 MiB
	Timeout  time.Duration // of one request; 0: 5 s
	Linger   time.Duration // for which a partition's first record waits for others; 0: not at all
	Log      *slog.Logger  // nil: silent
	Metrics  prometheus.Registerer
	// MetricsPrefix begins the names of the metrics, such as "sponge_edge".
	MetricsPrefix string
}

// Producer sends records to Kafka, each partition's in the order in which they
// were enqueued. One request at a time is under way to each broker, with
// whatever its partitions have waiting, by a goroutine of the broker's own. A partition whose batch failed is
// retried in place, for as long as its records are not cancelled; the others
// go on meanwhile. Records are sent at least once.
//
// Safe for concurrent use.
type Producer struct {
	cfg     ProducerConfig
	log     *slog.Logger
	metrics *producerMetrics

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	cancelled chan struct{}  // holds one when a record was cancelled
	sending   sync.WaitGroup // for senders
	stopped   chan struct{}  // closed when nothing runs any more
	lost      damper         // for findLeaders alone

	// mu guards the following, and the fields of records and queues. It is
	// never held while done is called.
	mu      sync.Mutex
	topics  map[string][]*partitionQueue
	active  []*partitionQueue // those that have records
	senders map[int]*sender   // by broker
	held    int               // records that are not done
	bytes   int64             // of those that are not done or cancelled
	idle    chan struct{}     // closed when held is 0, for Flush; nil where none waits
	closed  bool
	ended   bool // no sender starts any more
}

// partitionQueue is the ordered queue of one partition.
type partitionQueue struct {
	topic  string
	id     int
	leader int // -1: unknown

	records   []*Record
	flying    int       // how many at the head are in a request
	active    bool      // in Producer.active
	retryAt   time.Time // not before, for failures or Linger; zero: at once
	failures  int       // in a row
	cancelled int       // how many of records were cancelled, at least
	single    int       // how many are sent one by one, to find the one that Kafka refuses
}

// NewProducer starts a producer. It connects on demand, and ends at Close.
func NewProducer(cfg ProducerConfig) *Producer {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 64 << 20
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Producer{
		cfg:       cfg,
		log:       cfg.Log,
		cancelled: make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		topics:    map[string][]*partitionQueue{},
		senders:   map[int]*sender{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.metrics = newProducerMetrics(cfg, p)
	go p.run()
	return p
}

// Partitions returns how many partitions a topic has. It asks Kafka the first
// time and remembers the answer, since the number must never change. The error
// says why Kafka could not tell, or that the topic does not exist.
func (p *Producer) Partitions(ctx context.Context, topic string) (int, error) {
	p.mu.Lock()
	known := len(p.topics[topic])
	p.mu.Unlock()
	if known > 0 {
		return known, nil
	}
	found, err := lookUp(ctx, p.cfg.Brokers, topic)
	if err == nil {
		err = found.errs[topic]
	}
	if err == nil && len(found.topics[topic]) == 0 {
		err = kafka.UnknownTopicOrPartition
	}
	if err != nil {
		return 0, fmt.Errorf("partitions of %s: %w", topic, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.topics[topic]) == 0 {
		queues := make([]*partitionQueue, len(found.topics[topic]))
		for i := range queues {
			queues[i] = &partitionQueue{topic: topic, id: i, leader: -1}
		}
		p.topics[topic] = queues
	}
	p.learn(found)
	return len(p.topics[topic]), nil
}

// Enqueue puts a record behind the others of its partition and returns at
// once. done is called exactly once unless Enqueue fails, from a goroutine of
// the producer's, with nil when Kafka has the record, or an error that is
// ErrNotSent or ErrUnknown. It must not block, and may run beside that of
// another record.
//
// The topic must be known from Partitions. Enqueue fails with ErrFull where
// the producer holds MaxBytes, and with ErrClosed after Close.
func (p *Producer) Enqueue(topic string, partition int, r *Record, done func(*Record, error)) error {
	r.size = int64(len(r.Key) + len(r.Value) + recordOverhead)
	for _, h := range r.Headers {
		r.size += int64(len(h.Key) + len(h.Value))
	}
	r.done = done
	p.mu.Lock()
	switch queues := p.topics[topic]; {
	case p.closed:
		p.mu.Unlock()
		return ErrClosed
	case partition < 0 || partition >= len(queues):
		p.mu.Unlock()
		return fmt.Errorf("queue: partition %d of %s is unknown", partition, topic)
	case p.bytes+r.size > p.cfg.MaxBytes:
		p.mu.Unlock()
		return ErrFull
	default:
		q := queues[partition]
		r.queue = q
		q.records = append(q.records, r)
		p.held++
		p.bytes += r.size
		if q.active { // it is under way, or waits: its sender knows when to look
			break
		}
		q.active = true
		p.active = append(p.active, q)
		if p.cfg.Linger > 0 {
			q.retryAt = time.Now().Add(p.cfg.Linger)
		}
		p.wake(q)
	}
	p.mu.Unlock()
	return nil
}

// Cancel gives a record up. It reports whether the record is certainly not in
// the topic and never will be; false also for one that is done. done is called
// all the same, soon after.
func (p *Producer) Cancel(r *Record) (neverSent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.queue == nil || r.state == stateDone || r.state == stateCancelled {
		return false
	}
	if r.state == stateFlying {
		r.maybe = true
	}
	r.state = stateCancelled
	r.queue.cancelled++
	p.bytes -= r.size
	signal(p.cancelled)
	return !r.maybe
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Flush waits until every record is done, or ctx ends.
func (p *Producer) Flush(ctx context.Context) error {
	p.mu.Lock()
	if p.held == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-p.stopped:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("queue: flush: %w", ctx.Err())
	}
}

// Close refuses further records, flushes until ctx ends, calls done for what
// is left, and returns when nothing of the producer runs any more. The error
// says that records were left. Calling it again waits for the same end.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.Flush(ctx)
	if errors.Is(err, ErrClosed) {
		err = nil
	}
	p.cancel()
	<-p.stopped
	return err
}
