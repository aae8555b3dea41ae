package workers_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers"
	"sponge/workers/storage"
	"sponge/workers/workertest"
)

// faulty wraps a handler with what a test wants to go wrong.
type faulty struct {
	workers.Handler
	handle func(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) error
	after  func([]workers.Outcome) error
}

func (h faulty) Handle(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	if h.handle != nil {
		if err := h.handle(ctx, tx, frames); err != nil {
			return nil, err
		}
	}
	out, err := h.Handler.Handle(ctx, tx, frames)
	if err == nil && h.after != nil {
		err = h.after(out)
	}
	return out, err
}

// Open implements workers.Opener where the handler does.
func (h faulty) Open(frames []*workers.Frame) *workers.Opening { return openOf(h.Handler, frames) }

func openOf(h workers.Handler, frames []*workers.Frame) *workers.Opening {
	if o, ok := h.(workers.Opener); ok {
		return o.Open(frames)
	}
	return nil
}

// storageWith is the storage group alone, wrapped.
func storageWith(h faulty) map[protocol.Topic]workers.Factory {
	return map[protocol.Topic]workers.Factory{protocol.TopicStorage: func(r workers.Resources) (workers.Handler, error) {
		inner, err := storage.New(r)
		h.Handler = inner
		return h, err
	}}
}

// users makes accounts 1 to n without frames.
func users(t testing.TB, sp *workertest.Space, n int) {
	t.Helper()
	for i := 1; i <= n; i++ {
		sp.Exec(t, "INSERT INTO users (id, name, verifier, created_at) VALUES (?,?,'',0)", i, fmt.Sprintf("user%d", i))
	}
	sp.Exec(t, "UPDATE sequences SET last_id = ? WHERE name = 'users'", n)
}

func chatFrame(to int, msg string) string {
	return fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":%q}`, to, msg)
}

func panicOn(word string) faulty {
	return faulty{handle: func(_ context.Context, _ *workers.Tx, frames []*workers.Frame) error {
		for _, f := range frames {
			if bytes.Contains(f.Bytes, []byte(word)) {
				panic("a frame says " + word)
			}
		}
		return nil
	}}
}

func TestPoisonFrameGoesToTheDeadLettersAndItsNeighboursSucceed(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	var requests []uint32
	for _, msg := range []string{"a", "poison", "b", "c"} { // before the worker runs: one batch
		requests = append(requests, e.Publish(one, chatFrame(2, msg), nil))
	}
	sp.Run(t, sp.Config(t), storageWith(panicOn("poison")), nil)
	var got []string
	for _, r := range requests {
		reply := workertest.Decode(t, e.Reply(r).Payload)
		got = append(got, fmt.Sprint(reply["code"], "/", reply["seq"]))
	}
	if want := "0/1 500/<nil> 0/2 0/3"; strings.Join(got, " ") != want {
		t.Fatalf("replies %v, not %s", got, want)
	}
	dead := readTopic(t, sp, protocol.TopicDead, 1)
	if !bytes.Contains(dead[0].Value, []byte("poison")) {
		t.Fatalf("dead letter %s", dead[0].Value)
	}
	var env envelope.Envelope
	if err := env.Parse(dead[0].Header); err != nil || env.Request != requests[1] {
		t.Fatalf("dead letter's envelope: %+v, %v", env, err)
	}
	if n := sp.Int(t, "SELECT COUNT(*) FROM journal WHERE dead IS NOT NULL"); n != 1 {
		t.Fatalf("%d journal rows tell of a dead frame", n)
	}
}

func TestRubbishInTheTopicIsADeadLetter(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	key := []byte("u:1:2")
	e.Put(protocol.TopicStorage, key, []byte("{}"), []byte("no envelope"))
	e.Put(protocol.TopicStorage, key, []byte("no frame"), (&envelope.Envelope{Node: e.Node, Conn: 1, Request: 9}).Append(nil))
	sp.Run(t, sp.Config(t), storageWith(faulty{}), nil)
	if reply := e.Ask(e.Login(1, 1), chatFrame(2, "x")); code(reply) != 0 {
		t.Fatal(reply)
	}
	readTopic(t, sp, protocol.TopicDead, 2)
}

