package conformance

import (
	"maps"
	"testing"

	"github.com/segmentio/kafka-go"
)

// A topic of Sponge keeps everything, since it is what an audit replays; and
// takes records of a machine whose clock is wrong, which brokers refuse unless
// they write the time themselves.
func TestTopicsKeepAndTakeEverything(t *testing.T) {
	t.Parallel()
	topic := makeTopic(t, 1)
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(brokers()...), Transport: transport}
	want := map[string]string{"message.timestamp.type": "LogAppendTime", "retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
	req := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}
	for name := range want {
		req.ConfigNames = append(req.ConfigNames, name)
	}
	res, err := client.DescribeConfigs(limit(t), &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{req}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range res.Resources[0].ConfigEntries {
		got[e.ConfigName] = e.ConfigValue
	}
	if !maps.Equal(got, want) {
		t.Errorf("the topic is configured as %v, expected %v", got, want)
	}
}
