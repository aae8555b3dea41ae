package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchAPI "github.com/segmentio/kafka-go/protocol/fetch"
)

// Message is one record as it was fetched.
type Message struct {
	Offset     int64
	Key, Value []byte
	Header     []byte    // the value of the record's first header
	Rest       []Header  // the other headers; dead letters have some
	Time       time.Time // when it was published, by its producer's clock
}

// Limits of a Fetcher.
const (
	fetchMaxBytes     = 8 << 20 // of one response
	fetchPartMaxBytes = 1 << 20 // of one partition in it
	fetchWait         = 500 * time.Millisecond
	fetchWaitFull     = 5 * time.Millisecond // while a full partition may get room
	fetchRetry        = 200 * time.Millisecond
	fetchLeaders      = time.Second // while a partition has no leader
)

// Sink takes what a Fetcher reads. Its methods are called from one goroutine
// for each broker.
type Sink interface {
	// Deliver takes records of one partition in order. It must not block.
	Deliver(partition int, messages []Message)
	// Full reports whether the partition has enough for now. The fetcher asks
	// again when Wake is called.
	Full(partition int) bool
	// Lost says that the partition cannot be read on: its next offset is out
	// of the topic's range. It is not fetched any more.
	Lost(partition int, err error)
}

// FetcherConfig is what a Fetcher needs.
type FetcherConfig struct {
	Brokers []string
	Topic   string
	Log     *slog.Logger
}

// Fetcher reads some partitions of one topic, each from an offset, with one
// incremental fetch session (KIP-227) for each broker: an idle partition costs
// nothing, and one request brings whatever all of them have.
type Fetcher struct {
	cfg FetcherConfig

	mu   sync.Mutex
	next map[int]int64 // guarded by mu; partitions that are fetched

	roomMu sync.Mutex    // taken under a Sink's own locks, so nothing is called under it
	room   chan struct{} // guarded by roomMu; closed by the next Wake; nil: no session has asked
}

// NewFetcher reads from the offsets in start.
func NewFetcher(cfg FetcherConfig, start map[int]int64) *Fetcher {
	f := &Fetcher{cfg: cfg, next: map[int]int64{}}
	for p, offset := range start {
		f.next[p] = offset
	}
	return f
}

// Wake tells the fetcher that a partition may no longer be Full.
func (f *Fetcher) Wake() {
	f.roomMu.Lock()
	defer f.roomMu.Unlock()
	if f.room != nil {
		close(f.room)
		f.room = nil
	}
}

// nextWake is closed by the next Wake, for every session.
func (f *Fetcher) nextWake() <-chan struct{} {
	f.roomMu.Lock()
	defer f.roomMu.Unlock()
	if f.room == nil {
		f.room = make(chan struct{})
	}
	return f.room
}

// Forget stops fetching a partition.
func (f *Fetcher) Forget(partition int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.next, partition)
}

// Run fetches until ctx ends. Brokers that fail are tried again for ever.
func (f *Fetcher) Run(ctx context.Context, sink Sink) {
	// Once: what is derived from a context of kafka-go's costs a goroutine.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var warned damper
	for ctx.Err() == nil {
		if err := f.round(ctx, sink); err != nil && ctx.Err() == nil {
			if warned.pass() {
				f.cfg.Log.Warn("fetch: trying again", "topic", f.cfg.Topic, "error", err)
			}
			sleep(ctx, fetchRetry)
		}
	}
}