func TestSeveralPoisonFramesInARowStopThePartitionOnly(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 9)
	cfg := sp.Config(t)
	cfg.DeadInRow = 3
	registry := prometheus.NewRegistry()
	sp.Run(t, cfg, storageWith(panicOn("poison")), registry)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	if reply := e.Ask(one, chatFrame(2, "poison")); code(reply) != 500 {
		t.Fatal(reply)
	}
	if reply := e.Ask(one, chatFrame(2, "fine")); code(reply) != 0 {
		t.Fatal(reply)
	}
	for range 2 {
		if reply := e.Ask(one, chatFrame(2, "poison")); code(reply) != 500 {
			t.Fatal(reply)
		}
	}
	e.Publish(one, chatFrame(2, "poison"), nil) // the third in a row: stays where it is
	stopped := func() float64 { return gauge(t, registry, "sponge_worker_partition_stopped") }
	until(t, "the partition to stop", func() bool { return stopped() == 1 })
	for other := 3; other <= 9; other++ { // another partition goes on
		if protocol.Partition([]byte(fmt.Sprintf("u:1:%d", other)), workertest.Partitions) != protocol.Partition([]byte("u:1:2"), workertest.Partitions) {
			if reply := e.Ask(one, chatFrame(other, "fine")); code(reply) != 0 {
				t.Fatal(reply)
			}
			return
		}
	}
	t.Fatal("no other partition found")
}

// What was committed but not announced is announced by the next owner, and
// nothing is applied twice.
func TestNextOwnerAnnouncesAgainWhatWasApplied(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	one, two := e.Login(1, 1), e.Login(2, 2)
	stop := sp.Run(t, sp.Config(t), storageWith(faulty{}), nil)
	request := e.Publish(one, chatFrame(2, "hello"), nil)
	first := e.Reply(request)
	e.Push(two.Conn)
	refused := e.Publish(one, chatFrame(99, "nobody"), nil)
	if reply := workertest.Decode(t, e.Reply(refused).Payload); code(reply) != 404 {
		t.Fatal(reply)
	}
	stop()
	sp.Exec(t, "UPDATE applied SET announced = 0") // as if killed before it announced
	users(t, sp, 0)
	sp.Exec(t, "INSERT INTO users (id, name, verifier, created_at) VALUES (99,'late','',0)")
	sp.Exec(t, "UPDATE sequences SET last_id = 99 WHERE name = 'users'")
	sp.Run(t, sp.Config(t), storageWith(faulty{}), nil)
	if again := e.Reply(request); !bytes.Equal(again.Payload, first.Payload) {
		t.Fatalf("announced again as %s, not %s", again.Payload, first.Payload)
	}
	if again := e.Reply(refused); !again.Unsettled {
		t.Fatalf("what is not remembered was announced again as %+v", again)
	}
	e.Push(two.Conn)
	if reply := e.Ask(one, chatFrame(2, "next")); reply["seq"].(float64) != 2 {
		t.Fatalf("the next message is %v", reply)
	}
	numbers := map[string]int{}
	for _, m := range readTopic(t, sp, protocol.TopicJournal, 5) {
		var row struct{ Number json.Number }
		if err := json.Unmarshal(m.Value, &row); err != nil {
			t.Fatal(err)
		}
		numbers[row.Number.String()]++
	}
	if len(numbers) != 3 { // the first two were published twice
		t.Fatalf("journal rows in the topic: %v", numbers)
	}
	if n := sp.Int(t, "SELECT COUNT(*) FROM messages"); n != 2 {
		t.Fatalf("%d messages are stored: what was refused must not be applied when it is announced again", n)
	}
}

func TestRolledBackBatchIsRepeatedWhole(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	var failures atomic.Int32
	sp.Run(t, sp.Config(t), storageWith(faulty{after: func([]workers.Outcome) error {
		if failures.Add(1) <= 3 {
			return errors.New("the disk is full")
		}
		return nil
	}}), nil)
	e := sp.NewEdge(t, "e1")
	if reply := e.Ask(e.Login(1, 1), chatFrame(2, "x")); reply["seq"].(float64) != 1 {
		t.Fatal(reply)
	}
	if n := sp.Int(t, "SELECT COUNT(*) FROM journal"); n != 1 {
		t.Fatalf("%d journal rows", n)
	}
}

// A commit whose answer was lost has happened or not; either way the frame is
// stored once and answered.
func TestCommitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	var kills atomic.Int32
	sp.Run(t, sp.Config(t), storageWith(faulty{handle: func(ctx context.Context, tx *workers.Tx, _ []*workers.Frame) error {
		if kills.Add(1) > 5 {
			return nil
		}
		var id int64
		if _, err := tx.Get(ctx, "SELECT CONNECTION_ID()", nil, &id); err != nil {
			return err
		}
		go sp.DB.Exec("KILL ?", id) // somewhere between here and the commit
		return nil
	}}), nil)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	for i := 1; i <= 8; i++ {
		if reply := e.Ask(one, chatFrame(2, "x")); reply["seq"].(float64) != float64(i) {
			t.Fatal(reply)
		}
	}
	readTopic(t, sp, protocol.TopicJournal, int(sp.Int(t, "SELECT COUNT(*) FROM journal"))) // no row is missing
}

