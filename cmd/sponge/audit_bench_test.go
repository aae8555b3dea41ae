package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/audit/view"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers/workertest"
)

// firstWrite notes when something was written first.
type firstWrite struct {
	at    time.Time
	bytes int64
}

func (w *firstWrite) Write(b []byte) (int, error) {
	if w.at.IsZero() {
		w.at = time.Now()
	}
	w.bytes += int64(len(b))
	return len(b), nil
}

// benchHours is the time that the benchmark's records are spread over.
const benchHours = 10

// BenchmarkAuditRead reads one hour of ten. With SPONGE_BENCH_RECORDS=10000000 it
// is a window of ten million records; SPONGE_TEST_SERVICES=real has Apache Kafka
// hold them.
func BenchmarkAuditRead(b *testing.B) {
	records := 20_000
	if text := os.Getenv("SPONGE_BENCH_RECORDS"); text != "" {
		var err error
		if records, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	sp := services.NewSpace(b)
	namespace := "old-" + sp.Namespace
	begin := time.Now().Add(-benchHours * time.Hour)
	if err := fillTopic(b, sp, namespace+protocol.TopicStorage.Name(), records, begin); err != nil {
		b.Fatal(err)
	}
	cfg := auditConfig{Kafka: []string{sp.Kafka.Addr()}, Namespace: namespace}
	log, err := openLog(b.Context(), &cfg, "")
	if err != nil {
		b.Fatal(err)
	}
	format, err := view.NewFormat("jsonl", view.FormatConfig{})
	if err != nil {
		b.Fatal(err)
	}
	var read int64
	var waited time.Duration
	for b.Loop() {
		begun := time.Now()
		var out firstWrite
		var shown int64
		o := view.Options{Window: view.Window{Partition: -1, Topics: []string{protocol.TopicStorage.Name()}}, Format: format, Out: &out}
		o.From, o.To = view.Bound{Time: begin.Add(5 * time.Hour)}, view.Bound{Time: begin.Add(6 * time.Hour)}
		o.Progress = func(p view.Progress) { shown = p.Shown }
		if err := view.Read(b.Context(), log, o); err != nil {
			b.Fatal(err)
		}
		read += shown
		waited += out.at.Sub(begun)
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(waited.Milliseconds())/float64(b.N), "ms-to-first")
	b.ReportMetric(float64(read)/float64(b.N), "records/op")
}

// fillTopic publishes chat frames as if they had been sent over benchHours.
func fillTopic(b *testing.B, sp *workertest.Space, topic string, records int, begin time.Time) error {
	brokers := kafka.TCP(sp.Kafka.Addr())
	client := kafka.Client{Addr: brokers}
	made, err := client.CreateTopics(b.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: workertest.Partitions, ReplicationFactor: 1,
		// So that the past can be made up.
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "message.timestamp.type", ConfigValue: "CreateTime"}},
	}}})
	if err := errors.Join(err, made.Errors[topic]); err != nil {
		return err
	}
	producer := queue.NewProducer(queue.ProducerConfig{Brokers: []string{sp.Kafka.Addr()}})
	defer producer.Close(context.Background())
	for wait := 0; ; wait++ {
		if _, err := producer.Partitions(b.Context(), topic); err == nil {
			break
		} else if wait == 1000 {
			return err
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var proofs []*keys.Proof
	for i := range 100 {
		proofs = append(proofs, sp.Key.Prove(int64(i+1), keys.SessionID{byte(i)}, "e1:bench", uint64(i), time.Now().Add(time.Hour)))
	}
	var mu sync.Mutex
	var failed error
	var under sync.WaitGroup
	for i := range records {
		at := begin.Add(benchHours * time.Hour / time.Duration(records) * time.Duration(i))
		n := rng.IntN(100)
		e := envelope.Envelope{Node: "e1:bench", Conn: uint64(n), Request: uint32(i), Arrival: at.UnixMilli(), Peer: "192.0.2.7:40000", Proof: proofs[n]}
		for k := range e.FrameID {
			e.FrameID[k] = byte(rng.Uint32())
		}
		key := []byte(protocol.Pair(int64(n+1), int64(n+2)).String())
		under.Add(1)
		err := producer.Enqueue(topic, protocol.Partition(key, workertest.Partitions), &queue.Record{
			Key: key, Value: fmt.Appendf(nil, `{"msgType":4,"TOID":%d,"msg":"message %d of some length, as people write them on a day %d"}`, n+2, i, rng.Int()),
			Time: at, Headers: []queue.Header{{Key: envelope.HeaderKey, Value: e.Append(nil)}},
		}, func(_ *queue.Record, err error) {
			mu.Lock()
			failed = errors.Join(failed, err)
			mu.Unlock()
			under.Done()
		})
		if err != nil {
			under.Done()
			return err
		}
		if i%20_000 == 19_999 {
			under.Wait()
		}
	}
	under.Wait()
	return failed
}
