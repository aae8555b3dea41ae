package workertest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/caarlos0/env/v11"
	"github.com/prometheus/client_golang/prometheus"

	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/friend"
	"sponge/workers/group"
	"sponge/workers/login"
	"sponge/workers/storage"
)

// Handlers are all handler groups, wired as the program does.
func Handlers() map[protocol.Topic]workers.Factory {
	return map[protocol.Topic]workers.Factory{
		protocol.TopicLogin:   login.New(storage.Unread),
		protocol.TopicFriend:  friend.New,
		protocol.TopicGroup:   group.New,
		protocol.TopicStorage: storage.New,
	}
}

// Config is a worker's configuration in the space, with cheap passwords.
func (sp *Space) Config(t testing.TB) workers.Config {
	t.Helper()
	cfg, err := env.ParseAsWithOptions[workers.Config](env.Options{Environment: map[string]string{
		"SPONGE_KAFKA": sp.Kafka.Addr(), "SPONGE_REDIS": sp.Services.Redis.URL(), "SPONGE_MYSQL": sp.DSN,
		"SPONGE_NAMESPACE": sp.Namespace, "SPONGE_WORKER_KEY": sp.WorkerKey,
		"SPONGE_ARGON2_MEMORY": "64", "SPONGE_ARGON2_ITERATIONS": "1",
	}})
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Run starts a worker and returns when it owns its partitions. stop stops it,
// waits for its end, and may be called again; the test's end calls it, too.
func (sp *Space) Run(t testing.TB, cfg workers.Config, groups map[protocol.Topic]workers.Factory, registry prometheus.Registerer) (stop func()) {
	t.Helper()
	w, err := workers.New(cfg, groups, workers.Deps{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("worker: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	select {
	case <-w.Ready():
	case err := <-ended:
		stopped = true
		t.Fatalf("worker ended: %v", err)
	}
	return stop
}
