package local

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"
)

func mustKafka(t *testing.T, o Options, c KafkaConfig) *Kafka {
	t.Helper()
	k, err := StartKafka(limit(t), o, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Stop(context.Background()) }) // t's own context has ended by then
	return k
}

func kafkaClient(t *testing.T, addr string) *kafka.Client {
	t.Helper()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
}

func createTopic(t *testing.T, addr, topic string) {
	t.Helper()
	r, err := kafkaClient(t, addr).CreateTopics(limit(t), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}},
	})
	if err == nil {
		err = r.Errors[topic]
	}
	if err != nil {
		t.Fatal(err)
	}
}

func produce(t *testing.T, addr, topic, value string) {
	t.Helper()
	r, err := kafkaClient(t, addr).Produce(limit(t), &kafka.ProduceRequest{
		Topic: topic, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))}),
	})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

// consumeFirst returns the value of a topic's first record.
func consumeFirst(t *testing.T, addr, topic string) string {
	t.Helper()
	r, err := kafkaClient(t, addr).Fetch(limit(t), &kafka.FetchRequest{Topic: topic, MinBytes: 1, MaxBytes: 1 << 20})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		t.Fatal(err)
	}
	record, err := r.Records.ReadRecord()
	if err != nil {
		t.Fatal(err)
	}
	value, err := kafka.ReadAll(record.Value)
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

func TestKafkaKeepsRecordsOverRestart(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		o := options(t)
		k := mustKafka(t, o, KafkaConfig{SyncWrites: sync})
		createTopic(t, k.Addr(), "kept")
		produce(t, k.Addr(), "kept", "你好")
		if err := k.Stop(limit(t)); err != nil {
			t.Fatal(err)
		}
		k = mustKafka(t, o, KafkaConfig{SyncWrites: sync})
		if got := consumeFirst(t, k.Addr(), "kept"); got != "你好" {
			t.Errorf("after restart: %q", got)
		}
	}
}

func TestKafkaPort(t *testing.T) {
	t.Parallel()
	ports, err := Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	want := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	o := options(t)
	k := mustKafka(t, o, KafkaConfig{Port: ports[0]})
	if k.Addr() != want {
		t.Errorf("listens on %s, want %s", k.Addr(), want)
	}

	// A port that is taken is an error that names it, and leaves no lock.
	other := options(t)
	_, err = StartKafka(limit(t), other, KafkaConfig{Port: ports[0]})
	wantText(t, err, want, "address already in use")
	mustKafka(t, other, KafkaConfig{})

	// Stopped, by several at once, it frees port and directory.
	var stops sync.WaitGroup
	for range 4 {
		stops.Go(func() {
			if err := k.Stop(limit(t)); err != nil {
				t.Error(err)
			}
		})
	}
	stops.Wait()
	mustKafka(t, o, KafkaConfig{Port: ports[0]})
}

func TestKafkaDirectoryInUse(t *testing.T) {
	t.Parallel()
	o := options(t)
	mustKafka(t, o, KafkaConfig{})
	_, err := StartKafka(limit(t), o, KafkaConfig{})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("second start: %v", err)
	}
	wantText(t, err, o.Dir)
}
