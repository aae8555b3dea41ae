package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"sponge/edge"
	"sponge/pkg/config"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/pkg/telemetry"
	"sponge/schema"
	"sponge/workers"
	"sponge/workers/friend"
	"sponge/workers/group"
	"sponge/workers/login"
	"sponge/workers/storage"
)

// workerGC is a worker's GOGC where the environment sets none: batches come and
// go, so collecting less often costs some memory and saves a fifth of its time.
const workerGC = 400

func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(workerGC)
	}
}

// handlers is where the handler groups are wired to each other.
func handlers() map[protocol.Topic]workers.Factory {
	return map[protocol.Topic]workers.Factory{
		protocol.TopicLogin:   login.New(storage.Unread),
		protocol.TopicFriend:  friend.New,
		protocol.TopicGroup:   group.New,
		protocol.TopicStorage: storage.New,
	}
}

// role is an edge or a worker.
type role interface {
	Run(context.Context) error
	Ready() <-chan struct{}
}

// serve runs a role with its metrics until ctx ends, and tells when it is
// ready. Metrics and health are there until the role has let go of everything.
func serve(ctx context.Context, name string, r role, t *telemetry.Config, registry *prometheus.Registry) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shown, hide := context.WithCancel(context.WithoutCancel(ctx))
	defer hide()
	var run errgroup.Group
	run.Go(func() error {
		defer hide()
		defer cancel()
		return r.Run(ctx)
	})
	run.Go(func() error {
		err := t.Serve(shown, registry, r.Ready(), ctx.Done())
		if err != nil {
			cancel()
		}
		return err
	})
	run.Go(func() error {
		select {
		case <-r.Ready():
			if ctx.Err() == nil { // else it was told to stop before
				fmt.Println("ready", name)
			}
		case <-ctx.Done():
		}
		return nil
	})
	return run.Wait()
}

type edgeCommand struct{}

// Run runs an edge node until it is told to stop, and drains it.
func (edgeCommand) Run(ctx context.Context) error {
	t, terr := config.Load[telemetry.Config]()
	cfg, err := config.Load[edge.Config]()
	if err := errors.Join(terr, err); err != nil {
		return err
	}
	log := t.Logger(os.Stderr).With("role", "edge", "node", cfg.NodeName())
	registry := telemetry.NewRegistry()
	e, err := edge.New(cfg, edge.Deps{Log: log, Metrics: registry})
	if err != nil {
		return err
	}
	return serve(ctx, "edge "+cfg.NodeName(), e, &t, registry)
}

type workerCommand struct {
	Groups []string `arg:"" help:"Handler groups: login, friend, group, storage (any subset)." name:"group"`
}

// Run runs handler groups until it is told to stop, and lets batches in flight
// finish.
func (c *workerCommand) Run(ctx context.Context) error {
	t, terr := config.Load[telemetry.Config]()
	cfg, err := config.Load[workers.Config]()
	if err := errors.Join(terr, err); err != nil {
		return err
	}
	all, chosen := handlers(), map[protocol.Topic]workers.Factory{}
	for _, name := range c.Groups {
		topic, err := protocol.TopicOf(name)
		if err != nil {
			return err
		}
		chosen[topic] = all[topic]
	}
	tuneGC()
	log := t.Logger(os.Stderr).With("role", "worker")
	registry := telemetry.NewRegistry()
	w, err := workers.New(cfg, chosen, workers.Deps{Log: log, Metrics: registry})
	if err != nil {
		return err
	}
	return serve(ctx, "worker "+strings.Join(c.Groups, " "), w, &t, registry)
}

// migrateConfig configures sponge migrate.
type migrateConfig struct {
	Kafka             []string `env:"SPONGE_KAFKA" envDefault:"127.0.0.1:9092" doc:"Kafka brokers, host:port, separated by commas"`
	MySQL             string   `env:"SPONGE_MYSQL" envDefault:"sponge@tcp(127.0.0.1:3306)/sponge" doc:"MySQL DSN as go-sql-driver takes it, with the database" secret:"true"`
	Namespace         string   `env:"SPONGE_NAMESPACE" doc:"prefix of every topic and Redis key"`
	StoragePartitions int      `env:"SPONGE_PARTITIONS_STORAGE" envDefault:"64" doc:"partitions of sponge.storage where it does not exist yet; never changed later, since it decides where a conversation goes"`
	Partitions        int      `env:"SPONGE_PARTITIONS" envDefault:"16" doc:"the same for the other topics that carry frames"`
	Replication       int      `env:"SPONGE_REPLICATION" envDefault:"-1" doc:"replicas of new topics; -1: the broker's default"`

	Wait time.Duration `env:"SPONGE_MIGRATE_WAIT" envDefault:"60s" doc:"how long migrate waits for MySQL and Kafka to answer"`
}

