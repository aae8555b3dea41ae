package workers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// Resources are what handlers are made from. They may be used by several
// goroutines at once.
type Resources struct {
	Config *Config
	DB     *sql.DB // for Prepare: reads outside the transaction
	Key    *keys.WorkerKey
}

// Factory makes the handler of one topic.
type Factory func(Resources) (Handler, error)

// Deps are what a Worker gets from its process.
type Deps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Worker runs handler groups in one process. Each group is a consumer group of
// its own, so groups scale apart.
type Worker struct {
	cfg      Config
	log      *slog.Logger
	db       *sql.DB
	redis    *redis.Client
	producer *queue.Producer
	groups   []*group
	ready    chan struct{}
	waiting  sync.WaitGroup // for the first assignment of each group
}

// journalLinger gathers journal rows: nobody waits for them, and each request
// costs the broker as much as a client's frame.
const journalLinger = 10 * time.Millisecond

// New makes a worker for the given groups. It connects when it runs; Close
// releases what New made where Run was never called.
func New(cfg Config, groups map[protocol.Topic]Factory, deps Deps) (*Worker, error) {
	key, err := keys.ParseWorkerKey(cfg.WorkerKey)
	if err != nil {
		return nil, err
	}
	db, err := OpenDB(cfg.MySQL)
	if err != nil {
		return nil, err
	}
	options, err := redis.ParseURL(cfg.Redis)
	if err != nil { // it may hold the password
		return nil, errors.Join(errors.New("SPONGE_REDIS is no Redis URL: redis://:password@host:6379/0 is one"), db.Close())
	}
	options.Protocol = 2
	w := &Worker{cfg: cfg, log: deps.Log, db: db, redis: redis.NewClient(options), ready: make(chan struct{}),
		producer: queue.NewProducer(queue.ProducerConfig{Brokers: cfg.Kafka, Linger: journalLinger, Log: deps.Log, Metrics: deps.Metrics, MetricsPrefix: "sponge_worker"})}
	m := newMetrics(deps.Metrics)
	for topic := range protocol.NumTopics {
		factory, ok := groups[topic]
		if !ok {
			continue
		}
		handler, err := factory(Resources{Config: &w.cfg, DB: db, Key: key})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s handlers: %w", topic.Group(), err), w.Close())
		}
		log := deps.Log.With("group", topic.Group())
		w.waiting.Add(1)
		w.groups = append(w.groups, &group{topic: topic, handler: handler, cfg: &w.cfg, db: db, redis: w.redis, key: key,
			journal: &journalWriter{producer: w.producer, topic: cfg.Namespace + protocol.TopicJournal, log: log},
			dead:    &deadLetters{producer: w.producer, topic: cfg.Namespace + protocol.TopicDead},
			metrics: m, log: log, assigned: sync.OnceFunc(w.waiting.Done)})
	}
	// Each lane keeps a connection for itself.
	db.SetMaxOpenConns(sharedConns() + len(w.groups)*cfg.Lanes)
	if len(w.groups) == 0 {
		return nil, errors.Join(errors.New("a worker needs a handler group: login, friend, group, storage"), w.Close())
	}
	return w, nil
}

// OpenDB opens MySQL with what every part of a worker relies on: statements
// that are not prepared go as text in one round trip, several at once where
// the runtime joins them (no statement is ever made of anybody's input); times
// are never DATETIME. The error does not hold the DSN, which has a password.
func OpenDB(dsn string) (*sql.DB, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, errors.New("SPONGE_MYSQL is no DSN: user:password@tcp(host:3306)/sponge is one") // err may hold the password
	}
	cfg.MaxAllowedPacket = 0 // ask the server
	cfg.InterpolateParams, cfg.MultiStatements = true, true
	cfg.CheckConnLiveness = true
	cfg.Timeout = 5 * time.Second
	cfg.ReadTimeout, cfg.WriteTimeout = max(cfg.ReadTimeout, statementTime), max(cfg.WriteTimeout, statementTime)
	cfg.Logger = &mysql.NopLogger{} // every error comes back to the caller, who logs it
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("SPONGE_MYSQL: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(sharedConns())
	db.SetMaxIdleConns(8)
	db.SetConnMaxIdleTime(time.Minute)
	return db, nil
}

// sharedConns bounds the connections of all that is no lane.
func sharedConns() int { return 16 + 4*runtime.GOMAXPROCS(0) }

// Ready is closed when every group has taken over its first assignment.
func (w *Worker) Ready() <-chan struct{} { return w.ready }

// Run works until ctx ends; then batches in flight are committed and
// announced, and the groups are left. It returns why it could not go on.
func (w *Worker) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.findTopics(ctx)
	var wg sync.WaitGroup
	for _, g := range w.groups {
		wg.Go(func() {
			if err := g.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Go(func() { w.clean(ctx) })
	go func() { // ends with Run at the latest: see release below
		w.waiting.Wait()
		close(w.ready)
	}()
	wg.Wait()
	for _, g := range w.groups {
		g.assigned() // releases the goroutine above
	}
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, w.Close())
}

// findTopics waits until Kafka tells of the topics that workers write to.
func (w *Worker) findTopics(ctx context.Context) {
	wait := newBackOff()
	for _, topic := range []string{protocol.TopicJournal, protocol.TopicDead} {
		for ctx.Err() == nil {
			_, err := w.producer.Partitions(ctx, w.cfg.Namespace+topic)
			if err == nil {
				break
			}
			w.log.Warn("waiting for Kafka (sponge migrate makes the topics)", "error", err)
			pause(ctx, wait.NextBackOff())
		}
	}
}

// Close releases connections. Run does it, too.
func (w *Worker) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	return errors.Join(w.producer.Close(ctx), w.redis.Close(), w.db.Close())
}

// How often rows that have had their time are removed, and how many at once.
const (
	cleanEvery = 10 * time.Minute
	cleanRows  = 1000
)

// RememberFor is how long a success is remembered by frame id, of record time.
const RememberFor = 7 * 24 * time.Hour

// clean removes sessions and outcomes that have had their time.
func (w *Worker) clean(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			// By sessions_expiry and outcomes_age.
			err := w.cleanRows(ctx, "DELETE FROM sessions WHERE expires_at < ? LIMIT ?", now)
			if err == nil {
				err = w.cleanOutcomes(ctx, now)
			}
			if err != nil && ctx.Err() == nil {
				w.log.Warn("remove old rows", "error", err)
			}
		}
	}
}

// keepOutcomes is far longer than outcomes count (RememberFor): a partition that
// was stopped for three weeks while others went on still decides as it would have
// then, and as a replay does.
const keepOutcomes = 30 * 24 * time.Hour

// cleanOutcomes counts from the newest outcome where all of them are old: the
// backlog of a cluster that was off is handled as if it had not been.
func (w *Worker) cleanOutcomes(ctx context.Context, now time.Time) error {
	var newest sql.NullInt64
	if err := w.db.QueryRowContext(ctx, "SELECT MAX(recorded_at) FROM outcomes").Scan(&newest); err != nil {
		return err
	}
	if at := time.UnixMilli(newest.Int64); at.Before(now) {
		now = at
	}
	return w.cleanRows(ctx, "DELETE FROM outcomes WHERE recorded_at < ? LIMIT ?", now.Add(-keepOutcomes))
}

func (w *Worker) cleanRows(ctx context.Context, query string, limit time.Time) error {
	for {
		res, err := w.db.ExecContext(ctx, query, limit.UnixMilli(), cleanRows)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n < cleanRows {
			return err
		}
	}
}
