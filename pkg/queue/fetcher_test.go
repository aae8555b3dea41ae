package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sponge/pkg/queue"
)

const topic = "frames"

// inbox is a Sink that keeps everything and can be full.
type inbox struct {
	mu   sync.Mutex // guards the following
	got  map[int][]string
	full map[int]bool
	lost map[int]error
	next map[int]int64

	changed chan struct{}
}

func newInbox() *inbox {
	return &inbox{got: map[int][]string{}, full: map[int]bool{}, lost: map[int]error{}, next: map[int]int64{}, changed: make(chan struct{}, 1)}
}

func (in *inbox) signal() {
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

func (in *inbox) Deliver(p int, messages []queue.Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range messages {
		if m.Offset != in.next[p] {
			panic(fmt.Sprintf("partition %d: offset %d, expected %d", p, m.Offset, in.next[p]))
		}
		in.next[p]++
		in.got[p] = append(in.got[p], string(m.Value))
	}
	in.signal()
}

func (in *inbox) Full(p int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.full[p]
}

func (in *inbox) Lost(p int, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.lost[p] = err
	in.signal()
}

// wait waits until ok holds for what has arrived.
func (in *inbox) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		in.mu.Lock()
		done := ok()
		in.mu.Unlock()
		if done {
			return
		}
		select {
		case <-in.changed:
		case <-deadline:
			t.Fatalf("waited too long for %s: %v", what, in.got)
		}
	}
}

func runFetcher(t *testing.T, c *kfake.Cluster, in *inbox, start map[int]int64) *queue.Fetcher {
	t.Helper()
	for p, offset := range start {
		in.next[p] = offset
	}
	f := queue.NewFetcher(queue.FetcherConfig{Brokers: c.ListenAddrs(), Topic: topic, Log: slog.New(slog.DiscardHandler)}, start)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx, in) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// produce stores values and waits for Kafka to have them.
