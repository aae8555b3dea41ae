package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sponge/pkg/queue"
)

const produceKey = 0

// startKafka starts a Kafka of some brokers, whose topic t has some partitions.
func startKafka(t *testing.T, brokers, partitions int) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(int32(partitions), "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newProducer(t *testing.T, c *kfake.Cluster, change func(*queue.ProducerConfig)) *queue.Producer {
	t.Helper()
	cfg := queue.ProducerConfig{Brokers: c.ListenAddrs(), Timeout: 2 * time.Second}
	if change != nil {
		change(&cfg)
	}
	p := queue.NewProducer(cfg)
	t.Cleanup(func() { p.Close(t.Context()) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for { // the transport learns the brokers by itself
		if _, err := p.Partitions(ctx, "t"); err == nil {
			return p
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// outcomes collects what done was called with.
type outcomes struct {
	mu   sync.Mutex
	errs map[string][]error
	wg   sync.WaitGroup
}

func (o *outcomes) done(r *queue.Record, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs[string(r.Value)] = append(o.errs[string(r.Value)], err)
	o.wg.Done()
}

func (o *outcomes) enqueue(t *testing.T, p *queue.Producer, partition int, value string) *queue.Record {
	t.Helper()
	r := &queue.Record{Key: []byte("k"), Value: []byte(value), Headers: []queue.Header{{Key: "h", Value: []byte("v")}}, Time: time.UnixMilli(1700000000123)}
	o.wg.Add(1)
	if err := p.Enqueue("t", partition, r, o.done); err != nil {
		t.Fatal(err)
	}
	return r
}

// check waits until every done was called, and that each was called once.
func (o *outcomes) check(t *testing.T, want func(value string) error) {
	t.Helper()
	ended := make(chan struct{})
	go func() { o.wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		t.Fatal("not every record is done")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for value, errs := range o.errs {
		if len(errs) != 1 {
			t.Errorf("%s: done was called %d times", value, len(errs))
		}
		if w := want(value); !errors.Is(errs[0], w) || w == nil && errs[0] != nil {
			t.Errorf("%s: done with %v, want %v", value, errs[0], w)
		}
	}
}

func success(string) error { return nil }

// values reads a partition's values, each only the first time.
func values(t *testing.T, c *kfake.Cluster, partition int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := kafka.DialLeader(ctx, "tcp", c.ListenAddrs()[0], "t", partition)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	last, err := conn.ReadLastOffset()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Seek(0, kafka.SeekStart); err != nil {
		t.Fatal(err)
	}
	var out []string
	seen := map[string]bool{}
	for offset := int64(0); offset < last; {
		m, err := conn.ReadMessage(2 << 20)
		if err != nil {
			t.Fatal(err)
		}
		offset = m.Offset + 1
		if string(m.Key) != "k" || len(m.Headers) != 1 || m.Time.UnixMilli() != 1700000000123 {
			t.Errorf("record %+v", m)
		}
		if v := string(m.Value); !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

func sequence(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%04d", prefix, i)
	}
	return out
}

func TestProducerKeepsOrder(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 3, 6)
	p := newProducer(t, c, nil)
	o := &outcomes{errs: map[string][]error{}}
	for i := range 500 {
		for part := range 6 {
			o.enqueue(t, p, part, sequence(fmt.Sprint(part), 500)[i])
		}
	}
	o.check(t, success)
	for part := range 6 {
		if got, want := values(t, c, part), sequence(fmt.Sprint(part), 500); !slices.Equal(got, want) {
			t.Errorf("partition %d: %d records, out of order or missing", part, len(got))
		}
	}
}

// TestProducerSkipsNothing: every third answer is an error for one of the
// partitions, or does not come at all; then the records may be there, once or
// more often, but the first copies are in order.
func TestProducerSkipsNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(c *kfake.Cluster, n int64, req *kmsg.ProduceRequest) (kmsg.Response, error, bool){
		"errors": func(_ *kfake.Cluster, n int64, req *kmsg.ProduceRequest) (kmsg.Response, error, bool) {
			codes := []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.UnknownTopicOrPartition, kerr.KafkaStorageError}
			return refuse(req, codes[n%int64(len(codes))].Code), nil, true
		},
		"cuts": func(_ *kfake.Cluster, _ int64, req *kmsg.ProduceRequest) (kmsg.Response, error, bool) {
			return nil, errors.New("cut"), true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startKafka(t, 2, 4)
			var n atomic.Int64
			c.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if i := n.Add(1); i%3 == 0 {
					return fault(c, i, req.(*kmsg.ProduceRequest))
				}
				return nil, nil, false
			})
			p := newProducer(t, c, nil)
			o := &outcomes{errs: map[string][]error{}}
			for i := range 300 {
				for part := range 4 {
					o.enqueue(t, p, part, sequence(fmt.Sprint(part), 300)[i])
				}
			}
			o.check(t, success)
			if n.Load() < 3 {
				t.Fatal("no fault was injected")
			}
			for part := range 4 {
				if got, want := values(t, c, part), sequence(fmt.Sprint(part), 300); !slices.Equal(got, want) {
					t.Errorf("partition %d: %d records, out of order or missing", part, len(got))
				}
			}
		})
	}
}

// refuse is the answer that fails every partition of a request.
func refuse(req *kmsg.ProduceRequest, code int16) kmsg.Response {
	res := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, part := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.BaseOffset = part.Partition, code, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
	}
	return res
}

