package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// embeddedKafka is a broker inside this process.
type embeddedKafka struct {
	cluster *kfake.Cluster
	log     *kafkaLog
	lock    *dirLock

	once sync.Once
	err  error         // set before done is closed
	done chan struct{} // closed when the broker is gone and the lock released
}

func startEmbeddedKafka(ctx context.Context, o Options, c KafkaConfig) (*Kafka, error) {
	lock, err := lockDir(ctx, o, leftoverWait)
	if err != nil {
		return nil, err
	}
	if err := notOf(o, realData); err != nil {
		lock.release()
		return nil, err
	}
	log := &kafkaLog{log: o.Log}
	opts := []kfake.Opt{
		kfake.Ports(c.Port),
		kfake.DataDir(filepath.Join(o.Dir, embeddedData)),
		kfake.WithLogger(log),
		kfake.BrokerConfigs(map[string]string{
			// Retention is looked at hourly by default: too seldom for a topic
			// whose retention is given in minutes.
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
		return nil, err
	}
	e := &embeddedKafka{cluster: cluster, log: log, lock: lock, done: make(chan struct{})}
	return &Kafka{service: e, addr: cluster.ListenAddrs()[0]}, nil
}

func (e *embeddedKafka) PID() int { return os.Getpid() }

func (e *embeddedKafka) Done() <-chan struct{} { return e.done }

func (e *embeddedKafka) Err() error { return nil }

func (e *embeddedKafka) Kill() { _ = e.Stop(context.Background()) }

// Stop saves what is not yet on disk, ends the broker and frees its directory.
func (e *embeddedKafka) Stop(ctx context.Context) error {
	e.once.Do(func() { go e.close() })
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
		return fmt.Errorf("stop kafka: %w", ctx.Err())
	}
}

func (e *embeddedKafka) close() {
	defer close(e.done)
	defer e.lock.release()
	e.log.forget()
	e.cluster.Close() // tells of a failure to save in its log only
	e.err = e.log.failure()
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
