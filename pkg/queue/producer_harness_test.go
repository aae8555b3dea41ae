package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
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
	for { // the brokers may not answer yet
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
	var batch *kafka.Batch
	for offset := int64(0); offset < last; {
		if batch == nil {
			batch = conn.ReadBatch(1, 8<<20)
		}
		m, err := batch.ReadMessage()
		if err != nil { // the batch is at its end
			if err := batch.Close(); err != nil {
				t.Fatal(err)
			}
			batch = nil
			continue
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
	if batch != nil {
		batch.Close()
	}
	return out
}

func sequence(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = numbered(prefix, i)
	}
	return out
}

func numbered(prefix string, i int) string { return fmt.Sprintf("%s-%04d", prefix, i) }

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
