package conformance

import (
	"testing"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/queue"
)

// Records stay, whatever their age, unless their topic says otherwise: they are
// what an audit replays.
func TestOldRecordsStay(t *testing.T) {
	t.Parallel()
	stays, goes := makeTopic(t, 1), unique("short-lived-")
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers()...), Transport: transport}
	res, err := client.CreateTopics(limit(t), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: goes, NumPartitions: 1, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "1"}}}}})
	if err == nil {
		err = res.Errors[goes]
	}
	if err != nil {
		t.Fatal(err)
	}
	mustCreate(t, goes, 1) // waits for its leader

	mustProduce(t, newProducer(t, stays, nil), stays, 0, "old")
	p := newProducer(t, goes, nil)
	for i := range int64(2) { // the second time, all topics were looked at in between
		mustProduce(t, p, goes, 0, "old")
		eventually(t, "a record that its topic does not keep goes", func() bool {
			bounds, err := queue.Offsets(limit(t), brokers(), goes, []int{0})
			return err == nil && bounds[0].First == i+1
		})
	}
	bounds, err := queue.Offsets(limit(t), brokers(), stays, []int{0})
	if err != nil || bounds[0] != (queue.Bounds{First: 0, Next: 1}) {
		t.Errorf("of an old record is left %+v, %v", bounds[0], err)
	}
}