// TestProducerOnePartitionFails: the others go on, and what waits behind the
// failing one comes in order once it is well.
func TestProducerOnePartitionFails(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 2)
	var sick atomic.Bool
	sick.Store(true)
	c.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		if sick.Load() && slices.ContainsFunc(produce.Topics[0].Partitions, func(p kmsg.ProduceRequestTopicPartition) bool { return p.Partition == 0 }) {
			return refuse(produce, kerr.NotEnoughReplicas.Code), nil, true
		}
		return nil, nil, false
	})
	p := newProducer(t, c, nil)
	sickOnes, others := &outcomes{errs: map[string][]error{}}, &outcomes{errs: map[string][]error{}}
	for i := range 50 {
		sickOnes.enqueue(t, p, 0, sequence("0", 50)[i])
		others.enqueue(t, p, 1, sequence("1", 50)[i])
	}
	others.check(t, success)
	sick.Store(false)
	sickOnes.check(t, success)
	if got := values(t, c, 0); !slices.Equal(got, sequence("0", 50)) {
		t.Errorf("%d records, out of order or missing", len(got))
	}
}

func TestProducerRefusedRecordFailsAlone(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 1)
	c.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if produce := req.(*kmsg.ProduceRequest); slices.Contains(contents(produce), "bad") {
			return refuse(produce, kerr.InvalidRecord.Code), nil, true
		}
		return nil, nil, false
	})
	p := newProducer(t, c, nil)
	o := &outcomes{errs: map[string][]error{}}
	for _, v := range []string{"a", "b", "bad", "c", "d"} {
		o.enqueue(t, p, 0, v)
	}
	o.check(t, func(v string) error {
		if v == "bad" {
			return queue.ErrRejected
		}
		return nil
	})
	if got, want := values(t, c, 0), []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
	if !errors.Is(queue.ErrRejected, queue.ErrNotSent) {
		t.Error("ErrRejected is no ErrNotSent")
	}
}

// contents are the values of all records of a request.
func contents(req *kmsg.ProduceRequest) []string {
	var out []string
	for _, t := range req.Topics {
		for _, part := range t.Partitions {
			var batch kmsg.RecordBatch
			if batch.ReadFrom(part.Records) != nil {
				continue
			}
			rest := batch.Records
			for range batch.NumRecords {
				var r kmsg.Record
				length, n := varint(rest)
				if r.ReadFrom(rest[:n+length]) != nil {
					break
				}
				out = append(out, string(r.Value))
				rest = rest[n+length:]
			}
		}
	}
	return out
}

func varint(b []byte) (v, n int) {
	var u uint64
	for shift := 0; ; shift += 7 {
		u |= uint64(b[n]&0x7f) << shift
		n++
		if b[n-1] < 0x80 {
			return int(u>>1) ^ -int(u&1), n
		}
	}
}

// TestProducerWithoutKafka: what was never sent is told apart from what may
// have been.
func TestProducerWithoutKafka(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 1)
	p := newProducer(t, c, func(cfg *queue.ProducerConfig) { cfg.MaxBytes = 1000 })
	arrived := make(chan struct{}, 100)
	c.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		arrived <- struct{}{}
		return nil, errors.New("cut"), true
	})
	o := &outcomes{errs: map[string][]error{}}
	first := o.enqueue(t, p, 0, "first")
	<-arrived
	<-arrived // its first attempt has failed by now
	second := o.enqueue(t, p, 0, "second")
	if p.Cancel(first) {
		t.Error("a record that may have arrived was never sent, says Cancel")
	}
	_ = second

	c.Close()
	third := o.enqueue(t, p, 0, "third")
	_ = third
	if err := p.Enqueue("t", 0, &queue.Record{Value: make([]byte, 1000)}, o.done); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Enqueue beyond the bound: %v", err)
	}
	if err := p.Enqueue("t", 7, &queue.Record{}, o.done); err == nil {
		t.Error("Enqueue to a partition that is not there succeeds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	o.wg.Wait()
	if errs := o.errs["first"]; len(errs) != 1 || !errors.Is(errs[0], queue.ErrUnknown) {
		t.Errorf("first: %v", errs)
	}
	if err := p.Enqueue("t", 0, &queue.Record{}, o.done); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Enqueue after Close: %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestProducerCancelNeverSent(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 1)
	p := newProducer(t, c, nil)
	hold := make(chan struct{})
	arrived := make(chan struct{}, 100)
	c.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		arrived <- struct{}{}
		<-hold
		return nil, nil, false
	})
	o := &outcomes{errs: map[string][]error{}}
	o.enqueue(t, p, 0, "first")
	<-arrived // the second has to wait for its answer
	second := o.enqueue(t, p, 0, "second")
	o.enqueue(t, p, 0, "third")
	if !p.Cancel(second) {
		t.Error("Cancel of a record that waits: it may have been sent")
	}
	if p.Cancel(second) {
		t.Error("a second Cancel succeeds")
	}
	close(hold)
	o.check(t, func(v string) error {
		if v == "second" {
			return queue.ErrNotSent
		}
		return nil
	})
	if got, want := values(t, c, 0), []string{"first", "third"}; !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Errorf("Flush of nothing: %v", err)
	}
}

func TestPartitionsOfNoTopic(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 3)
	p := newProducer(t, c, nil)
	if n, err := p.Partitions(t.Context(), "t"); n != 3 || err != nil {
		t.Errorf("Partitions: %d, %v", n, err)
	}
	if n, err := p.Partitions(t.Context(), "none"); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("Partitions of a topic that is not there: %d, %v", n, err)
	}
}