// Validate reports every fault of the configuration.
func (c *migrateConfig) Validate() error {
	var errs []error
	if c.StoragePartitions < 1 || c.Partitions < 1 {
		errs = append(errs, errors.New("SPONGE_PARTITIONS and SPONGE_PARTITIONS_STORAGE are at least 1"))
	}
	return errors.Join(append(errs, config.Required("SPONGE_MYSQL", c.MySQL))...)
}

type migrateCommand struct{}

// Run migrates the schema and makes missing topics.
func (migrateCommand) Run(ctx context.Context) error {
	cfg, err := config.Load[migrateConfig]()
	if err != nil {
		return err
	}
	t, err := config.Load[telemetry.Config]()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Wait)
	defer cancel()
	version, err := migrate(ctx, &cfg, t.Logger(os.Stderr))
	if err != nil {
		return err
	}
	fmt.Println("ready: schema version", version, "and all topics")
	return nil
}

// migrate repeats until MySQL and Kafka answer or ctx ends.
func migrate(ctx context.Context, cfg *migrateConfig, log *slog.Logger) (version uint, err error) {
	notify := func(err error, wait time.Duration) {
		log.Warn("migrate: trying again", "error", err, "in", wait.Round(time.Millisecond))
	}
	version, err = backoff.Retry(ctx, func() (uint, error) { return schema.Up(ctx, cfg.MySQL) }, backoff.WithNotify(notify))
	if err != nil {
		return 0, err
	}
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, queue.CreateTopics(ctx, cfg.Kafka, cfg.topics())
	}, backoff.WithNotify(notify))
	return version, err
}

func (c *migrateConfig) topics() []queue.TopicSpec {
	var out []queue.TopicSpec
	add := func(name string, partitions int) {
		out = append(out, queue.TopicSpec{Name: c.Namespace + name, Partitions: partitions, Replication: c.Replication})
	}
	for topic := range protocol.NumTopics {
		n := c.Partitions
		if topic == protocol.TopicStorage {
			n = c.StoragePartitions
		}
		add(topic.Name(), n)
	}
	add(protocol.TopicJournal, 1) // one, so that rows keep their order
	add(protocol.TopicDead, 1)
	return out
}

type envCommand struct{}

// Run prints every variable once, in the form of a file that a shell or a
// service manager reads.
func (envCommand) Run() error {
	fmt.Println("# Any variable NAME may be given as NAME_FILE instead: the path of a file that\n# holds the value. Secrets are best given so.")
	seen := map[string]bool{}
	for _, role := range []struct {
		name string
		cfg  any
	}{
		{"sponge edge", edge.Config{}}, {"sponge worker", workers.Config{}},
		{"sponge migrate", migrateConfig{}}, {"sponge audit", auditConfig{}}, {"sponge audit archive, check", auditArchiveConfig{}},
		{"every role", telemetry.Config{}},
	} {
		fmt.Printf("# --- %s\n", role.name)
		for _, v := range config.Variables(role.cfg) {
			if seen[v.Name] {
				continue
			}
			seen[v.Name] = true
			fmt.Printf("# %s\n%s=%s\n", v.Doc, v.Name, v.Default)
			if v.Secret {
				fmt.Printf("# or, since it is a secret: %s%s=\n", v.Name, config.FileSuffix)
			}
		}
	}
	return nil
}

type keysCommand struct{}

// Run prints a new worker key, which only workers may have, and the seal key
// that belongs to it, for the edges.
func (keysCommand) Run() error {
	text := keys.Generate()
	key, err := keys.ParseWorkerKey(text)
	if err != nil {
		return err
	}
	fmt.Printf("SPONGE_WORKER_KEY=%s\nSPONGE_SEAL_KEY=%s\n", text, key.Seal())
	return nil
}
