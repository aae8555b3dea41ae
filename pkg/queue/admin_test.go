package queue_test

import (
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"sponge/pkg/queue"
)

// TestTopicsTakeRecordsFromAnyClock: brokers judge records by their time unless
// they write it themselves.
func TestTopicsTakeRecordsFromAnyClock(t *testing.T) {
	t.Parallel()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	if err := queue.CreateTopics(t.Context(), broker.ListenAddrs(), []queue.TopicSpec{{Name: topic, Partitions: 1, Replication: 1}}); err != nil {
		t.Fatal(err)
	}
	client := kafka.Client{Addr: kafka.TCP(broker.ListenAddrs()...)}
	res, err := client.DescribeConfigs(t.Context(), &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"message.timestamp.type"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Resources[0].ConfigEntries; len(got) != 1 || got[0].ConfigValue != "LogAppendTime" {
		t.Errorf("the topic's configuration: %+v", got)
	}
}
