package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// TopicSpec is a topic that must exist.
type TopicSpec struct {
	Name        string
	Partitions  int
	Replication int // -1: the broker's default
}

// leaderWait bounds the wait for leaders, a broker's whole election included;
// leaderRetry is how often they are asked for.
const (
	leaderWait  = 30 * time.Second
	leaderRetry = 50 * time.Millisecond
)

// CreateTopics makes the topics that are missing, and returns when each
// partition's leader answers: before, Kafka refuses what is produced. New ones
// keep their records for good. The number of partitions of those that exist is
// never changed: it decides which one a key goes to. It may be repeated, also
// by several processes at once.
func CreateTopics(ctx context.Context, brokers []string, topics []TopicSpec) error {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: brokerAddr(brokers), Transport: transport, Timeout: 15 * time.Second}
	req := kafka.CreateTopicsRequest{}
	config := []kafka.ConfigEntry{
		// The topics are what an audit replays: whoever lets records go decides it.
		{ConfigName: "retention.ms", ConfigValue: "-1"},
		{ConfigName: "retention.bytes", ConfigValue: "-1"},
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		// Brokers refuse records from a clock that is an hour ahead of theirs,
		// unless they write the time themselves.
		{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"},
	}
	for _, t := range topics {
		req.Topics = append(req.Topics, kafka.TopicConfig{Topic: t.Name, NumPartitions: t.Partitions, ReplicationFactor: t.Replication,
			ConfigEntries: config})
	}
	res, err := client.CreateTopics(ctx, &req)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for name, err := range res.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	return awaitLeaders(ctx, brokers, topics)
}

func awaitLeaders(ctx context.Context, brokers []string, topics []TopicSpec) error {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	for {
		err := askLeaders(ctx, brokers, topics)
		if err == nil {
			return nil
		}
		if sleep(ctx, leaderRetry); ctx.Err() != nil {
			return fmt.Errorf("create topics: wait for leaders: %w", err)
		}
	}
}

// askLeaders fails where a partition of the topics has no leader that answers
// yet: a broker is named as the leader a moment before it knows that it is. It
// asks on connections of its own: a pool answers from what it knew before.
func askLeaders(ctx context.Context, brokers []string, topics []TopicSpec) error {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: brokerAddr(brokers), Transport: transport, Timeout: 5 * time.Second}
	var req kafka.MetadataRequest
	for _, t := range topics {
		req.Topics = append(req.Topics, t.Name)
	}
	res, err := client.Metadata(ctx, &req)
	if err != nil {
		return err
	}
	ask := kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{}}
	for _, t := range res.Topics {
		if t.Error != nil {
			return fmt.Errorf("topic %s: %w", t.Name, t.Error)
		}
		for _, p := range t.Partitions {
			ask.Topics[t.Name] = append(ask.Topics[t.Name], kafka.LastOffsetOf(p.ID))
		}
	}
	for _, t := range topics {
		if len(ask.Topics[t.Name]) == 0 {
			return fmt.Errorf("topic %s: %w", t.Name, kafka.UnknownTopicOrPartition)
		}
	}
	answer, err := client.ListOffsets(ctx, &ask)
	if err != nil {
		return err
	}
	for name, partitions := range answer.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return fmt.Errorf("%s/%d: %w", name, p.Partition, p.Error)
			}
		}
	}
	return nil
}

// Bounds is the range of offsets that a partition holds: First is the oldest,
// Next the one that the next record gets.
type Bounds struct{ First, Next int64 }

// Offsets asks for the bounds of partitions of a topic.
func Offsets(ctx context.Context, brokers []string, topic string, partitions []int) (map[int]Bounds, error) {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: brokerAddr(brokers), Transport: transport, Timeout: 10 * time.Second}
	var reqs []kafka.OffsetRequest
	for _, p := range partitions {
		reqs = append(reqs, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: reqs}})
	if err != nil {
		return nil, fmt.Errorf("offsets of %s: %w", topic, err)
	}
	out := map[int]Bounds{}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("offsets of %s/%d: %w", topic, p.Partition, p.Error)
		}
		out[p.Partition] = Bounds{First: p.FirstOffset, Next: p.LastOffset}
	}
	if len(out) != len(partitions) {
		return nil, fmt.Errorf("offsets of %s: %d of %d partitions answered", topic, len(out), len(partitions))
	}
	return out, nil
}

// ErrNoTopic means that Kafka has no such topic.
var ErrNoTopic = errors.New("queue: no such topic")

// Partitions lists a topic's partitions, in order.
func Partitions(ctx context.Context, brokers []string, topic string) ([]int, error) {
	found, err := lookUp(ctx, brokers, topic)
	if err != nil {
		return nil, fmt.Errorf("partitions of %s: %w", topic, err)
	}
	switch err := found.errs[topic]; {
	case errors.Is(err, kafka.UnknownTopicOrPartition), err == nil && len(found.topics[topic]) == 0:
		return nil, fmt.Errorf("%s: %w", topic, ErrNoTopic)
	case err != nil:
		return nil, fmt.Errorf("partitions of %s: %w", topic, err)
	}
	var ids []int
	for _, p := range found.topics[topic] {
		ids = append(ids, int(p.PartitionIndex))
	}
	slices.Sort(ids)
	return ids, nil
}

// OffsetsAt asks for the first offset of each partition whose record was
// appended at or after t, by the broker's clock; a partition without one is left
// out.
func OffsetsAt(ctx context.Context, brokers []string, topic string, partitions []int, t time.Time) (map[int]int64, error) {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: brokerAddr(brokers), Transport: transport, Timeout: 10 * time.Second}
	var reqs []kafka.OffsetRequest
	for _, p := range partitions {
		// Below zero are names for the ends.
		reqs = append(reqs, kafka.OffsetRequest{Partition: p, Timestamp: max(0, t.UnixMilli())})
	}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: reqs}})
	if err != nil {
		return nil, fmt.Errorf("offsets of %s: %w", topic, err)
	}
	out := map[int]int64{}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("offsets of %s/%d: %w", topic, p.Partition, p.Error)
		}
		for offset := range p.Offsets {
			if offset >= 0 { // -1: none, with whatever time
				out[p.Partition] = offset
			}
		}
	}
	return out, nil
}

// Retention is how long a topic keeps its records at least, where that is by time
// alone; ok is false where it also counts bytes, or has no end: then what is gone
// was deleted in another way.
func Retention(ctx context.Context, brokers []string, topic string) (keeps time.Duration, ok bool, err error) {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: brokerAddr(brokers), Transport: transport, Timeout: 10 * time.Second}
	res, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms", "retention.bytes", "cleanup.policy"}},
	}})
	if err != nil {
		return 0, false, fmt.Errorf("retention of %s: %w", topic, err)
	}
	set := map[string]string{}
	for _, r := range res.Resources {
		if r.Error != nil {
			return 0, false, fmt.Errorf("retention of %s: %w", topic, r.Error)
		}
		for _, c := range r.ConfigEntries {
			set[c.ConfigName] = c.ConfigValue
		}
	}
	ms, err := strconv.ParseInt(set["retention.ms"], 10, 64)
	if err != nil || ms < 0 || set["retention.bytes"] != "-1" || set["cleanup.policy"] != "delete" {
		return 0, false, nil
	}
	return time.Duration(ms) * time.Millisecond, true, nil
}
