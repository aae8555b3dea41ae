package floor

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/bench"
	"sponge/pkg/queue"
	"sponge/workers/workertest"
)

var services workertest.Services

func TestMain(m *testing.M) { workertest.Main(m, &services) }

func settings(sp *workertest.Space) Config {
	return Config{Kafka: []string{sp.Kafka.Addr()}, Redis: sp.Services.Redis.URL(), MySQL: sp.DSN, Namespace: sp.Namespace, Rate: 200, Size: 100}
}

// options have no warm-up, so that however busy the machine is, something is
// measured.
func options() bench.Options {
	return bench.Options{Duration: 200 * time.Millisecond, Settle: 10 * time.Second}
}

// nothingLeft fails where a run has left rows, a stream or a topic.
func nothingLeft(t *testing.T, sp *workertest.Space) {
	t.Helper()
	if n := sp.Int(t, "SELECT (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM conversations)"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if keys := sp.Redis.Keys(t.Context(), sp.Namespace+"*").Val(); len(keys) > 0 {
		t.Errorf("Redis still has %v", keys)
	}
	for _, topic := range topics(t, sp) {
		if strings.Contains(topic, "floor") {
			t.Errorf("topic %s is left", topic)
		}
	}
}

func topics(t *testing.T, sp *workertest.Space) (names []string) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(sp.Kafka.Addr()), Transport: transport}
	res, err := client.Metadata(t.Context(), &kafka.MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range res.Topics {
		if strings.HasPrefix(topic.Name, sp.Namespace) {
			names = append(names, topic.Name)
		}
	}
	return names
}

func TestEveryStageIsMeasuredAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	res, err := Run(t.Context(), options(), settings(sp))
	if err != nil {
		t.Fatal(err)
	}
	slowest, sum := res.Stages[0].Flow.PerSecond, 0.0
	for _, s := range res.Stages {
		if s.Flow.PerSecond <= 0 || s.Flow.Seconds <= 0 || s.Hop.Ms.P50 <= 0 || s.Hop.Ms.P99 < s.Hop.Ms.P50 {
			t.Errorf("%+v", s)
		}
		slowest, sum = min(slowest, s.Flow.PerSecond), sum+s.Hop.Ms.P50
	}
	if len(res.Stages) != 4 || res.SlowestPerSecond != slowest || res.HopsP50Ms != sum {
		t.Errorf("%+v", res)
	}
	if res.Chat != nil || res.ChatRatio != 0 || res.AddedP50Ms != 0 {
		t.Errorf("no address was given: %+v", res)
	}
	var table bytes.Buffer
	if err := res.Table(&table); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"produce", "store", "stream", "echo"} {
		if !strings.Contains(table.String(), name) {
			t.Errorf("no %s in\n%s", name, table.String())
		}
	}
	nothingLeft(t, sp)
}

// interrupt cancels a run when its progress tells of a stage.
type interrupt struct {
	at     string
	cancel context.CancelFunc
	seen   bytes.Buffer
}

func (w *interrupt) Write(b []byte) (int, error) {
	w.seen.Write(b)
	if bytes.Contains(b, []byte(w.at)) {
		w.cancel()
	}
	return len(b), nil
}

// A run that is interrupted while rows are written takes them away again.
func TestAnInterruptedRunLeavesNothing(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := options()
	o.Duration = 1200 * time.Millisecond // so that there is progress to see
	w := &interrupt{at: "store", cancel: cancel}
	o.Progress, o.Terminal = w, true
	if _, err := Run(ctx, o, settings(sp)); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v; progress:\n%s", err, &w.seen)
	}
	nothingLeft(t, sp)
}

// What a run left that was killed, the next one removes; one that goes on is
// left alone.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	const user = int64(1) << 52
	sp.Exec(t, "INSERT INTO conversations (a, b, last_seq) VALUES (?,?,6000)", user, user+1)
	sp.Exec(t, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES (?,?,6000,'x',1,1,'x','x')", user, user+1)
	makeTopic(t, sp)
	if _, err := Run(t.Context(), options(), settings(sp)); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, sp)

	other, err := sp.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var got int
	if err := other.QueryRowContext(t.Context(), "SELECT GET_LOCK(CONCAT(DATABASE(), '.floor'), 0)").Scan(&got); err != nil || got != 1 {
		t.Fatal(got, err)
	}
	topic := makeTopic(t, sp)
	if _, err := Run(t.Context(), options(), settings(sp)); err == nil || !strings.Contains(err.Error(), "another floor") {
		t.Errorf("beside another run: %v", err)
	}
	if !slices.Contains(topics(t, sp), topic) {
		t.Error("the other run's topic was removed")
	}
}

// makeTopic makes one as a run does.
func makeTopic(t *testing.T, sp *workertest.Space) (name string) {
	t.Helper()
	name = sp.Namespace + topicPrefix + "other"
	err := queue.CreateTopics(t.Context(), []string{sp.Kafka.Addr()}, []queue.TopicSpec{{Name: name, Partitions: 1, Replication: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestWhatIsMissingIsTold(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	cfg := settings(sp)
	cfg.Namespace += "other-"
	if _, err := Run(t.Context(), options(), cfg); err == nil || !strings.Contains(err.Error(), "sponge migrate") {
		t.Errorf("without topics: %v", err)
	}
	cfg = settings(sp)
	cfg.MySQL = sp.MySQL.DSN("none")
	if _, err := Run(t.Context(), options(), cfg); err == nil {
		t.Error("without a database")
	}
	nothingLeft(t, sp)
}

// What a stage has begun when it is interrupted is undone, and takes nothing
// with it that comes behind.
func TestAnInterruptedTransactionIsNotHandedOn(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	ctx := t.Context()
	s, err := newStore(ctx, sp.DSN, &produce{frames: someFrames(t)})
	if err == nil {
		err = s.begin(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		t.Fatal(err)
	}
	w.close()
	if err := s.close(ctx); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, sp)
}
