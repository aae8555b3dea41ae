package conformance

import (
	"crypto/rand"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/queue"
)

// Records are found by when they came; a partition that has none so late is left
// out.
func TestOffsetsAt(t *testing.T) {
	t.Parallel()
	topic := makeTopic(t, 3)
	p := newProducer(t, topic, nil)
	for partition := range 2 { // the embedded broker goes by the producer's time
		if err := produce(t, p, topic, partition, &queue.Record{Value: []byte("a"), Time: time.Now()})[0]; err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		from time.Duration
		want map[int]int64
	}{
		{-time.Hour, map[int]int64{0: 0, 1: 0}},
		{time.Hour, map[int]int64{}},
	} {
		got, err := queue.OffsetsAt(t.Context(), brokers(), topic, []int{0, 1, 2}, time.Now().Add(c.from))
		if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%v from now: %v %v, want %v", c.from, got, err, c.want)
		}
	}
}

// Sponge's own topics keep everything; what others were told to keep is known.
func TestRetention(t *testing.T) {
	t.Parallel()
	if _, ok, err := queue.Retention(limit(t), brokers(), makeTopic(t, 1)); ok || err != nil {
		t.Fatalf("a topic without an end: %v, %v", ok, err)
	}
	transport := &kafka.Transport{MetadataTTL: time.Second}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(brokers()...), Transport: transport}
	topic := "retention-" + rand.Text()
	made, err := client.CreateTopics(limit(t), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: 1, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "60000"}, {ConfigName: "cleanup.policy", ConfigValue: "delete"}},
	}}})
	if err := errors.Join(err, made.Errors[topic]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the topic tells its retention", func() bool {
		keeps, ok, err := queue.Retention(limit(t), brokers(), topic)
		return err == nil && ok && keeps == time.Minute
	})
}
