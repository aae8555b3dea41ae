package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/queue"
)

func brokers() []string { return []string{services.queue.Addr()} }

func makeTopic(t *testing.T, partitions int) string {
	t.Helper()
	name := unique("topic-")
	mustCreate(t, name, partitions)
	return name
}

func mustCreate(t *testing.T, name string, partitions int) {
	t.Helper()
	if err := queue.CreateTopics(limit(t), brokers(), []queue.TopicSpec{{Name: name, Partitions: partitions, Replication: 1}}); err != nil {
		t.Fatal(err)
	}
}

func newProducer(t *testing.T, topic string, log *slog.Logger) *queue.Producer {
	t.Helper()
	p := queue.NewProducer(queue.ProducerConfig{Brokers: brokers(), Log: log})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if _, err := p.Partitions(limit(t), topic); err != nil {
		t.Fatal(err)
	}
	return p
}

// produce enqueues records and waits for all results, in order.
func produce(t *testing.T, p *queue.Producer, topic string, partition int, records ...*queue.Record) []error {
	t.Helper()
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(records))
	for i, r := range records {
		if err := p.Enqueue(topic, partition, r, func(_ *queue.Record, err error) { results <- result{i, err} }); err != nil {
			t.Fatal(err)
		}
	}
	errs := make([]error, len(records))
	ctx := limit(t)
	for range records {
		select {
		case r := <-results:
			errs[r.i] = r.err
		case <-ctx.Done():
			t.Fatal("no result of a record")
		}
	}
	return errs
}

func mustProduce(t *testing.T, p *queue.Producer, topic string, partition int, values ...string) {
	t.Helper()
	if err := errors.Join(produce(t, p, topic, partition, records(values...)...)...); err != nil {
		t.Fatal(err)
	}
}

// records are old: what was asked is kept, whatever its age.
func records(values ...string) []*queue.Record {
	var out []*queue.Record
	for _, v := range values {
		out = append(out, &queue.Record{Key: []byte("key of " + v), Value: []byte(v), Time: time.UnixMilli(1700000000123),
			Headers: []queue.Header{{Key: "sponge", Value: []byte("header of " + v)}}})
	}
	return out
}

func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}

// inbox is a queue.Sink that keeps everything.
type inbox struct {
	mu      sync.Mutex
	got     map[int][]queue.Message // guarded by mu, as is lost
	lost    map[int]error
	changed chan struct{}
}

func (in *inbox) Deliver(p int, messages []queue.Message) {
	in.note(func() { in.got[p] = append(in.got[p], messages...) })
}

func (in *inbox) Full(int) bool { return false }

func (in *inbox) Lost(p int, err error) { in.note(func() { in.lost[p] = err }) }

func (in *inbox) note(change func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	change()
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

func (in *inbox) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := limit(t)
	for {
		in.mu.Lock()
		done := ok()
		in.mu.Unlock()
		if done {
			return
		}
		select {
		case <-in.changed:
		case <-ctx.Done():
			t.Fatalf("never arrived: %s; lost: %v", what, in.lost)
		}
	}
}

// fetch reads from the offsets in start on.
func fetch(t *testing.T, topic string, start map[int]int64) *inbox {
	t.Helper()
	in := &inbox{got: map[int][]queue.Message{}, lost: map[int]error{}, changed: make(chan struct{}, 1)}
	f := queue.NewFetcher(queue.FetcherConfig{Brokers: brokers(), Topic: topic, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}, start)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx, in) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return in
}

// Each partition's records come in the order in which they were given, whole,
// under offsets that follow each other from 0; a fetch may begin anywhere.
func TestRecordsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const parts, count = 3, 400
	topic := makeTopic(t, parts)
	p := newProducer(t, topic, nil)
	var producing sync.WaitGroup
	for part := range parts {
		producing.Go(func() {
			if err := errors.Join(produce(t, p, topic, part, records(numbered(fmt.Sprint(part, "-"), count)...)...)...); err != nil {
				t.Error(err)
			}
		})
	}
	producing.Wait()

	bounds, err := queue.Offsets(limit(t), brokers(), topic, []int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	for part, b := range bounds {
		if b != (queue.Bounds{First: 0, Next: count}) {
			t.Errorf("partition %d holds %+v", part, b)
		}
	}
	start := map[int]int64{0: 0, 1: count / 2, 2: count}
	in := fetch(t, topic, start)
	in.wait(t, "what was produced", func() bool { return len(in.got[0]) >= count && len(in.got[1]) >= count/2 })
	mustProduce(t, p, topic, 2, "late")
	in.wait(t, "a record that comes while the fetch waits", func() bool { return len(in.got[2]) >= 1 })
	in.mu.Lock()
	defer in.mu.Unlock()
	for part, messages := range in.got {
		for i, m := range messages {
			at := start[part] + int64(i)
			value := fmt.Sprint(part, "-", at)
			if part == 2 {
				value = "late"
			}
			if m.Offset != at || string(m.Value) != value || string(m.Key) != "key of "+value ||
				string(m.Header) != "header of "+value || m.Time.UnixMilli() != 1700000000123 {
				t.Fatalf("partition %d, offset %d: %+v, value %q", part, at, m, m.Value)
			}
		}
	}
	if len(in.lost) > 0 {
		t.Errorf("lost: %v", in.lost)
	}
}

