package conformance

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/queue"
)

// assignment is what a member was given.
type assignment struct {
	partitions int
	generation *queue.Generation
}

// join keeps a member in a group until leave is called. Its assignments come
// through the channel.
func join(t *testing.T, group, topic string, session time.Duration, log *slog.Logger) (assigned <-chan assignment, leave func()) {
	t.Helper()
	all := make(chan assignment, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- queue.RunGroup(ctx, queue.GroupConfig{Brokers: brokers(), ID: group, Topic: topic,
			SessionTimeout: session, FallbackTimeout: 6 * time.Second,
			Fit: func(context.Context) error { return nil }, Log: log},
			func(ctx context.Context, g *queue.Generation) error {
				all <- assignment{len(g.Partitions), g}
				<-ctx.Done()
				return nil
			})
	}()
	leave = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(leave)
	return all, leave
}

// until waits for an assignment of so many partitions.
func until(t *testing.T, assigned <-chan assignment, partitions int) assignment {
	t.Helper()
	for ctx := limit(t); ; {
		select {
		case a := <-assigned:
			if a.partitions == partitions {
				return a
			}
		case <-ctx.Done():
			t.Fatalf("never got %d partitions", partitions)
		}
	}
}

// Members share the partitions. One that vanishes without a word loses its own
// after its session's second, though it could have said that it takes longer.
func TestGroupTakesOverFromWhoVanished(t *testing.T) {
	t.Parallel()
	topic, group := makeTopic(t, 6), unique("group-")
	var warned warnings
	stays, leave := join(t, group, topic, time.Second, warned.log())
	until(t, stays, 6)
	goes, goesLeaves := join(t, group, topic, time.Second, warned.log())
	until(t, goes, 3)
	until(t, stays, 3)
	goesLeaves() // says so
	until(t, stays, 6)

	vanish(t, group, topic)
	until(t, stays, 6)

	// Whoever comes gets a share again.
	back, _ := join(t, group, topic, time.Second, warned.log())
	until(t, back, 3)
	leave()
	until(t, back, 6)
	if text := warned.String(); text != "" {
		t.Errorf("cause for\n%s", text)
	}
}

// vanish joins a group, is given partitions, and never speaks again, also not
// to say that it leaves.
func vanish(t *testing.T, group, topic string) {
	t.Helper()
	var network network
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: brokers(), Topics: []string{topic},
		GroupBalancers:   []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		SessionTimeout:   time.Second,
		RebalanceTimeout: time.Minute,
		JoinGroupBackoff: 100 * time.Millisecond,
		Dialer:           &kafka.Dialer{DialFunc: network.dial},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close() //nolint:errcheck // it cannot say that it leaves
	for ctx := limit(t); ; {
		generation, err := g.Next(ctx)
		if ctx.Err() != nil {
			t.Fatalf("who is to vanish never got its share: %v", err)
		}
		if err == nil && len(generation.Assignments[topic]) == 3 {
			break
		}
	}
	network.cut()
}

// network can be cut for good.
type network struct {
	mu    sync.Mutex // guards the following
	gone  bool
	conns []net.Conn
}

func (n *network) dial(ctx context.Context, kind, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, kind, addr)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case n.gone:
		_ = conn.Close()
		return nil, errors.New("the network is cut")
	}
	n.conns = append(n.conns, conn)
	return conn, nil
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = true
	for _, conn := range n.conns {
		_ = conn.Close()
	}
}

// A session shorter than the queue allows is refused as such, and the longer
// one is used.
func TestGroupFallsBackToALongerSession(t *testing.T) {
	t.Parallel()
	topic := makeTopic(t, 2)
	var warned warnings
	assigned, _ := join(t, unique("group-"), topic, 500*time.Millisecond, warned.log())
	until(t, assigned, 2)
	if warned.String() == "" {
		t.Error("half a second is allowed: group.min.session.timeout.ms is below 1000")
	}
}

// What a member says it has handled can be seen from outside.
func TestGroupKeepsCommittedOffsets(t *testing.T) {
	t.Parallel()
	topic, group := makeTopic(t, 2), unique("group-")
	assigned, _ := join(t, group, topic, time.Second, slog.New(slog.DiscardHandler))
	if err := until(t, assigned, 2).generation.Commit(map[int]int64{0: 7, 1: 9}); err != nil {
		t.Fatal(err)
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers()...), Transport: transport}
	res, err := client.OffsetFetch(limit(t), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1}}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range res.Topics[topic] {
		if want := map[int]int64{0: 7, 1: 9}[p.Partition]; p.CommittedOffset != want || p.Error != nil {
			t.Errorf("partition %d: %+v", p.Partition, p)
		}
	}
	if len(res.Topics[topic]) != 2 {
		t.Errorf("offsets: %+v", res.Topics)
	}
}
