package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Committed asks how far a consumer group has told Kafka that it is with
// partitions of a topic: the offset it would read next. Those of which it has
// told nothing are left out. It is for displays: see Generation.Commit.
func Committed(ctx context.Context, brokers []string, group, topic string, partitions []int) (map[int]int64, error) {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: brokerAddr(brokers), Transport: transport, Timeout: 10 * time.Second}
	res, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, fmt.Errorf("offsets of group %s: %w", group, err)
	}
	out := map[int]int64{}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("offsets of group %s in %s/%d: %w", group, topic, p.Partition, p.Error)
		}
		if p.CommittedOffset >= 0 {
			out[p.Partition] = p.CommittedOffset
		}
	}
	return out, nil
}
