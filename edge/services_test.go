package edge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"sponge/edge"
	"sponge/infra/local"
	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// echoWorker answers every frame with success, as workers do: through the
// channel of the node that the envelope names. It binds every login.
type echoWorker struct {
	key    *keys.WorkerKey
	client *redis.Client
	wg     sync.WaitGroup
}

func (w *echoWorker) run(ctx context.Context, t *testing.T, broker, topic string) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: topic, MaxWait: 20 * time.Millisecond, ReadLagInterval: -1})
	w.wg.Go(func() {
		defer r.Close()
		for {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				if !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) {
					t.Errorf("worker: %v", err)
				}
				return
			}
			var env envelope.Envelope
			if err := env.Parse(m.Headers[0].Value); err != nil {
				t.Errorf("worker: %v", err)
				return
			}
			var f protocol.Frame
			if _, err := f.Parse(m.Value); err != nil {
				t.Errorf("worker: %v", err)
				return
			}
			res := channel.Result{Conns: []uint64{env.Conn}, Request: env.Request, Payload: protocol.NewReply(nil, f.Type, protocol.OK, f.Echo()).End()}
			if f.Type == protocol.Login {
				_, session := keys.NewToken()
				res.Session = channel.SessionBound
				res.Proof = w.key.Prove(f.UserID(protocol.FieldUser), session, env.Node, env.Conn, time.Now().Add(time.Hour))
				res.Life = time.Hour
			}
			err = w.client.XAdd(ctx, &redis.XAddArgs{Stream: channel.Key("ns.", env.Node), NoMkStream: true, ID: "0-*", Values: []any{channel.Field, res.Append(nil)}}).Err()
			if err != nil && ctx.Err() == nil {
				t.Errorf("worker: %v", err)
			}
		}
	})
}

// TestWithServices runs an edge with a real Kafka protocol and a real Redis.
func TestWithServices(t *testing.T) {
	t.Parallel()
	server, err := local.StartRedis(t.Context(), local.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop(context.Background()) })
	broker, err := local.StartKafka(t.Context(), local.Options{Dir: t.TempDir()}, local.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Stop(context.Background()) })
	var topics []queue.TopicSpec
	for topic := range protocol.NumTopics {
		topics = append(topics, queue.TopicSpec{Name: "ns." + topic.Name(), Partitions: 1, Replication: 1})
	}
	if err := queue.CreateTopics(t.Context(), []string{broker.Addr()}, topics); err != nil {
		t.Fatal(err)
	}
	key, err := keys.ParseWorkerKey(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	worker := &echoWorker{key: key, client: redis.NewClient(opts)}
	workerCtx, stopWorker := context.WithCancel(context.Background())
	t.Cleanup(func() { stopWorker(); worker.wg.Wait(); worker.client.Close() })
	for _, topic := range topics {
		worker.run(workerCtx, t, broker.Addr(), topic.Name)
	}

	e, err := edge.New(edge.Config{
		Kafka: []string{broker.Addr()}, Redis: server.URL(), Namespace: "ns.", SealKey: key.Seal().String(),
		Node: "test", Listen: []string{"127.0.0.1:0"},
		MaxFrame: protocol.MaxFrame, MaxOutbound: 4 << 20, QueueBytes: 64 << 20,
		LoginTimeout: time.Minute, IdleTimeout: time.Hour, WriteTimeout: 10 * time.Second,
		AnswerTimeout: 10 * time.Second, RepublishAfter: 4 * time.Second, ReportEvery: time.Second, DrainTimeout: 5 * time.Second,
	}, edge.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	select {
	case <-e.Ready():
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}

	var clients sync.WaitGroup
	for user := range int64(8) {
		clients.Go(func() { talk(t, e.Addrs()[0].String(), user+1) })
	}
	clients.Wait()

	// Somebody is still there when the node goes.
	nc, r := dial(t, e.Addrs()[0].String())
	fmt.Fprint(nc, `{"msgType":1,"USERID":9,"password":"9"}`)
	expect(t, r, `{"msgType":101`)
	places, err := presence.NewReader(worker.client, "ns.").Places(t.Context(), []int64{9, 1})
	if err != nil || len(places[0]) != 1 || places[0][0].Node != e.Node() || len(places[1]) != 0 {
		t.Errorf("presence: %v, %v", places, err)
	}
	stop()
	expect(t, r, `"reconnect":true`)
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	back := presence.BackKey("ns.", 9) // goes by itself
	if keys := worker.client.Keys(t.Context(), "*").Val(); !slices.Equal(keys, []string{back}) || worker.client.TTL(t.Context(), back).Val() <= 0 {
		t.Errorf("left in Redis: %v", keys)
	}
}

func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return nc, bufio.NewReader(nc)
}

func expect(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if got, err := r.ReadString('\n'); err != nil || !strings.Contains(got, want) {
		t.Errorf("got %q, %v; want %s", got, err, want)
	}
}

// talk logs in, and sends many frames at once; every one is answered, in order.
func talk(t *testing.T, addr string, user int64) {
	nc, r := dial(t, addr)
	const n = 500
	var script strings.Builder
	fmt.Fprintf(&script, `{"msgType":1,"USERID":%d,"password":"x"}`, user)
	for i := range n {
		fmt.Fprintf(&script, `{"msgType":4,"TOID":%d,"msg":"hello","id":"%d"}`, 100+user, i)
	}
	fmt.Fprintf(&script, `{"msgType":8}`)
	if _, err := io.WriteString(nc, script.String()); err != nil {
		t.Error(err)
		return
	}
	nc.(*net.TCPConn).CloseWrite()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
		return
	}
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	if len(lines) != n+2 {
		t.Errorf("%d answers, want %d", len(lines), n+2)
		return
	}
	for i := range n {
		if want := fmt.Sprintf(`{"msgType":104,"code":0,"id":"%d"}`, i); lines[i+1] != want {
			t.Errorf("answer %d: %s", i, lines[i+1])
			return
		}
	}
}