// A partition whose row a frozen worker holds waits; the others go on.
func TestLockedPartitionDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 9)
	sp.Run(t, sp.Config(t), storageWith(faulty{}), nil)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	for other := 2; other <= 9; other++ { // all partitions are known to be the worker's
		if reply := e.Ask(one, chatFrame(other, "first")); code(reply) != 0 {
			t.Fatal(reply)
		}
	}
	held := protocol.Partition([]byte("u:1:2"), workertest.Partitions)
	tx, err := sp.DB.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT next_offset FROM applied WHERE topic = 'storage' AND `partition` = ? FOR UPDATE", held); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT last_seq FROM conversations WHERE a = 1 AND b = 2 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	waits := e.Publish(one, chatFrame(2, "waits"), nil)
	for other := 3; other <= 9; other++ {
		if protocol.Partition([]byte(fmt.Sprintf("u:1:%d", other)), workertest.Partitions) == held {
			continue
		}
		if reply := e.Ask(one, chatFrame(other, "goes on")); code(reply) != 0 {
			t.Fatal(reply)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if reply := workertest.Decode(t, e.Reply(waits).Payload); code(reply) != 0 {
		t.Fatal(reply)
	}
}

// An owner that does not know that it lost its partitions applies nothing
// twice: the rows have moved on.
func TestTwoOwnersOfTheSamePartitions(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	blocked, release := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	zombie := sp.Config(t)
	stopZombie := sp.Run(t, zombie, storageWith(faulty{}), nil)
	if reply := e.Ask(one, chatFrame(2, "1")); code(reply) != 0 {
		t.Fatal(reply)
	}
	stopZombie()
	// The zombie reads a batch and freezes before its transaction; its twin,
	// under another group, handles the same batch meanwhile.
	frozen := map[protocol.Topic]workers.Factory{protocol.TopicStorage: func(r workers.Resources) (workers.Handler, error) {
		inner, err := storage.New(r)
		return preparing{inner, func() {
			if once.CompareAndSwap(false, true) {
				close(blocked)
				<-release
			}
		}}, err
	}}
	stopZombie = sp.Run(t, zombie, frozen, nil)
	request := e.Publish(one, chatFrame(2, "2"), nil)
	<-blocked
	applyElsewhere(t, sp)
	close(release)
	if reply := e.Ask(one, chatFrame(2, "3")); reply["seq"].(float64) != 2 {
		t.Fatalf("the zombie stored frame %d again: %v", request, reply)
	}
	stopZombie()
}

// preparing calls a function before each Prepare.
type preparing struct {
	workers.Handler
	before func()
}

func (p preparing) Prepare(ctx context.Context, frames []*workers.Frame) error {
	p.before()
	return p.Handler.Prepare(ctx, frames)
}

// applyElsewhere moves the partitions' rows as another owner would that
// skipped the waiting records.
func applyElsewhere(t *testing.T, sp *workertest.Space) {
	t.Helper()
	sp.Exec(t, "UPDATE applied SET next_offset = next_offset + 1 WHERE topic = 'storage' AND `partition` = ?",
		protocol.Partition([]byte("u:1:2"), workertest.Partitions))
}

// A topic that was made anew is noticed, and nothing of it is handled.
func TestOtherTopicStopsThePartition(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(t *testing.T, sp *workertest.Space)
	}{
		{"shorter than what was applied", func(t *testing.T, sp *workertest.Space) {
			sp.Exec(t, "UPDATE applied SET next_offset = next_offset + 100, announced = announced + 100")
		}},
		{"other records at the same offsets", func(t *testing.T, sp *workertest.Space) {
			sp.Exec(t, "UPDATE applied SET last_hash = 'another record!!' WHERE next_offset > 0")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sp := services.NewSpace(t)
			users(t, sp, 3)
			e := sp.NewEdge(t, "e1")
			one := e.Login(1, 1)
			stop := sp.Run(t, sp.Config(t), storageWith(faulty{}), nil)
			if reply := e.Ask(one, chatFrame(2, "x")); code(reply) != 0 {
				t.Fatal(reply)
			}
			stop()
			test.change(t, sp)
			e.Publish(one, chatFrame(2, "y"), nil)
			registry := prometheus.NewRegistry()
			sp.Run(t, sp.Config(t), storageWith(faulty{}), registry)
			until(t, "the partition to stop", func() bool { return gauge(t, registry, "sponge_worker_partition_stopped") >= 1 })
			if n := sp.Int(t, "SELECT COUNT(*) FROM messages"); n != 1 {
				t.Fatalf("%d messages: a record of another topic was applied", n)
			}
		})
	}
}