// round runs one session a broker until one of them fails, which is also how
// a changed leader is noticed.
func (f *Fetcher) round(ctx context.Context, sink Sink) error {
	leaders, all, err := f.leaders(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !all {
		again := time.AfterFunc(fetchLeaders, func() { cancel(nil) })
		defer again.Stop()
	}
	var sessions sync.WaitGroup
	for addr, partitions := range leaders {
		s := &fetchSession{f: f, addr: addr, partitions: partitions, asked: map[int]int64{}}
		sessions.Go(func() { cancel(s.run(ctx, sink)) })
	}
	<-ctx.Done()
	sessions.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// leaders finds which partitions to fetch from which broker, by address, and
// whether these are all.
func (f *Fetcher) leaders(ctx context.Context) (out map[string][]int, all bool, err error) {
	found, err := lookUp(ctx, f.cfg.Brokers, f.cfg.Topic)
	if err != nil {
		return nil, false, fmt.Errorf("find leaders: %w", err)
	}
	if err := found.errs[f.cfg.Topic]; err != nil {
		return nil, false, fmt.Errorf("topic %s: %w", f.cfg.Topic, err)
	}
	out, all = map[string][]int{}, true
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range found.topics[f.cfg.Topic] {
		if _, ok := f.next[int(p.PartitionIndex)]; !ok {
			continue
		}
		if id := found.leader(&p); id >= 0 {
			out[found.addrs[id]] = append(out[found.addrs[id]], int(p.PartitionIndex))
		} else {
			all = false
		}
	}
	if len(out) == 0 {
		return nil, false, errors.New("no partition has a leader")
	}
	return out, all, nil
}

// fetchSession is the conversation with one broker.
type fetchSession struct {
	f          *Fetcher
	addr       string
	link       link
	partitions []int
	id, epoch  int32
	asked      map[int]int64 // what the broker's session has, by partition
}

func (s *fetchSession) run(ctx context.Context, sink Sink) error {
	defer s.link.close()
	for ctx.Err() == nil {
		room := s.f.nextWake() // before anything is found full
		req, any := s.request(sink)
		if !any {
			if !awaitRoom(ctx, room) {
				break
			}
			continue
		}
		m, err := s.link.do(ctx, s.addr, fetchWait+fetchPatience, req)
		if err != nil {
			return err
		}
		res, ok := m.(*fetchAPI.Response)
		if !ok {
			return fmt.Errorf("fetch: unexpected response %T", m)
		}
		switch code := kafka.Error(res.ErrorCode); code {
		case 0:
		case kafka.FetchSessionIDNotFound, kafka.InvalidFetchSessionEpoch:
			s.id, s.epoch = 0, 0
			continue
		default:
			return code
		}
		if s.id = res.SessionID; s.id == 0 {
			s.epoch = 0 // the broker has no sessions: every request is a full one
		} else {
			s.epoch++
		}
		for i := range res.Topics {
			for j := range res.Topics[i].Partitions {
				if err := s.take(&res.Topics[i].Partitions[j], sink); err != nil {
					return err
				}
			}
		}
	}
	return ctx.Err()
}

// fetchPatience is how long a broker may take for an answer beyond the wait
// that it was asked for. One that keeps the connection and says nothing is left
// then.
const fetchPatience = 10 * time.Second

// awaitRoom waits until a full partition may have room. The time bound is for
// partitions that nobody reads any more.
func awaitRoom(ctx context.Context, room <-chan struct{}) bool {
	t := time.NewTimer(fetchWait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-room:
	case <-t.C:
	}
	return true
}

// request asks for what changed since the last request: partitions that moved
// on, were full, or have room again. any is false when all are full; then
// nothing is asked, and the broker's session stays as it is.
func (s *fetchSession) request(sink Sink) (req *fetchAPI.Request, any bool) {
	topic := fetchAPI.RequestTopic{Topic: s.f.cfg.Topic}
	var forgotten []int32
	if s.epoch == 0 {
		clear(s.asked)
	}
	wait := fetchWait
	s.f.mu.Lock()
	for _, p := range s.partitions {
		next, ok := s.f.next[p]
		asked, inSession := s.asked[p]
		full := ok && sink.Full(p)
		if full {
			wait = fetchWaitFull
		}
		switch {
		case ok && !full:
			any = true
			if !inSession || asked != next {
				topic.Partitions = append(topic.Partitions, fetchAPI.RequestPartition{Partition: int32(p), CurrentLeaderEpoch: -1,
					FetchOffset: next, LogStartOffset: -1, PartitionMaxBytes: fetchPartMaxBytes})
			}
		case inSession:
			forgotten = append(forgotten, int32(p))
		}
	}
	s.f.mu.Unlock()
	if !any {
		return nil, false
	}
	for _, p := range topic.Partitions {
		s.asked[int(p.Partition)] = p.FetchOffset
	}
	for _, p := range forgotten {
		delete(s.asked, int(p))
	}
	req = &fetchAPI.Request{ReplicaID: -1, MaxWaitTime: int32(wait / time.Millisecond), MinBytes: 1,
		MaxBytes: fetchMaxBytes, SessionID: s.id, SessionEpoch: s.epoch}
	if len(topic.Partitions) > 0 {
		req.Topics = []fetchAPI.RequestTopic{topic}
	}
	if len(forgotten) > 0 && s.epoch > 0 {
		req.ForgottenTopics = []fetchAPI.RequestForgottenTopic{{Topic: s.f.cfg.Topic, Partitions: forgotten}}
	}
	return req, true
}

func (s *fetchSession) take(p *fetchAPI.ResponsePartition, sink Sink) error {
	id := int(p.Partition)
	s.f.mu.Lock()
	next, ok := s.f.next[id]
	s.f.mu.Unlock()
	if !ok {
		return nil
	}
	switch code := kafka.Error(p.ErrorCode); code {
	case 0:
	case kafka.OffsetOutOfRange:
		s.f.Forget(id)
		sink.Lost(id, fmt.Errorf("offset %d of %s/%d: %w", next, s.f.cfg.Topic, id, code))
		return nil
	default:
		return fmt.Errorf("partition %d: %w", id, code)
	}
	if p.RecordSet.Records == nil {
		return nil
	}
	messages, err := decode(p.RecordSet.Records, next)
	if err != nil {
		return fmt.Errorf("partition %d at %d: %w", id, next, err)
	}
	if len(messages) == 0 {
		return nil
	}
	s.f.mu.Lock()
	if s.f.next[id] != next { // Forget came between
		s.f.mu.Unlock()
		return nil
	}
	s.f.next[id] = messages[len(messages)-1].Offset + 1
	s.f.mu.Unlock()
	sink.Deliver(id, messages)
	return nil
}

// decode copies the records from offset on: a broker answers with whole
// batches, which may begin earlier. Records that were copied are closed, which
// gives their page of 64 KiB, one for each batch, back to kafka-go.
func decode(records protocol.RecordReader, from int64) ([]Message, error) {
	var out []Message
	var s slab
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			if len(out) > 0 {
				return out, nil // the response was cut in its last batch
			}
			return nil, err
		}
		m := Message{Offset: r.Offset, Time: r.Time}
		if r.Offset >= from {
			m.Key, err = s.copy(r.Key)
			if err == nil {
				m.Value, err = s.copy(r.Value)
			}
		}
		if err := errors.Join(err, release(r.Key), release(r.Value)); err != nil {
			return nil, err
		}
		if r.Offset < from {
			continue
		}
		if len(r.Headers) > 0 {
			m.Header = r.Headers[0].Value
		}
		if len(r.Headers) > 1 {
			m.Rest = r.Headers[1:]
		}
		out = append(out, m)
	}
}

func release(b protocol.Bytes) error {
	if b == nil {
		return nil
	}
	return b.Close()
}

// slab is memory for the bytes of several records. It begins small, since most
// fetches bring one.
type slab []byte

const (
	slabLeast = 256
	slabMost  = 8 << 10
)

// copy reads b whole. Nil stays nil, and what is empty is not nil.
func (s *slab) copy(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	n := b.Len()
	if n == 0 {
		return []byte{}, nil // a slice of the slab would be nil as long as that is
	}
	if n > cap(*s)-len(*s) {
		*s = make([]byte, 0, max(n, slabLeast, min(2*cap(*s), slabMost)))
	}
	begin := len(*s)
	*s = (*s)[:begin+n]
	out := (*s)[begin : begin+n : begin+n]
	_, err := io.ReadFull(b, out)
	return out, err
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
