package floor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	kafkawire "github.com/segmentio/kafka-go/protocol"
	produceAPI "github.com/segmentio/kafka-go/protocol/produce"
	"golang.org/x/sync/errgroup"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// mostProduced bounds the bytes that one run leaves with Kafka.
const mostProduced = 512 << 20

// produce sends records with acks=all: one request at a time to each broker,
// with all that waits. An item has come through when a fetch has it.
type produce struct {
	brokers   []string
	namespace string
	topic     string
	leaders   []int // by partition
	frames    *frames
	transport *kafka.Transport
	addr      net.Addr
	next      int64 // item of Saturate; those of Carry have the same numbers, but other records
}

// topicPrefix begins the names of the topics that runs make.
const topicPrefix = "sponge.floor."

// newProduce makes a client, which connects on demand.
func newProduce(brokers []string, namespace, run string, f *frames) *produce {
	return &produce{brokers: brokers, namespace: namespace, topic: namespace + topicPrefix + run, frames: f, addr: kafka.TCP(brokers...),
		transport: &kafka.Transport{ClientID: "sponge-floor", MetadataTTL: time.Second, IdleTimeout: time.Minute}}
}

// begin makes a topic, with as many partitions as the one that carries chat.
func (p *produce) begin(ctx context.Context) error {
	partitions, err := p.lookUp(ctx, p.namespace+protocol.TopicStorage.Name())
	if err != nil {
		return err
	}
	if err := queue.CreateTopics(ctx, p.brokers, []queue.TopicSpec{{Name: p.topic, Partitions: partitions, Replication: -1}}); err != nil {
		return err
	}
	p.leaders, err = p.findLeaders(ctx, p.topic)
	return err
}

func (p *produce) client() *kafka.Client {
	return &kafka.Client{Addr: p.addr, Transport: p.transport, Timeout: 15 * time.Second}
}

// lookUp tells how many partitions the topic has, and removes what runs left
// that were killed.
func (p *produce) lookUp(ctx context.Context, topic string) (partitions int, err error) {
	res, err := p.client().Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return 0, fmt.Errorf("list topics: %w", err)
	}
	var left []string
	for _, t := range res.Topics {
		switch {
		case t.Name == topic:
			partitions = len(t.Partitions)
		case strings.HasPrefix(t.Name, p.namespace+topicPrefix):
			left = append(left, t.Name)
		}
	}
	if partitions == 0 {
		return 0, fmt.Errorf("there is no topic %s: sponge migrate makes it", topic)
	}
	return partitions, p.remove(ctx, left...)
}

func (p *produce) remove(ctx context.Context, topics ...string) error {
	if len(topics) == 0 {
		return nil
	}
	res, err := p.client().DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: topics})
	if err != nil {
		return fmt.Errorf("remove topics: %w", err)
	}
	var errs []error
	for topic, err := range res.Errors {
		if err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
			errs = append(errs, fmt.Errorf("remove topic %s: %w", topic, err))
		}
	}
	return errors.Join(errs...)
}

// close removes the topic.
func (p *produce) close(ctx context.Context) error {
	defer p.transport.CloseIdleConnections()
	return p.remove(ctx, p.topic)
}

// findLeaders asks until the transport, which answers from what it knew, knows
// the topic.
func (p *produce) findLeaders(ctx context.Context, topic string) ([]int, error) {
	for {
		res, err := p.client().Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err != nil {
			return nil, fmt.Errorf("find leaders: %w", err)
		}
		if t := res.Topics[0]; t.Error == nil && len(t.Partitions) > 0 {
			leaders := make([]int, len(t.Partitions))
			for _, part := range t.Partitions {
				leaders[part.ID] = part.Leader.ID
			}
			return leaders, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("find leaders: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Saturate implements bench.Stage: as many records as flying, again and again.
func (p *produce) Saturate(ctx context.Context, done func(int)) error {
	items := make([]int64, flying)
	for size := 0; size < mostProduced; {
		for i := range items {
			items[i] = firstBulk + p.next
			p.next++
		}
		n, err := p.send(ctx, items)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		done(len(items))
		size += n
	}
	return nil
}

// firstBulk keeps the items of Saturate apart from those of Carry.
const firstBulk = int64(1) << 40

// Carry implements bench.Stage.
func (p *produce) Carry(ctx context.Context, items <-chan int64, arrived func(int64)) error {
	work, ctx := errgroup.WithContext(ctx)
	starts, _, err := bounds(ctx, p.brokers, p.topic, len(p.leaders))
	if err != nil {
		return ended(ctx, err)
	}
	lost := make(chan error, 1)
	fetcher := queue.NewFetcher(queue.FetcherConfig{Brokers: p.brokers, Topic: p.topic, Log: silent}, starts)
	sink := &sink{deliver: func(_ int, messages []queue.Message) {
		for i := range messages {
			if n, ok := numberIn(messages[i].Value); ok {
				arrived(n)
			}
		}
	}, lost: lost}
	work.Go(func() error { fetcher.Run(ctx, sink); return nil })
	work.Go(func() error {
		for {
			batch, err := take(ctx, items, flying, lost)
			if err == nil {
				_, err = p.send(ctx, batch)
			}
			if err != nil || ctx.Err() != nil {
				return ended(ctx, err)
			}
		}
	})
	return work.Wait()
}

// send produces items in one request for each broker that leads some of their
// partitions, and returns their size in bytes.
func (p *produce) send(ctx context.Context, items []int64) (size int, err error) {
	now := time.Now()
	shares := make(map[int][]kafka.Record, len(p.leaders))
	slab := make([]byte, 0, len(items)*(len(p.frames.frame[0])+160))
	for _, n := range items {
		key := p.frames.key[pairOf(n)]
		begin := len(slab)
		slab = p.frames.append(slab, n)
		middle := len(slab)
		slab = p.frames.appendHeader(slab, n, now)
		part := protocol.Partition(key, len(p.leaders))
		shares[part] = append(shares[part], kafka.Record{Time: now, Key: kafka.NewBytes(key), Value: kafka.NewBytes(slab[begin:middle:middle]),
			Headers: []kafka.Header{{Key: envelope.HeaderKey, Value: slab[middle:len(slab):len(slab)]}}})
		size += len(key)
	}
	requests := map[int]*produceAPI.Request{}
	for part, records := range shares {
		req := requests[p.leaders[part]]
		if req == nil {
			req = &produceAPI.Request{Acks: -1, Timeout: 10_000, Topics: []produceAPI.RequestTopic{{Topic: p.topic}}}
			requests[p.leaders[part]] = req
		}
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, produceAPI.RequestPartition{Partition: int32(part),
			RecordSet: kafkawire.RecordSet{Records: kafka.NewRecordReader(records...)}})
	}
	work, ctx := errgroup.WithContext(ctx)
	for _, req := range requests {
		work.Go(func() error { return p.request(ctx, req) })
	}
	return size + len(slab), work.Wait()
}

func (p *produce) request(ctx context.Context, req *produceAPI.Request) error {
	m, err := p.transport.RoundTrip(ctx, p.addr, req)
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	for _, part := range m.(*produceAPI.Response).Topics[0].Partitions {
		if part.ErrorCode != 0 {
			return fmt.Errorf("produce to partition %d: %w", part.Partition, kafka.Error(part.ErrorCode))
		}
	}
	return nil
}
