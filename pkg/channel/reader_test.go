package channel_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"sponge/infra/local"
	"sponge/pkg/channel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

func startRedis(t *testing.T) (*local.Redis, *redis.Options) {
	t.Helper()
	r, err := local.StartRedis(t.Context(), local.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop(context.Background()) })
	opts, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	return r, opts
}

// listener collects what a Reader delivers.
type listener struct {
	mu      sync.Mutex
	entries []string
	losses  []string
	changed chan struct{}
}

func (l *listener) note(to *[]string, s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*to = append(*to, s)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// await waits until ok holds of the entries and losses.
func (l *listener) await(t *testing.T, what string, ok func(entries, losses []string) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		done := ok(l.entries, l.losses)
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-l.changed:
		case <-deadline:
			t.Fatalf("not in time: %s; entries %q, losses %q", what, l.entries, l.losses)
		}
	}
}

func startReader(t *testing.T, opts *redis.Options) (*channel.Reader, *listener, *redis.Client) {
	t.Helper()
	l := &listener{changed: make(chan struct{}, 1)}
	r := channel.NewReader(channel.ReaderConfig{
		Redis: opts, Namespace: "ns.", Node: "a:1",
		Entry: func(b []byte) { l.note(&l.entries, string(b)) },
		Read:  func() {},
		Lost:  func(reason string) { l.note(&l.losses, reason) },
	})
	if err := r.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	client := redis.NewClient(opts)
	t.Cleanup(func() {
		cancel()
		r.Close()
		wg.Wait()
		client.Close()
	})
	return r, l, client
}

func add(t *testing.T, c *redis.Client, id, data string) {
	t.Helper()
	err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: channel.Key("ns.", "a:1"), NoMkStream: true, ID: id, Values: []string{channel.Field, data}}).Err()
	if err != nil {
		t.Fatal(err)
	}
}

func got(want ...string) func(entries, losses []string) bool {
	return func(entries, _ []string) bool { return slices.Equal(entries, want) }
}

func lost(reason string) func(entries, losses []string) bool {
	return func(_, losses []string) bool {
		return slices.ContainsFunc(losses, func(s string) bool { return strings.Contains(s, reason) })
	}
}

func TestReaderFollowsTheStream(t *testing.T) {
	t.Parallel()
	_, opts := startRedis(t)
	r, l, client := startReader(t, opts)
	for _, s := range []string{"one", "two", "three"} {
		add(t, client, "0-*", s)
	}
	l.await(t, "three entries", got("one", "two", "three"))
	if gone, err := r.Renew(t.Context()); gone || err != nil {
		t.Errorf("Renew: %v, %v", gone, err)
	}
	if ttl := client.TTL(t.Context(), channel.Key("ns.", "a:1")).Val(); ttl < 50*time.Second {
		t.Errorf("the stream lives for %v", ttl)
	}
	l.await(t, "no loss", func(_, losses []string) bool { return len(losses) == 0 })
}

func TestReaderNoticesAGap(t *testing.T) {
	t.Parallel()
	_, opts := startRedis(t)
	_, l, client := startReader(t, opts)
	add(t, client, "0-*", "one")
	l.await(t, "the first entry", got("one"))
	add(t, client, "0-9", "nine") // 0-3 to 0-8 were trimmed, it seems
	l.await(t, "the gap", lost("do not follow"))
	add(t, client, "0-*", "ten")
	l.await(t, "reading on", got("one", "nine", "ten"))
}

func TestReaderReadsOnAfterACut(t *testing.T) {
	t.Parallel()
	_, opts := startRedis(t)
	_, l, client := startReader(t, opts)
	add(t, client, "0-*", "one")
	l.await(t, "the first entry", got("one"))
	if err := client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	add(t, client, "0-*", "two")
	l.await(t, "the second entry", got("one", "two"))
	l.await(t, "no loss", func(_, losses []string) bool { return len(losses) == 0 })
}