func TestForgedProofIsNotBelieved(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	sp.Run(t, sp.Config(t), storageWith(faulty{}), nil)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	for name, change := range map[string]func(*envelope.Envelope){
		"another connection": func(env *envelope.Envelope) { env.Conn = 2 },
		"another user":       func(env *envelope.Envelope) { env.Proof[7] = 3 },
		"no proof":           func(env *envelope.Envelope) { env.Proof = nil },
	} {
		s := one
		reply := e.Next("a reply", replyTo(e.Publish(s, chatFrame(2, name), func(env *envelope.Envelope) {
			if env.Proof != nil {
				forged := *env.Proof
				env.Proof = &forged
			}
			change(env)
		})))
		if got := workertest.Decode(t, reply.Payload); code(got) != 401 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if n := sp.Int(t, "SELECT COUNT(*) FROM journal WHERE inputs LIKE '%refused%'"); n != 2 {
		t.Errorf("%d journal rows say that a proof was refused", n)
	}
}

func TestJournalIsContiguousAndPublished(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 20)
	sp.Run(t, sp.Config(t), storageWith(faulty{}), nil)
	e := sp.NewEdge(t, "e1")
	var requests []uint32
	for i := range 200 {
		requests = append(requests, e.Publish(e.Login(int64(i%10+1), uint64(i%10+1)), chatFrame(11+i%9, "x"), nil))
	}
	for _, r := range requests {
		if reply := workertest.Decode(t, e.Reply(r).Payload); code(reply) != 0 {
			t.Fatal(reply)
		}
	}
	type journalRow struct {
		Number int64    `json:"number"`
		Ranges [][3]int `json:"ranges"`
	}
	var rows []journalRow
	for _, m := range readTopic(t, sp, protocol.TopicJournal, int(sp.Int(t, "SELECT COUNT(*) FROM journal"))) {
		var row journalRow
		if err := json.Unmarshal(m.Value, &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	// Lanes publish beside each other, as workers do: the number is the order.
	slices.SortFunc(rows, func(a, b journalRow) int { return cmp.Compare(a.Number, b.Number) })
	next := map[int]int{}
	for _, row := range rows {
		for _, r := range row.Ranges {
			if r[1] != next[r[0]] {
				t.Fatalf("partition %d: range from %d, expected %d", r[0], r[1], next[r[0]])
			}
			next[r[0]] = r[2] + 1
		}
	}
	total := 0
	for _, n := range next {
		total += n
	}
	if total != len(requests) {
		t.Fatalf("the journal covers %d of %d records", total, len(requests))
	}
}

// --- helpers

func replyTo(request uint32) func(*channel.Result) bool {
	return func(r *channel.Result) bool { return !r.Push && r.Request == request }
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(workertest.Patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func gauge(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// readTopic waits for the first n records of a topic of one partition.
func readTopic(t *testing.T, sp *workertest.Space, topic string, n int) []queue.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), workertest.Patience)
	defer cancel()
	got := make(chan []queue.Message)
	f := queue.NewFetcher(queue.FetcherConfig{Brokers: []string{sp.Kafka.Addr()}, Topic: sp.Namespace + topic, Log: slog.New(slog.DiscardHandler)}, map[int]int64{0: 0})
	done := make(chan struct{})
	go func() { f.Run(ctx, sink{ctx, got}); close(done) }()
	var out []queue.Message
	for len(out) < n {
		select {
		case m := <-got:
			out = append(out, m...)
		case <-ctx.Done():
			t.Fatalf("%s: %d of %d records", topic, len(out), n)
		}
	}
	cancel()
	<-done
	return out
}

type sink struct {
	ctx context.Context
	got chan []queue.Message
}

func (s sink) Deliver(_ int, m []queue.Message) {
	select {
	case s.got <- m:
	case <-s.ctx.Done():
	}
}
func (sink) Full(int) bool   { return false }
func (sink) Lost(int, error) {}
