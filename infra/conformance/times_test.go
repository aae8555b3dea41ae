package conformance

import (
	"maps"
	"testing"
	"time"

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