func produce(t *testing.T, p *queue.Producer, partition int, values ...string) {
	t.Helper()
	results := make(chan error, len(values))
	for _, v := range values {
		err := p.Enqueue(topic, partition, &queue.Record{Value: []byte(v), Time: time.Now()}, func(_ *queue.Record, err error) { results <- err })
		if err != nil {
			t.Fatal(err)
		}
	}
	for range values {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

func fetchCluster(t *testing.T, brokers int) (*kfake.Cluster, *queue.Producer) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(6, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p := queue.NewProducer(queue.ProducerConfig{Brokers: c.ListenAddrs()})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if _, err := p.Partitions(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	return c, p
}

func TestFetcherReadsEveryPartitionFromItsOffsetOverAllBrokers(t *testing.T) {
	t.Parallel()
	c, p := fetchCluster(t, 3)
	for part := range 6 {
		produce(t, p, part, sequence(fmt.Sprint(part, "-"), 50)...)
	}
	in := newInbox()
	start := map[int]int64{0: 0, 1: 10, 2: 49, 3: 50, 5: 25} // 4 is somebody else's
	runFetcher(t, c, in, start)
	in.wait(t, "what was there", func() bool {
		return len(in.got[0]) == 50 && len(in.got[1]) == 40 && len(in.got[2]) == 1 && len(in.got[5]) == 25
	})
	for part := range start {
		produce(t, p, part, sequence("later-", 30)...)
	}
	in.wait(t, "what came later", func() bool {
		return in.next[0] == 80 && in.next[1] == 80 && in.next[2] == 80 && in.next[3] == 80 && in.next[5] == 80
	})
	if len(in.got[4]) != 0 {
		t.Error("a partition was read that was not asked for")
	}
}

func TestFetcherLeavesAFullPartitionAloneAndReadsTheOthers(t *testing.T) {
	t.Parallel()
	c, p := fetchCluster(t, 1)
	in := newInbox()
	in.full[0] = true
	f := runFetcher(t, c, in, map[int]int64{0: 0, 1: 0})
	for i := range 5 {
		produce(t, p, 0, fmt.Sprint(i))
		produce(t, p, 1, fmt.Sprint(i))
	}
	in.wait(t, "the other partition", func() bool { return len(in.got[1]) == 5 })
	in.mu.Lock()
	if len(in.got[0]) != 0 {
		t.Errorf("a full partition got %v", in.got[0])
	}
	in.full[0] = false
	in.mu.Unlock()
	f.Wake()
	in.wait(t, "the partition that has room again", func() bool { return len(in.got[0]) == 5 })
}

func TestFetcherGivesUpAPartitionWhoseOffsetIsGone(t *testing.T) {
	t.Parallel()
	c, p := fetchCluster(t, 1)
	in := newInbox()
	runFetcher(t, c, in, map[int]int64{0: 1000, 1: 0})
	in.wait(t, "the loss", func() bool { return in.lost[0] != nil })
	produce(t, p, 1, "a")
	in.wait(t, "the other partition", func() bool { return len(in.got[1]) == 1 })
}

func TestFetcherSurvivesFaultsOfTheBroker(t *testing.T) {
	t.Parallel()
	c, p := fetchCluster(t, 2)
	in := newInbox()
	runFetcher(t, c, in, map[int]int64{0: 0, 1: 0, 2: 0})
	for part := range 3 {
		produce(t, p, part, sequence("a", 10)...)
	}
	in.wait(t, "the first records", func() bool { return in.next[0]+in.next[1]+in.next[2] == 30 })
	faults := 0
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		faults++
		switch faults {
		case 1: // the broker forgot the session
			res := req.ResponseKind().(*kmsg.FetchResponse)
			res.ErrorCode = 70
			return res, nil, true
		case 2:
			return nil, fmt.Errorf("the connection breaks"), true
		case 3: // the leader moved
			r := req.(*kmsg.FetchRequest)
			res := r.ResponseKind().(*kmsg.FetchResponse)
			for _, t := range r.Topics {
				rt := kmsg.NewFetchResponseTopic()
				rt.Topic = t.Topic
				for _, p := range t.Partitions {
					rp := kmsg.NewFetchResponseTopicPartition()
					rp.Partition, rp.ErrorCode = p.Partition, 6
					rt.Partitions = append(rt.Partitions, rp)
				}
				res.Topics = append(res.Topics, rt)
			}
			return res, nil, true
		}
		return nil, nil, false
	})
	for part := range 3 {
		produce(t, p, part, sequence("b", 10)...)
	}
	in.wait(t, "the records behind the faults", func() bool { return in.next[0]+in.next[1]+in.next[2] == 60 })
}

func TestGroupMovesPartitionsToWhoIsThere(t *testing.T) {
	t.Parallel()
	c, _ := fetchCluster(t, 1)
	type assignment struct {
		member string
		parts  int
	}
	assigned := make(chan assignment, 100)
	join := func(name string) (leave func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- queue.RunGroup(ctx, queue.GroupConfig{Brokers: c.ListenAddrs(), ID: "g", Topic: topic,
				SessionTimeout: time.Second, FallbackTimeout: 6 * time.Second,
				Fit: func(context.Context) error { return nil }, Log: slog.New(slog.DiscardHandler)},
				func(ctx context.Context, g *queue.Generation) error {
					assigned <- assignment{name, len(g.Partitions)}
					<-ctx.Done()
					return nil
				})
		}()
		return sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("member %s: %v", name, err)
			}
		})
	}
	has := map[string]int{}
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for !ok() {
			select {
			case a := <-assigned:
				has[a.member] = a.parts
			case <-deadline:
				t.Fatalf("waited too long for %s: %v", what, has)
			}
		}
	}
	leaveA := join("a")
	defer leaveA()
	until("a alone", func() bool { return has["a"] == 6 })
	leaveB := join("b")
	defer leaveB()
	until("a and b", func() bool { return has["a"] == 3 && has["b"] == 3 })
	leaveA()
	until("b alone", func() bool { return has["b"] == 6 })
}
