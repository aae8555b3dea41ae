package presence_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"sponge/infra/local"
	"sponge/pkg/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect starts a Redis of the test's own.
func connect(t *testing.T) *redis.Client {
	t.Helper()
	server, err := local.StartRedis(t.Context(), local.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop(context.Background()) })
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestWriterAndReader(t *testing.T) {
	t.Parallel()
	client := connect(t)
	ctx := t.Context()

	// places reads with a fresh Reader, which believes no lease of old.
	places := func(user int64) []presence.Place {
		t.Helper()
		out, err := presence.NewReader(client, "ns.").Places(ctx, []int64{user})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(out[0], func(a, b presence.Place) int { return int(a.Conn) - int(b.Conn) })
		return out[0]
	}
	w := presence.NewWriter(client, "ns.", "a:1")
	write := func(changes ...presence.Change) {
		t.Helper()
		if err := w.Write(ctx, changes); err != nil {
			t.Fatal(err)
		}
	}

	write(presence.Change{User: 6, Conn: 1, There: true})
	if got := places(6); len(got) != 0 {
		t.Errorf("without a lease: %v", got)
	}
	if there, err := w.Renew(ctx); there || err != nil {
		t.Errorf("first Renew: %v, %v", there, err)
	}
	if there, err := w.Renew(ctx); !there || err != nil {
		t.Errorf("second Renew: %v, %v", there, err)
	}
	write(presence.Change{User: 6, Conn: 2, There: true}, presence.Change{User: 7, Conn: 3, There: true})
	if got, want := places(6), []presence.Place{{Node: "a:1", Conn: 1}, {Node: "a:1", Conn: 2}}; !slices.Equal(got, want) {
		t.Errorf("places of 6: %v, want %v", got, want)
	}
	if ttl := client.TTL(ctx, presence.UserKey("ns.", 6)).Val(); ttl < presence.Refresh || ttl > presence.EntryTime {
		t.Errorf("an entry lives for %v", ttl)
	}
	if ttl := client.TTL(ctx, presence.NodeKey("ns.", "a:1")).Val(); ttl <= 0 || ttl > presence.LeaseTime {
		t.Errorf("the lease lives for %v", ttl)
	}

	// In order: there and gone again is gone.
	write(presence.Change{User: 6, Conn: 1}, presence.Change{User: 6, Conn: 2}, presence.Change{User: 6, Conn: 4, There: true}, presence.Change{User: 6, Conn: 4})
	if got := places(6); len(got) != 0 {
		t.Errorf("after the removal: %v", got)
	}
	// Sent away by a restart: nowhere, and expected back until then.
	back := func(user int64) bool {
		t.Helper()
		out, err := presence.NewReader(client, "ns.").ExpectedBack(ctx, []int64{user})
		if err != nil {
			t.Fatal(err)
		}
		return out[user]
	}
	write(presence.Change{User: 6, Conn: 5, There: true}, presence.Change{User: 6, Conn: 5, Back: true})
	if len(places(6)) != 0 || !back(6) || back(7) {
		t.Errorf("sent away: %v, expected back %v; of another user %v", places(6), back(6), back(7))
	}
	if ttl := client.TTL(ctx, presence.BackKey("ns.", 6)).Val(); ttl <= 0 || ttl > presence.BackTime {
		t.Errorf("a user is expected back for %v", ttl)
	}
	write(presence.Change{User: 6, Conn: 6, There: true}, presence.Change{User: 6, Conn: 6})
	if !back(6) {
		t.Error("expected back no more when a connection is gone, which may be any")
	}
	write(presence.Change{User: 6, Conn: 7, There: true}, presence.Change{User: 6, Conn: 7, Out: true})
	if back(6) {
		t.Error("who has logged out is expected back")
	}
	if err := w.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	if got := places(7); len(got) != 0 {
		t.Errorf("without the node: %v", got)
	}
}

// hook runs a function before the script that removes entries.
type hook struct{ before func() }

func (hook) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if len(cmds) > 0 && cmds[0].Name() == "eval" {
			h.before()
		}
		return next(ctx, cmds)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	client := connect(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	renew := func(w *presence.Writer) {
		t.Helper()
		_, err := w.Renew(ctx)
		must(err)
	}
	fields := func(user int64) []string {
		t.Helper()
		out, err := client.HKeys(ctx, presence.UserKey("ns.", user)).Result()
		must(err)
		slices.Sort(out)
		return out
	}
	mine, dead, living := presence.NewWriter(client, "ns.", "a:1"), presence.NewWriter(client, "ns.", "b:1"), presence.NewWriter(client, "ns.", "c:1")
	for i, w := range []*presence.Writer{mine, dead, living} {
		renew(w)
		must(w.Write(ctx, []presence.Change{{User: 6, Conn: uint64(i), There: true}, {User: 7, Conn: uint64(i), There: true}}))
	}
	must(mine.Sweep(ctx, nil))
	must(mine.Sweep(ctx, []int64{6, 7, 8}))
	if got, want := fields(6), []string{"a:1/0", "b:1/1", "c:1/2"}; !slices.Equal(got, want) {
		t.Errorf("while all live: %v, want %v", got, want)
	}
	must(dead.Remove(ctx))
	must(mine.Remove(ctx)) // one's own lease may lapse: that is for its keeper to notice
	must(mine.Sweep(ctx, []int64{6, 8}))
	if got, want := fields(6), []string{"a:1/0", "c:1/2"}; !slices.Equal(got, want) {
		t.Errorf("swept: %v, want %v", got, want)
	}

	// A node that was only stopped comes back while its entries are swept.
	client.AddHook(hook{func() {
		renew(dead)
		must(dead.Write(ctx, []presence.Change{{User: 7, Conn: 1, There: true}}))
	}})
	must(mine.Sweep(ctx, []int64{7}))
	if got, want := fields(7), []string{"a:1/0", "b:1/1", "c:1/2"}; !slices.Equal(got, want) {
		t.Errorf("of a node that came back: %v, want %v", got, want)
	}
}

func TestWriterFails(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: time.Second})
	defer client.Close()
	w := presence.NewWriter(client, "", "a:1")
	if _, err := w.Renew(t.Context()); err == nil {
		t.Error("Renew succeeds without Redis")
	}
	if err := w.Write(t.Context(), []presence.Change{{User: 1, Conn: 1}}); err == nil {
		t.Error("Write succeeds without Redis")
	}
	if err := w.Sweep(t.Context(), []int64{1}); err == nil {
		t.Error("Sweep succeeds without Redis")
	}
	if err := w.Remove(t.Context()); err == nil {
		t.Error("Remove succeeds without Redis")
	}
}
