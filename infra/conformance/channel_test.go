package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"sponge/infra/local"
	"sponge/pkg/channel"
	"sponge/pkg/presence"
)

// add is how a worker adds an entry.
func add(t *testing.T, c *redis.Client, stream, data string) (string, error) {
	t.Helper()
	return c.XAdd(limit(t), &redis.XAddArgs{Stream: stream, NoMkStream: true, MaxLen: channel.MaxEntries, Approx: true,
		ID: "0-*", Values: []any{channel.Field, data}}).Result()
}

// makeStream is how an edge makes its channel.
func makeStream(t *testing.T, c *redis.Client, stream string) string {
	t.Helper()
	var id *redis.StringCmd
	_, err := c.TxPipelined(limit(t), func(p redis.Pipeliner) error {
		id = p.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, ID: "0-*", Values: []string{channel.Field, ""}})
		p.Expire(t.Context(), stream, channel.KeepFor)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return id.Val()
}

func mustAdd(t *testing.T, c *redis.Client, stream, data, want string) {
	t.Helper()
	if id, err := add(t, c, stream, data); id != want || err != nil {
		t.Errorf("added as %q, want %q: %v", id, want, err)
	}
}

// Results for a node that is gone vanish: no worker makes a stream.
func TestNobodyButAnEdgeMakesAStream(t *testing.T) {
	t.Parallel()
	c, stream := redisClient(t), unique("stream-")
	if id, err := add(t, c, stream, "lost"); !errors.Is(err, redis.Nil) {
		t.Errorf("added to nothing: %q, %v", id, err)
	}
	if n, err := c.Exists(limit(t), stream).Result(); n != 0 || err != nil {
		t.Errorf("a worker made a stream: %v", err)
	}
	if id := makeStream(t, c, stream); id != "0-1" {
		t.Errorf("the first id is %s", id)
	}
	mustAdd(t, c, stream, "kept", "0-2")
}

// Numbers follow each other while the stream lives, whatever was trimmed, and
// begin again in a new one.
func TestStreamNumbersFollow(t *testing.T) {
	t.Parallel()
	c, stream := redisClient(t), unique("stream-")
	makeStream(t, c, stream)
	for i := range 5 {
		mustAdd(t, c, stream, fmt.Sprint(i), fmt.Sprintf("0-%d", i+2))
	}
	if n, err := c.XTrimMinID(limit(t), stream, "0-5").Result(); n != 4 || err != nil {
		t.Errorf("trimmed %d entries, want 4: %v", n, err)
	}
	left, err := c.XRange(limit(t), stream, "-", "+").Result()
	if err != nil || len(left) != 2 || left[0].ID != "0-5" || left[1].ID != "0-6" {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := c.XTrimMinID(limit(t), stream, "0-7").Result(); err != nil {
		t.Error(err)
	}
	mustAdd(t, c, stream, "into an emptied one", "0-7")
	if info, err := c.XInfoStream(limit(t), stream).Result(); err != nil || info.LastGeneratedID != "0-7" {
		t.Errorf("last id %+v, %v", info, err)
	}
	if err := c.Del(limit(t), stream).Err(); err != nil {
		t.Fatal(err)
	}
	if id := makeStream(t, c, stream); id != "0-1" {
		t.Errorf("a new stream begins with %s", id)
	}
}

// A stream that nobody reads stays bounded, and the reader can tell.
func TestStreamIsBounded(t *testing.T) {
	t.Parallel()
	c, stream := redisClient(t), unique("stream-")
	makeStream(t, c, stream)
	const count = 2 * channel.MaxEntries
	pipe := c.Pipeline()
	for range count {
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, NoMkStream: true, MaxLen: channel.MaxEntries, Approx: true, ID: "0-*", Values: []any{channel.Field, "x"}})
	}
	if _, err := pipe.Exec(limit(t)); err != nil {
		t.Fatal(err)
	}
	n, err := c.XLen(limit(t), stream).Result()
	if err != nil || n < channel.MaxEntries || n > channel.MaxEntries+1000 {
		t.Errorf("%d entries of %d, %v", n, count, err)
	}
	first, err := c.XRead(limit(t), &redis.XReadArgs{Streams: []string{stream, "0-1"}, Count: 1, Block: time.Second}).Result()
	if err != nil || len(first) != 1 || first[0].Messages[0].ID == "0-2" {
		t.Errorf("the oldest is still there: %v, %v", first, err)
	}
}

