// Package workertest runs handlers and runtimes against private services, with
// the test in the place of the edges. For tests only.
package workertest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"sponge/infra/local"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/schema"
	"sponge/workers"
)

// Services are shared by all tests of a package; each test takes a Space of
// its own.
type Services struct {
	MySQL  local.Store
	Redis  *local.Redis
	Kafka  *local.Kafka
	spaces atomic.Int64
}

// Main is a package's TestMain: it starts the services, keeps them in *s while
// the tests run, and stops them.
func Main(m *testing.M, s *Services) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sponge-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if err := s.start(ctx, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer s.stop()
		return m.Run()
	}())
}

func (s *Services) start(ctx context.Context, dir string) (err error) {
	options := func(name string) local.Options { return local.Options{Dir: filepath.Join(dir, name)} }
	if s.MySQL, err = local.StartTestStore(ctx, options("mysql")); err != nil {
		return err
	}
	if s.Redis, err = local.StartRedis(ctx, options("redis")); err != nil {
		return err
	}
	s.Kafka, err = local.StartTestKafka(ctx, options("kafka"))
	return err
}

func (s *Services) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = s.Kafka.Stop(ctx)
	_ = s.Redis.Stop(ctx)
	_ = s.MySQL.Stop(ctx)
}

// Space is one test's part of the services: a database, and a namespace of
// topics and Redis keys.
type Space struct {
	*Services
	Namespace string
	DSN       string
	DB        *sql.DB
	Redis     *redis.Client
	WorkerKey string
	Key       *keys.WorkerKey
}

// Partitions of each topic of a space that carries frames.
const Partitions = 4

// NewSpace migrates a database and makes the topics.
func (s *Services) NewSpace(t testing.TB) *Space {
	t.Helper()
	ctx := t.Context()
	name := fmt.Sprintf("t%d", s.spaces.Add(1))
	sp := &Space{Services: s, Namespace: name + "-", DSN: s.MySQL.DSN(name), WorkerKey: keys.Generate()}
	if _, err := schema.Up(ctx, sp.DSN); err != nil {
		t.Fatal(err)
	}
	sp.CreateTopics(t)
	var err error
	if sp.Key, err = keys.ParseWorkerKey(sp.WorkerKey); err != nil {
		t.Fatal(err)
	}
	if sp.DB, err = workers.OpenDB(sp.DSN); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.DB.Close() })
	options, err := redis.ParseURL(s.Redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	sp.Redis = redis.NewClient(options)
	t.Cleanup(func() { sp.Redis.Close() })
	return sp
}

// CreateTopics makes those of the space's topics that are missing.
func (sp *Space) CreateTopics(t testing.TB) {
	t.Helper()
	specs := []queue.TopicSpec{{Name: sp.Namespace + protocol.TopicJournal, Partitions: 1, Replication: 1},
		{Name: sp.Namespace + protocol.TopicDead, Partitions: 1, Replication: 1}}
	for topic := range protocol.NumTopics {
		specs = append(specs, queue.TopicSpec{Name: sp.Namespace + topic.Name(), Partitions: Partitions, Replication: 1})
	}
	if err := queue.CreateTopics(t.Context(), []string{sp.Kafka.Addr()}, specs); err != nil {
		t.Fatal(err)
	}
}

// Int runs a query that gives one number.
func (sp *Space) Int(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := sp.DB.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Exec runs a statement.
func (sp *Space) Exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := sp.DB.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}
