package local

import (
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
)

func redisClient(t *testing.T, r *Redis) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestRedisStartsEmptyEachTime(t *testing.T) {
	t.Parallel()
	o := options(t)
	for range 2 {
		r := mustRedis(t, o)
		c := redisClient(t, r)
		if n, err := c.DBSize(t.Context()).Result(); err != nil || n != 0 {
			t.Errorf("%d keys at the start, %v", n, err)
		}
		if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Error(err)
		}
		if err := r.Stop(limit(t)); err != nil {
			t.Error(err)
		}
	}
	if kept, _ := filepath.Glob(filepath.Join(o.Dir, "*.rdb")); len(kept) > 0 {
		t.Errorf("left on disk: %v", kept)
	}
}

func TestRedisCanWhatIsNeeded(t *testing.T) {
	t.Parallel()
	c := redisClient(t, mustRedis(t, options(t)))
	ctx := t.Context()
	id, err := c.XAdd(ctx, &redis.XAddArgs{Stream: "s", ID: "5-*", Values: []string{"k", "v"}}).Result()
	if err != nil || id != "5-0" {
		t.Errorf("XADD with a time of its own: %q, %v", id, err)
	}
	if err := c.XAdd(ctx, &redis.XAddArgs{Stream: "none", NoMkStream: true, Values: []string{"k", "v"}}).Err(); err != redis.Nil {
		t.Errorf("XADD NOMKSTREAM: %v", err)
	}
	for name, want := range map[string]string{
		"save":       "",
		"appendonly": "no",
		"port":       "0",
		// The limits of replicas are Redis's own.
		"client-output-buffer-limit": "normal 268435456 67108864 60 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
	} {
		if got, err := c.ConfigGet(ctx, name).Result(); err != nil || got[name] != want {
			t.Errorf("%s = %q, want %q, %v", name, got[name], want, err)
		}
	}
}

func TestRedisInOddlyNamedDirectories(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "数据", "x(y)z@w?q=1%20#h", "it's", `q"q\n`} {
		o := options(t)
		o.Dir = filepath.Join(o.Dir, name)
		if err := redisClient(t, mustRedis(t, o)).Ping(t.Context()).Err(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
