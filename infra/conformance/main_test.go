package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"sponge/infra/local"
	"sponge/schema"
	"sponge/workers"
)

// patience is for what happens soon, on a machine that does much else.
const patience = 30 * time.Second

// services are shared by all tests: each takes names of its own.
var services struct {
	queue   *local.Kafka
	channel *local.Redis
	store   local.Store
	names   atomic.Int64
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sponge-conformance-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir) //nolint:errcheck // the system's own folder
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		at := func(name string) local.Options { return local.Options{Dir: filepath.Join(dir, name)} }
		if services.queue, err = local.StartTestKafka(ctx, at("queue")); err == nil {
			defer services.queue.Kill()
			services.channel, err = local.StartRedis(ctx, at("channel"))
		}
		if err == nil {
			defer services.channel.Kill()
			services.store, err = local.StartTestStore(ctx, at("store"))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer services.store.Kill()
		return m.Run()
	}())
}

// unique is a name that no other test has.
func unique(prefix string) string { return fmt.Sprint(prefix, services.names.Add(1)) }

// limit bounds a test's calls.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls where there is no signal to wait for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := limit(t); !ok(); {
		select {
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

func redisClient(t *testing.T) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(services.channel.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// database makes one with the schema.
func database(t *testing.T) *sql.DB {
	t.Helper()
	dsn := services.store.DSN(unique("conformance"))
	if _, err := schema.Up(limit(t), dsn); err != nil {
		t.Fatal(err)
	}
	db, err := workers.OpenDB(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// warnings keeps what was logged at Warn or above.
type warnings struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (w *warnings) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *warnings) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// TestVersions says what was tested.
func TestVersions(t *testing.T) {
	t.Parallel()
	var store string
	db := database(t)
	if err := db.QueryRow("SELECT VERSION()").Scan(&store); err != nil {
		t.Error(err)
	}
	info, err := redisClient(t).Info(limit(t), "server").Result()
	if err != nil {
		t.Error(err)
	}
	_, version, _ := strings.Cut(info, "redis_version:")
	version, _, _ = strings.Cut(version, "\r\n")
	kind := "embedded"
	if services.queue.PID() != os.Getpid() {
		kind = "real"
	}
	t.Logf("store %s, Redis %s, Kafka %s", store, version, kind)
}
