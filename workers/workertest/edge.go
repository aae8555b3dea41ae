package workertest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// Edge stands in for an edge node: it publishes frames and reads the channel.
// Not safe for concurrent use.
type Edge struct {
	t        testing.TB
	space    *Space
	Node     string
	producer *queue.Producer
	last     string
	pending  []channel.Result
	request  uint32
}

// NewEdge makes an edge with its channel and lease.
func (sp *Space) NewEdge(t testing.TB, name string) *Edge {
	t.Helper()
	e := &Edge{t: t, space: sp, Node: name + ":test", last: "0",
		producer: queue.NewProducer(queue.ProducerConfig{Brokers: []string{sp.Kafka.Addr()}})}
	t.Cleanup(func() { e.producer.Close(context.Background()) })
	ctx := t.Context()
	for topic := range protocol.NumTopics {
		if _, err := e.producer.Partitions(ctx, sp.Namespace+topic.Name()); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		sp.Redis.XGroupCreateMkStream(ctx, channel.Key(sp.Namespace, e.Node), "unused", "0").Err(),
		sp.Redis.Set(ctx, presence.NodeKey(sp.Namespace, e.Node), "1", 0).Err())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Session is a logged-in connection, or with User 0 one that is not.
type Session struct {
	User  int64
	Conn  uint64
	proof *keys.Proof
}

// Login makes a session without a login frame, and its presence.
func (e *Edge) Login(user int64, conn uint64) Session {
	e.t.Helper()
	_, id := keys.NewToken()
	place := presence.Place{Node: e.Node, Conn: conn}
	if err := e.space.Redis.HSet(e.t.Context(), presence.UserKey(e.space.Namespace, user), place.Field(), "").Err(); err != nil {
		e.t.Fatal(err)
	}
	return Session{user, conn, e.space.Key.Prove(user, id, e.Node, conn, time.Now().Add(time.Hour))}
}

// Bound is the session that a login's result binds.
func (e *Edge) Bound(r channel.Result) Session {
	return Session{r.Proof.User(), r.Conns[0], r.Proof}
}

// Publish publishes a frame and returns its request number. change may alter
// the envelope.
func (e *Edge) Publish(s Session, frame string, change func(*envelope.Envelope)) uint32 {
	e.t.Helper()
	var f protocol.Frame
	if _, err := f.Parse([]byte(frame)); err != nil {
		e.t.Fatalf("%s: %v", frame, err)
	}
	e.request++
	env := envelope.Envelope{FrameID: f.NewFrameID(s.User), Node: e.Node, Conn: s.Conn, Request: e.request,
		Arrival: time.Now().UnixMilli(), Peer: "192.0.2.1:7", Proof: s.proof}
	if change != nil {
		change(&env)
	}
	value, err := f.ReplaceSecrets(nil, e.space.Key.Seal().Seal)
	if err != nil {
		e.t.Fatal(err)
	}
	e.Put(f.Type.Topic(), f.AppendKey(nil, s.User, e.Node, s.Conn), value, env.Append(nil))
	return env.Request
}

// Put publishes a record as it is, and waits for Kafka to have it.
func (e *Edge) Put(topic protocol.Topic, key, value, header []byte) {
	e.t.Helper()
	result := make(chan error, 1)
	err := e.producer.Enqueue(e.space.Namespace+topic.Name(), protocol.Partition(key, Partitions),
		&queue.Record{Key: key, Value: value, Time: time.Now(), Headers: []queue.Header{{Key: envelope.HeaderKey, Value: header}}},
		func(_ *queue.Record, err error) { result <- err })
	if err == nil {
		err = <-result
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// Patience is how long tests wait for what must come.
const Patience = 20 * time.Second

// Next returns the next result that ok accepts; others stay for later calls.
func (e *Edge) Next(what string, ok func(*channel.Result) bool) channel.Result {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), Patience)
	defer cancel()
	for {
		for i := range e.pending {
			if r := e.pending[i]; ok(&r) {
				e.pending = slices.Delete(e.pending, i, i+1)
				return r
			}
		}
		streams, err := e.space.Redis.XRead(ctx, &redis.XReadArgs{
			Streams: []string{channel.Key(e.space.Namespace, e.Node), e.last}, Block: time.Second}).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			e.t.Fatalf("waiting for %s: %v; waiting there: %d results", what, err, len(e.pending))
		}
		for _, m := range streams[0].Messages {
			e.last = m.ID
			entry, _ := m.Values[channel.Field].(string)
			err := channel.Decode([]byte(entry), func(r *channel.Result) {
				kept := *r
				kept.Conns = slices.Clone(r.Conns)
				kept.Payload = slices.Clone(r.Payload)
				e.pending = append(e.pending, kept)
			})
			if err != nil {
				e.t.Fatal(err)
			}
		}
	}
}

// Reply waits for the result of a request.
func (e *Edge) Reply(request uint32) channel.Result {
	e.t.Helper()
	return e.Next("the reply to request "+strconv.Itoa(int(request)), func(r *channel.Result) bool { return !r.Push && r.Request == request })
}

// Push waits for a push to a connection.
func (e *Edge) Push(conn uint64) channel.Result {
	e.t.Helper()
	return e.Next("a push to "+strconv.Itoa(int(conn)), func(r *channel.Result) bool { return r.Push && slices.Contains(r.Conns, conn) })
}

// Ask publishes a client's frame and returns its reply, decoded.
func (e *Edge) Ask(s Session, frame string) map[string]any {
	e.t.Helper()
	return Decode(e.t, e.Reply(e.Publish(s, frame, nil)).Payload)
}

// Pending is how many results wait for a Next.
func (e *Edge) Pending() int { return len(e.pending) }

// Decode reads one JSON object. Numbers are json.Number.
func Decode(t testing.TB, payload []byte) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(payload, &out); err != nil {
		t.Fatalf("%q: %v", payload, err)
	}
	return out
}