// TestCatchUp: what the stream held is with the listener, flushed, when CatchUp
// returns.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	_, opts := startRedis(t)
	var delivered, flushed atomic.Int64
	r := channel.NewReader(channel.ReaderConfig{
		Redis: opts, Namespace: "ns.", Node: "a:1", Lost: func(reason string) { t.Errorf("lost: %s", reason) },
		Entry: func([]byte) { delivered.Add(1) },
		Read:  func() { flushed.Store(delivered.Load()) },
	})
	defer r.Close()
	if err := r.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer client.Close()
	const n = 200 // more than one read takes
	for range n {
		add(t, client, "0-*", "x")
	}
	bounded, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := r.CatchUp(bounded); err == nil {
		t.Error("caught up without reading")
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { r.Run(ctx) })
	patient, cancelPatient := context.WithTimeout(t.Context(), patience)
	defer cancelPatient()
	if err := r.CatchUp(patient); err != nil || flushed.Load() != n {
		t.Errorf("%d entries are there, %v; want %d", flushed.Load(), err, n)
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if gone, err := r.Renew(t.Context()); !gone || err != nil {
		t.Fatalf("Renew: %v, %v", gone, err)
	}
	add(t, client, "0-*", "x")
	if err := r.CatchUp(patient); err != nil || flushed.Load() != n+1 {
		t.Errorf("%d entries are there, %v; want %d", flushed.Load(), err, n+1)
	}
}

func TestReaderMakesALostStreamAgain(t *testing.T) {
	t.Parallel()
	_, opts := startRedis(t)
	r, l, client := startReader(t, opts)
	for range 5 {
		add(t, client, "0-*", "old")
	}
	l.await(t, "five entries", got("old", "old", "old", "old", "old"))
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if gone, err := r.Renew(t.Context()); !gone || err != nil {
		t.Fatalf("Renew: %v, %v", gone, err)
	}
	add(t, client, "0-*", "new")
	l.await(t, "an entry of the new stream", got("old", "old", "old", "old", "old", "new"))
}

// TestReaderFindsTheStreamMadeAgain: by a Renew whose answer was lost, whether
// the new stream's numbers have passed the old one's since or not.
func TestReaderFindsTheStreamMadeAgain(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"below": 2, "beyond": 9} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, opts := startRedis(t)
			client := redis.NewClient(opts)
			defer client.Close()
			var cut atomic.Bool
			opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, addr)
				return &mute{Conn: nc, cut: &cut}, err
			}
			r, l, _ := startReader(t, opts)
			for range 5 {
				add(t, client, "0-*", "old")
			}
			l.await(t, "five entries", got("old", "old", "old", "old", "old"))
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			cut.Store(true)
			if _, err := r.Renew(t.Context()); err == nil {
				t.Fatal("Renew without an answer: no error")
			}
			for range n {
				add(t, client, "0-*", "new")
			}
			if gone, err := r.Renew(t.Context()); !gone || err != nil {
				t.Errorf("Renew: %v, %v", gone, err)
			}
			add(t, client, "0-*", "last")
			// Of a stream that has passed the old one, some may have been trimmed.
			l.await(t, "the new stream", func(entries, _ []string) bool {
				return entries[len(entries)-1] == "last" && (n > 5 || len(entries) == 5+n+1)
			})
			if gone, err := r.Renew(t.Context()); gone || err != nil {
				t.Errorf("once more: %v, %v", gone, err)
			}
		})
	}
}

// TestReaderNoticesNumbersThatBeginAgain: whoever has made the stream again.
func TestReaderNoticesNumbersThatBeginAgain(t *testing.T) {
	t.Parallel()
	_, opts := startRedis(t)
	r, l, client := startReader(t, opts)
	add(t, client, "0-*", "one")
	add(t, client, "0-*", "two")
	l.await(t, "two entries", got("one", "two"))
	_, err := client.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.FlushAll(t.Context())
		return p.XAdd(t.Context(), &redis.XAddArgs{Stream: channel.Key("ns.", "a:1"), ID: "0-*", Values: []string{channel.Field, "new"}}).Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := r.Renew(t.Context()); !gone || err != nil {
		t.Errorf("Renew: %v, %v", gone, err)
	}
	l.await(t, "an entry of the new stream", got("one", "two", "new"))
}

// mute is a connection that breaks instead of the answer to an XADD.
type mute struct {
	net.Conn
	cut  *atomic.Bool
	deaf atomic.Bool
}

func (m *mute) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("xadd")) && m.cut.CompareAndSwap(true, false) {
		m.deaf.Store(true)
	}
	return m.Conn.Write(b)
}

func (m *mute) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	if m.deaf.Load() && err == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func TestReaderNoticesAnotherServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, err := local.StartRedis(t.Context(), local.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	r, l, client := startReader(t, opts)
	add(t, client, "0-*", "one")
	l.await(t, "the first entry", got("one"))
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, err = local.StartRedis(t.Context(), local.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop(context.Background()) })
	l.await(t, "the restart", lost("another server"))
	if gone, err := r.Renew(t.Context()); !gone || err != nil {
		t.Fatalf("Renew: %v, %v", gone, err)
	}
	add(t, client, "0-*", "two")
	l.await(t, "an entry of the new stream", got("one", "two"))
}
