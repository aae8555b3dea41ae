// Package audittest has a log in memory, for tests of what reads one.
package audittest

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// streamBatch is how many records a Stream hands out at once, at most.
const streamBatch = 100

// Log is an audit.Log in memory. The zero Log has no topics. Safe for
// concurrent use.
type Log struct {
	mu     sync.Mutex
	topics map[string]map[int]*partition // guarded by mu, as is all below
}

type partition struct {
	first    int64
	messages []queue.Message
}

var _ audit.Log = (*Log)(nil)

// Create makes a topic with empty partitions, where there is none yet.
func (l *Log) Create(topic string, partitions int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range partitions {
		l.at(topic, p)
	}
}

func (l *Log) at(topic string, p int) *partition {
	if l.topics == nil {
		l.topics = map[string]map[int]*partition{}
	}
	if l.topics[topic] == nil {
		l.topics[topic] = map[int]*partition{}
	}
	if l.topics[topic][p] == nil {
		l.topics[topic][p] = &partition{}
	}
	return l.topics[topic][p]
}

// next is the offset behind the newest record's.
func (p *partition) next() int64 {
	if n := len(p.messages); n > 0 {
		return p.messages[n-1].Offset + 1
	}
	return p.first
}

// Add appends a record and returns its offset. The offset that the message
// brings is taken where it is not behind the partition's end: so offsets may
// skip, as they do where a broker has none.
func (l *Log) Add(topic string, p int, m queue.Message) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.at(topic, p)
	m.Offset = max(m.Offset, part.next())
	if len(part.messages) == 0 {
		part.first = min(part.first, m.Offset)
	}
	part.messages = append(part.messages, m)
	return m.Offset
}

// Drop lets records below an offset go, as retention does.
func (l *Log) Drop(topic string, p int, below int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.at(topic, p)
	i, _ := slices.BinarySearchFunc(part.messages, below, byOffset)
	part.messages, part.first = slices.Clone(part.messages[i:]), max(part.first, below)
}

// Truncate lets records from an offset on go, as a broker does that lost them.
func (l *Log) Truncate(topic string, p int, from int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.at(topic, p)
	i, _ := slices.BinarySearchFunc(part.messages, from, byOffset)
	part.messages = slices.Clone(part.messages[:i])
}

// Change alters a record in place, as nobody should be able to. It reports
// whether there is one.
func (l *Log) Change(topic string, p int, offset int64, change func(*queue.Message)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.at(topic, p)
	i, ok := slices.BinarySearchFunc(part.messages, offset, byOffset)
	if ok {
		part.messages = slices.Clone(part.messages) // streams may read the old ones
		change(&part.messages[i])
	}
	return ok
}

func byOffset(m queue.Message, offset int64) int { return int(m.Offset - offset) }

// Bounds implements audit.Log.
func (l *Log) Bounds(_ context.Context, topic string) (map[int]queue.Bounds, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[topic] == nil {
		return nil, audit.ErrNoTopic
	}
	out := map[int]queue.Bounds{}
	for p, part := range l.topics[topic] {
		out[p] = queue.Bounds{First: part.first, Next: part.next()}
	}
	return out, nil
}

// OffsetsAt implements audit.Log.
func (l *Log) OffsetsAt(_ context.Context, topic string, t time.Time) (map[int]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[topic] == nil {
		return nil, audit.ErrNoTopic
	}
	out := map[int]int64{}
	for p, part := range l.topics[topic] {
		out[p] = part.next()
		i := slices.IndexFunc(part.messages, func(m queue.Message) bool { return m.Time.UnixMilli() >= t.UnixMilli() })
		if i >= 0 {
			out[p] = part.messages[i].Offset
		}
	}
	return out, nil
}

// EndsAt implements audit.Log.
func (l *Log) EndsAt(_ context.Context, topic string, t time.Time) (map[int]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	parts, ok := l.topics[topic]
	if !ok {
		return nil, audit.ErrNoTopic
	}
	out := map[int]int64{}
	for id, p := range parts {
		out[id] = p.first
		for _, m := range p.messages {
			if m.Time.Before(t) {
				out[id] = m.Offset + 1
			}
		}
	}
	return out, nil
}

// Open implements audit.Log.
func (l *Log) Open(ctx context.Context, topic string, ranges map[int]queue.Bounds) (audit.Stream, error) {
	bounds, err := l.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := stream{}
	for _, p := range slices.Sorted(maps.Keys(ranges)) {
		want := ranges[p]
		held, ok := bounds[p]
		if !ok || want.First < want.Next && (want.First < held.First || want.Next > held.Next) {
			return nil, &audit.RangeError{Topic: topic, Partition: p, Wanted: want, Held: held}
		}
		messages := l.at(topic, p).messages
		i, _ := slices.BinarySearchFunc(messages, want.First, byOffset)
		j, _ := slices.BinarySearchFunc(messages, want.Next, byOffset)
		s[p] = messages[min(i, j):j]
	}
	return s, nil
}

// stream is what is left to read, by partition.
type stream map[int][]queue.Message

func (s stream) Next(ctx context.Context, partition int) ([]queue.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	left := s[partition]
	if len(left) == 0 {
		return nil, io.EOF
	}
	n := min(len(left), streamBatch)
	s[partition] = left[n:]
	return slices.Clone(left[:n]), nil
}

func (stream) Close() error { return nil }