// A record that the queue will never take is refused alone, and for good.
func TestTooLargeARecordIsRefusedAlone(t *testing.T) {
	t.Parallel()
	topic := makeTopic(t, 1)
	p := newProducer(t, topic, nil)
	batch := records("before", strings.Repeat("x", 2<<20), "behind")
	errs := produce(t, p, topic, 0, batch...)
	if errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], queue.ErrRejected) {
		t.Errorf("results: %v", errs)
	}
	in := fetch(t, topic, map[int]int64{0: 0})
	in.wait(t, "the other two", func() bool { return len(in.got[0]) >= 2 })
	in.mu.Lock()
	defer in.mu.Unlock()
	if got := in.got[0]; len(got) != 2 || string(got[0].Value) != "before" || string(got[1].Value) != "behind" || got[1].Offset != 1 {
		t.Errorf("stored: %d records", len(got))
	}
}

// Whoever asks learns that a topic or a partition is not there: it is not made.
func TestWhatIsNotThereIsUnknown(t *testing.T) {
	t.Parallel()
	p := queue.NewProducer(queue.ProducerConfig{Brokers: brokers()})
	defer p.Close(limit(t)) //nolint:errcheck // nothing was produced
	missing := unique("missing-")
	for range 2 {
		if _, err := p.Partitions(limit(t), missing); !errors.Is(err, kafka.UnknownTopicOrPartition) {
			t.Errorf("a topic that is not there: %v", err)
		}
	}
	if _, err := queue.Offsets(limit(t), brokers(), makeTopic(t, 1), []int{0, 7}); err == nil {
		t.Error("offsets of a partition that is not there")
	}
}

// Several may make the same topics at once and again. When it is done they can
// be used at once, and nothing about them has changed.
func TestCreateTopics(t *testing.T) {
	t.Parallel()
	var specs []queue.TopicSpec
	for _, name := range numbered(unique("created-")+"-", 6) {
		specs = append(specs, queue.TopicSpec{Name: name, Partitions: 4, Replication: 1})
	}
	var making sync.WaitGroup
	for range 4 {
		making.Go(func() {
			if err := queue.CreateTopics(limit(t), brokers(), specs); err != nil {
				t.Error(err)
			}
		})
	}
	making.Wait()
	var warned warnings
	for _, spec := range specs {
		p := newProducer(t, spec.Name, warned.log())
		for part := range spec.Partitions {
			mustProduce(t, p, spec.Name, part, "first")
		}
		spec.Partitions = 9
		if err := queue.CreateTopics(limit(t), brokers(), []queue.TopicSpec{spec}); err != nil {
			t.Error(err)
		}
		again := newProducer(t, spec.Name, warned.log())
		if n, err := again.Partitions(limit(t), spec.Name); n != 4 || err != nil {
			t.Errorf("%d partitions, %v", n, err)
		}
	}
	if text := warned.String(); text != "" {
		t.Errorf("a topic just made gave cause for\n%s", text)
	}
}

// Where the next offset is not in the topic, the partition is lost, and only it.
func TestOffsetOutOfRangeIsTold(t *testing.T) {
	t.Parallel()
	topic := makeTopic(t, 2)
	p := newProducer(t, topic, nil)
	mustProduce(t, p, topic, 0, numbered("", 3)...)
	in := fetch(t, topic, map[int]int64{0: 4, 1: 0})
	in.wait(t, "the loss", func() bool { return in.lost[0] != nil })
	mustProduce(t, p, topic, 1, "other")
	in.wait(t, "the other partition", func() bool { return len(in.got[1]) == 1 })
	if !errors.Is(in.lost[0], kafka.OffsetOutOfRange) || in.lost[1] != nil {
		t.Errorf("lost: %v", in.lost)
	}
}

// A topic that was made anew begins at 0, and who reads on from before sees it.
func TestTopicMadeAnewIsNoticed(t *testing.T) {
	t.Parallel()
	topic := makeTopic(t, 1)
	mustProduce(t, newProducer(t, topic, nil), topic, 0, numbered("old", 5)...)
	in := fetch(t, topic, map[int]int64{0: 0})
	in.wait(t, "the old records", func() bool { return len(in.got[0]) == 5 })

	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers()...), Transport: transport}
	res, err := client.DeleteTopics(limit(t), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err := errors.Join(err, res.Errors[topic]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the topic is gone", func() bool { // brokers hear of it a moment later
		transport := &kafka.Transport{} // a pool would answer from what it knew
		defer transport.CloseIdleConnections()
		meta, err := (&kafka.Client{Addr: client.Addr, Transport: transport}).Metadata(limit(t), &kafka.MetadataRequest{Topics: []string{topic}})
		return err == nil && errors.Is(meta.Topics[0].Error, kafka.UnknownTopicOrPartition)
	})
	mustCreate(t, topic, 1)
	mustProduce(t, newProducer(t, topic, nil), topic, 0, "new0", "new1")
	bounds, err := queue.Offsets(limit(t), brokers(), topic, []int{0})
	if err != nil || bounds[0] != (queue.Bounds{First: 0, Next: 2}) {
		t.Errorf("the new topic holds %+v, %v", bounds[0], err)
	}
	in.wait(t, "the loss", func() bool { return in.lost[0] != nil })
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.got[0]) != 5 {
		t.Errorf("read on into another topic: %d records", len(in.got[0]))
	}
}