// A read waits for the next entry, and only so long.
func TestStreamReadWaits(t *testing.T) {
	t.Parallel()
	c, stream := redisClient(t), unique("stream-")
	makeStream(t, c, stream)
	read := func(block time.Duration) ([]redis.XStream, error) {
		return c.XRead(limit(t), &redis.XReadArgs{Streams: []string{stream, "0-1"}, Count: 64, Block: block}).Result()
	}
	if got, err := read(10 * time.Millisecond); !errors.Is(err, redis.Nil) {
		t.Errorf("read %v, %v", got, err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		got, err := read(patience)
		if err != nil || got[0].Messages[0].ID != "0-2" || got[0].Messages[0].Values[channel.Field] != "woken" {
			t.Errorf("read %v, %v", got, err)
		}
	})
	eventually(t, "the reader waits", func() bool {
		list, err := c.ClientList(limit(t)).Result()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(list) {
			if strings.Contains(line, "cmd=xread") && strings.Contains(line, "flags=b") {
				return true
			}
		}
		return false
	})
	mustAdd(t, c, stream, "woken", "0-2")
	reading.Wait()
}

// What is not renewed goes by itself; adding does not renew it.
func TestKeysExpire(t *testing.T) {
	t.Parallel()
	c, stream := redisClient(t), unique("stream-")
	makeStream(t, c, stream)
	if ok, err := c.Expire(limit(t), stream, channel.KeepFor).Result(); !ok || err != nil {
		t.Errorf("renewed: %v, %v", ok, err)
	}
	if ok, err := c.PExpire(limit(t), stream, 100*time.Millisecond).Result(); !ok || err != nil {
		t.Errorf("renewed: %v, %v", ok, err)
	}
	eventually(t, "the stream expires", func() bool {
		_, err := add(t, c, stream, "into it")
		return errors.Is(err, redis.Nil)
	})
	if ok, err := c.Expire(limit(t), stream, channel.KeepFor).Result(); ok || err != nil {
		t.Errorf("renewed what is gone: %v, %v", ok, err)
	}
}

// A lease tells whether it was there; entries of nodes without one don't count.
func TestPresence(t *testing.T) {
	t.Parallel()
	c, ns := redisClient(t), unique("ns")+"-"
	w := presence.NewWriter(c, ns, "a:1")
	for i := range 2 {
		if there, err := w.Renew(limit(t)); there != (i > 0) || err != nil {
			t.Errorf("renewal %d: %v, %v", i, there, err)
		}
	}
	if ttl := c.PTTL(limit(t), presence.NodeKey(ns, "a:1")).Val(); ttl <= 0 || ttl > presence.LeaseTime {
		t.Errorf("the lease lasts for %v", ttl)
	}
	err := errors.Join(
		w.Write(limit(t), []presence.Change{{User: 1, Conn: 7, There: true}, {User: 1, Conn: 8, There: true}, {User: 1, Conn: 7}}),
		presence.NewWriter(c, ns, "dead:1").Write(limit(t), []presence.Change{{User: 1, Conn: 9, There: true}}))
	if err != nil {
		t.Fatal(err)
	}
	places, err := presence.NewReader(c, ns).Places(limit(t), []int64{1, 2})
	if err != nil || len(places[0]) != 1 || places[0][0] != (presence.Place{Node: "a:1", Conn: 8}) || len(places[1]) != 0 {
		t.Errorf("places: %v, %v", places, err)
	}
	if ttl := c.PTTL(limit(t), presence.UserKey(ns, 1)).Val(); ttl <= 0 || ttl > presence.EntryTime {
		t.Errorf("entries last for %v", ttl)
	}
}

// A server tells by its run id that it was started anew, and is empty then.
func TestRunIDTellsAnotherServer(t *testing.T) {
	t.Parallel()
	o := local.Options{Dir: t.TempDir()}
	seen := map[string]bool{}
	for range 2 {
		server, err := local.StartRedis(limit(t), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Kill)
		options, err := redis.ParseURL(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		c := redis.NewClient(options)
		info, err := c.Info(limit(t), "server").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, id, _ := strings.Cut(info, "run_id:")
		id, _, _ = strings.Cut(id, "\r\n")
		if id == "" || seen[id] {
			t.Errorf("run id %q after %v", id, seen)
		}
		seen[id] = true
		if id := makeStream(t, c, "stream"); id != "0-1" {
			t.Errorf("a stream outlived its server: %s", id)
		}
		if err := errors.Join(c.Close(), server.Stop(context.Background())); err != nil {
			t.Error(err)
		}
	}
}
