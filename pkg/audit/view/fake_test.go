package view

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/envelope"
	"sponge/pkg/journal"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// fakeLog is a log in memory. Offsets below first are gone.
type fakeLog struct {
	mu     sync.Mutex // guards the following
	topics map[string][][]queue.Message
	first  map[string]map[int]int64
	read   map[string]int64 // how many records streams gave, by topic/partition
}

const fakePartitions = 4

func newFakeLog() *fakeLog {
	l := &fakeLog{topics: map[string][][]queue.Message{}, first: map[string]map[int]int64{}, read: map[string]int64{}}
	for _, t := range audit.AllTopics() {
		n := fakePartitions
		if classOf(t) != frames {
			n = 1
		}
		l.topics[t] = make([][]queue.Message, n)
		l.first[t] = map[int]int64{}
	}
	return l
}

func (l *fakeLog) add(topic string, partition int, m queue.Message) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.Offset = int64(len(l.topics[topic][partition]))
	l.topics[topic][partition] = append(l.topics[topic][partition], m)
	return m.Offset
}

// frame adds a client's frame, keyed as an edge does it, and returns its place.
func (l *fakeLog) frame(t testing.TB, user int64, at time.Time, frame string) journal.Place {
	t.Helper()
	var f protocol.Frame
	if _, err := f.Parse([]byte(frame)); err != nil {
		t.Fatal(err)
	}
	env := envelope.Envelope{FrameID: f.NewFrameID(user), Node: "edge1:abc", Conn: uint64(10 + user), Arrival: at.UnixMilli(), Peer: "192.0.2.7:5000"}
	if user != 0 {
		env.Proof = proof(user)
	}
	p := protocol.Partition(f.AppendKey(nil, user, env.Node, env.Conn), fakePartitions)
	return journal.Place{Partition: p, Offset: l.add(f.Type.Topic().Name(), p, queue.Message{Value: []byte(frame), Header: env.Append(nil), Time: at})}
}

// row adds a journal row.
func (l *fakeLog) row(t testing.TB, number int64, topic protocol.Topic, at time.Time, change func(*journal.Row), ranges ...journal.Range) {
	t.Helper()
	row := journal.Row{Number: number, Topic: topic.Group(), Rules: 1}
	for _, r := range ranges {
		row.AddRange(r)
	}
	if change != nil {
		change(&row)
	}
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	l.add(protocol.TopicJournal, 0, queue.Message{Value: text, Time: at})
}

// proof names a user; nobody here checks its signature.
func proof(user int64) *keys.Proof {
	var p keys.Proof
	binary.BigEndian.PutUint64(p[:], uint64(user))
	return &p
}

func (l *fakeLog) Bounds(_ context.Context, topic string) (map[int]queue.Bounds, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[topic] == nil {
		return nil, fmt.Errorf("%s: %w", topic, audit.ErrNoTopic)
	}
	out := map[int]queue.Bounds{}
	for p, m := range l.topics[topic] {
		out[p] = queue.Bounds{First: l.first[topic][p], Next: int64(len(m))}
	}
	return out, nil
}

func (l *fakeLog) EndsAt(ctx context.Context, topic string, t time.Time) (map[int]int64, error) {
	return l.OffsetsAt(ctx, topic, t)
}

func (l *fakeLog) OffsetsAt(_ context.Context, topic string, t time.Time) (map[int]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[int]int64{}
	for p, messages := range l.topics[topic] {
		out[p] = int64(len(messages))
		for i := int(l.first[topic][p]); i < len(messages); i++ {
			if !messages[i].Time.Before(t) {
				out[p] = int64(i)
				break
			}
		}
	}
	return out, nil
}

func (l *fakeLog) Open(ctx context.Context, topic string, ranges map[int]queue.Bounds) (audit.Stream, error) {
	held, err := l.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	for p, r := range ranges {
		if r.First < held[p].First || r.Next > held[p].Next {
			return nil, &audit.RangeError{Topic: topic, Partition: p, Wanted: r, Held: held[p]}
		}
	}
	return &fakeStream{l, topic, maps.Clone(ranges)}, nil
}

type fakeStream struct {
	log   *fakeLog
	topic string
	left  map[int]queue.Bounds
}

// Next gives two records at most.
func (s *fakeStream) Next(ctx context.Context, partition int) ([]queue.Message, error) {
	b := s.left[partition]
	if b.First >= b.Next {
		return nil, io.EOF
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	n := min(2, b.Next-b.First)
	s.left[partition] = queue.Bounds{First: b.First + n, Next: b.Next}
	s.log.read[fmt.Sprint(s.topic, "/", partition)] += n
	return s.log.topics[s.topic][partition][b.First : b.First+n], ctx.Err()
}

func (s *fakeStream) Close() error { return nil }

// day is when the tests' records come.
var day = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// read runs Read with jsonl and returns the lines, decoded.
func read(t testing.TB, log audit.Log, o Options) ([]map[string]any, error) {
	t.Helper()
	var out bytes.Buffer
	o.Out, o.Format = &out, jsonl{}
	if o.Window.Partition == 0 {
		o.Window.Partition = -1
	}
	err := Read(t.Context(), log, o)
	return decode(t, out.Bytes()), err
}

func decode(t testing.TB, text []byte) (lines []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, v)
	}
	return lines
}

// frameTexts are the msg, or the msgType, of lines' frames.
func frameTexts(lines []map[string]any) string {
	var out []string
	for _, l := range lines {
		f, _ := l["frame"].(map[string]any)
		if msg, ok := f["msg"].(string); ok {
			out = append(out, msg)
		} else {
			out = append(out, fmt.Sprint("t", f["msgType"]))
		}
	}
	return strings.Join(out, " ")
}
