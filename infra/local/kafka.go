package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// KafkaConfig is what an embedded Kafka can be told.
type KafkaConfig struct {
	// Port is the loopback port to listen on; zero means a free one.
	Port int

	// SyncWrites syncs each produced batch to the disk. Without it, records
	// survive the end of this process, but not that of the machine.
	SyncWrites bool
}

// Kafka is a running Kafka with one broker.
type Kafka struct {
	addr string
	stop func(context.Context) error // stops the broker; called once

	once    sync.Once
	stopErr error         // set before stopped is closed
	stopped chan struct{} // closed when the broker is gone
}

// StartKafka starts a Kafka inside this process, with its records, topics and
// committed offsets kept in o.Dir. It does not create topics by itself.
func StartKafka(ctx context.Context, o Options, c KafkaConfig) (*Kafka, error) {
	o, err := o.prepare()
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, o, leftoverWait)
	if err != nil {
		return nil, fmt.Errorf("local: kafka: %w", err)
	}
	log := &kafkaLog{log: o.Log}
	opts := []kfake.Opt{
		kfake.Ports(c.Port),
		kfake.DataDir(filepath.Join(o.Dir, "data")),
		kfake.WithLogger(log),
		// Retention is looked at hourly by default: too seldom for a topic
		// whose retention is given in minutes.
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms":       "1000",
			"group.min.session.timeout.ms": "1000", // so that a dead consumer is noticed soon
		}),
	}
	if c.SyncWrites {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		lock.release()
		return nil, fmt.Errorf("local: kafka: %w", err)
	}
	return &Kafka{
		addr: cluster.ListenAddrs()[0],
		stop: func(context.Context) error {
			defer lock.release()
			log.forget()
			cluster.Close() // tells of a failure to save in its log only
			return log.failure()
		},
		stopped: make(chan struct{}),
	}, nil
}

// Addr returns the broker's address, "host:port".
func (k *Kafka) Addr() string { return k.addr }

// Stop saves what is not yet on disk, ends the broker and frees its directory.
// When ctx ends first, it returns ctx's error and the rest goes on behind it.
// Calling it again, also at the same time, waits for the same end.
func (k *Kafka) Stop(ctx context.Context) error {
	k.once.Do(func() {
		go func() {
			defer close(k.stopped)
			k.stopErr = k.stop(ctx)
		}()
	})
	select {
	case <-k.stopped:
		return k.stopErr
	case <-ctx.Done():
		return fmt.Errorf("stop kafka: %w", ctx.Err())
	}
}

// kafkaLog carries the broker's log to slog and keeps its last error.
type kafkaLog struct {
	log *slog.Logger

	mu   sync.Mutex // guards the following
	last error
}

// Logf implements kfake.Logger.
func (l *kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	}
	if to != slog.LevelError && !l.log.Enabled(context.Background(), to) {
		return
	}
	text := fmt.Sprintf(format, args...)
	l.log.Log(context.Background(), to, "embedded kafka", "message", text)
	if to == slog.LevelError {
		l.mu.Lock()
		l.last = errors.New("kafka: " + text)
		l.mu.Unlock()
	}
}

func (l *kafkaLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = nil
}

func (l *kafkaLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
