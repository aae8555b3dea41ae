// Package edge is the edge node: it holds the clients' connections, publishes
// every frame that arrives to Kafka, and writes what the workers answer to the
// connections.
//
// # One connection
//
//	socket → stream (frames) → window and barriers → record → Kafka
//	socket ← outbox          ← replies in typed order ← channel (Redis)
//
// A connection has one read token, held by whoever may read its socket: the
// poller while there is nothing to read, a worker of a small pool that reads
// and handles, or nobody while the connection is parked, because its next
// frame must wait for answers. So an idle connection has neither a goroutine
// nor a buffer. Everything else of a connection is guarded by its mutex.
//
// # Locks
//
// conn.mu comes before the locks of the table, the producer and the presence
// queue; none of those is held while a conn.mu is taken.
//
// The package knows connections, frames and sessions as opaque proofs. It must
// not know friends, groups, messages, or how workers decide.
package edge

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"sponge/pkg/channel"
	"sponge/pkg/keys"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// Deps are what an edge is given besides its configuration.
type Deps struct {
	Log     *slog.Logger          // nil: silent
	Metrics prometheus.Registerer // nil: unregistered
}

// producer is the ordered way to Kafka: queue.Producer.
type producer interface {
	Partitions(ctx context.Context, topic string) (int, error)
	// Enqueue must not block. done is called once, from a goroutine that holds
	// no lock of the edge.
	Enqueue(topic string, partition int, r *queue.Record, done func(*queue.Record, error)) error
	Cancel(r *queue.Record) (neverSent bool)
	Close(ctx context.Context) error
}

// channelReader is the node's own channel: channel.Reader.
type channelReader interface {
	Create(ctx context.Context) error
	Run(ctx context.Context)
	Renew(ctx context.Context) (lost bool, err error)
	WholeSince() time.Time
	CatchUp(ctx context.Context) error
	Remove(ctx context.Context) error
	Close() error
}

// presenceWriter writes the node's lease and entries: presence.Writer.
type presenceWriter interface {
	Renew(ctx context.Context) (there bool, err error)
	Write(ctx context.Context, changes []presence.Change) error
	Sweep(ctx context.Context, users []int64) error
	Remove(ctx context.Context) error
}

// route is where the frames of a topic go.
type route struct {
	name       string
	partitions int
	gates      []gate // by partition
}

func newRoute(name string, partitions int) route {
	return route{name, partitions, make([]gate, partitions)}
}

// Edge is one edge node. Run serves it, once.
type Edge struct {
	cfg     Config
	log     *slog.Logger
	node    string // name:nonce
	seal    *keys.Sealer
	began   time.Time
	metrics *metrics

	producer producer
	channel  channelReader
	lease    presenceWriter
	redis    *redis.Client // nil in tests
	routes   [protocol.NumTopics]route

	table    table
	presence *presenceQueue
	losses   chan string    // why the channel may have lost entries
	resyncs  chan time.Time // since when sessions must be synchronised
	poller   *poller
	readable chan *tcpConn   // to the pool of workers
	dirty    []*conn         // to be flushed; the channel reader's own
	sockets  sync.WaitGroup  // read tokens and writers of connections
	serving  context.Context // ends when every connection is gone
	draining atomic.Bool

	ready     chan struct{}
	mu        sync.Mutex
	listeners []net.Listener
}

// New makes an edge. It connects to nothing before Run.
func New(cfg Config, deps Deps) (*Edge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	opts, err := redis.ParseURL(cfg.Redis)
	if err != nil {
		return nil, errors.New("edge: SPONGE_REDIS is no Redis URL") // err may hold the password
	}
	e, err := newEdge(cfg, deps)
	if err != nil {
		return nil, err
	}
	e.redis = redis.NewClient(opts)
	e.lease = presence.NewWriter(e.redis, cfg.Namespace, e.node)
	e.channel = channel.NewReader(channel.ReaderConfig{
		Redis: opts, Namespace: cfg.Namespace, Node: e.node, Log: e.log,
		Entry: e.entry, Read: e.flushDirty, Lost: e.lost,
	})
	e.producer = queue.NewProducer(queue.ProducerConfig{
		Brokers: cfg.Kafka, MaxBytes: cfg.QueueBytes, Log: e.log,
		Metrics: deps.Metrics, MetricsPrefix: "sponge_edge",
	})
	return e, nil
}

// newEdge makes what does not reach outside the process.
func newEdge(cfg Config, deps Deps) (*Edge, error) {
	seal, err := keys.ParseSealKey(cfg.SealKey)
	if err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	var nonce [4]byte
	rand.Read(nonce[:]) // never fails
	e := &Edge{
		cfg:      cfg,
		node:     cfg.NodeName() + ":" + hex.EncodeToString(nonce[:]),
		seal:     keys.NewSealer(seal),
		began:    time.Now(),
		presence: newPresenceQueue(),
		losses:   make(chan string, 1),
		resyncs:  make(chan time.Time, 1),
		readable: make(chan *tcpConn, 1024),
		ready:    make(chan struct{}),
	}
	e.log = deps.Log.With("node", e.node)
	e.metrics = newMetrics(deps.Metrics, e.log)
	e.table.init()
	return e, nil
}

// now is the edge's clock: milliseconds since it began, never going back.
func (e *Edge) now() int64 { return time.Since(e.began).Milliseconds() }

// Ready is closed when the edge serves: its channel exists, its topics are
// known, and its listeners are open.
func (e *Edge) Ready() <-chan struct{} { return e.ready }

// Addrs are the addresses of the open listeners, in the configuration's order:
// Listen, SharedListen, WebListen. Empty before Ready.
func (e *Edge) Addrs() []net.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	addrs := make([]net.Addr, len(e.listeners))
	for i, l := range e.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Node is the node's id: its name and the nonce of this start.
func (e *Edge) Node() string { return e.node }

// Run serves until ctx ends, then drains: no new connections or frames, a
// notice to every client, the answers that are outstanding, the last reports.
// When it returns, nothing of the edge runs any more. The error says why the
// edge could not serve; nil after a drain.
func (e *Edge) Run(ctx context.Context) error {
	// The edge outlives ctx for as long as it drains.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	e.serving = serving

	err := e.start(ctx)
	if err == nil {
		e.poller, err = newPoller(e)
	}
	var reading, background, acceptors sync.WaitGroup
	workers := e.startWorkers()
	if err == nil {
		reading.Go(func() { e.channel.Run(serving) })
		reading.Go(func() { e.poller.run(e) })
		background.Go(func() { e.keep(serving) })
		background.Go(func() { e.resync(serving) })
		background.Go(func() { e.sweep(serving) })
		background.Go(func() { e.presence.run(serving, e) })
		web := e.accept(&acceptors)
		close(e.ready)
		e.log.Info("edge serves", "addresses", e.Addrs())
		<-ctx.Done()
		e.drain(ctx, web, &acceptors)
	}
	closeErr := e.shutDown(ctx, stop, &background)
	reading.Wait()
	close(e.readable)
	workers.Wait()
	if err != nil {
		return err
	}
	if closeErr != nil {
		e.log.Warn("edge did not end cleanly", "error", closeErr)
	}
	e.log.Info("edge has drained")
	return nil
}

// start makes what must be there before the first connection.
func (e *Edge) start(ctx context.Context) error {
	if err := e.listen(ctx); err != nil {
		return err
	}
	if err := e.retry(ctx, "reach Redis", func(ctx context.Context) error {
		if err := e.channel.Create(ctx); err != nil {
			return err
		}
		_, err := e.lease.Renew(ctx)
		return err
	}); err != nil {
		return err
	}
	return e.retry(ctx, "find the topics", func(ctx context.Context) error {
		for t := range e.routes {
			name := e.cfg.Namespace + protocol.Topic(t).Name()
			n, err := e.producer.Partitions(ctx, name)
			if err != nil {
				return err
			}
			e.routes[t] = newRoute(name, n)
		}
		return nil
	})
}

// retry repeats try until it succeeds or ctx ends: services may start later
// than the edge.
func (e *Edge) retry(ctx context.Context, what string, try func(context.Context) error) error {
	wait := 50 * time.Millisecond
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("edge: %s: %w", what, err)
		}
		if wait = min(wait*2, 2*time.Second); wait >= time.Second {
			e.log.Warn("not yet able to "+what, "error", err)
		}
		pause(ctx, wait)
	}
}

// shutDown ends what serves connections, after the last one is gone.
func (e *Edge) shutDown(ctx context.Context, stop context.CancelFunc, background *sync.WaitGroup) error {
	e.closeListeners()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	// The producer's last callbacks come before everything else ends, and
	// nobody renews what is then removed.
	errs := []error{e.producer.Close(bounded)}
	stop()
	background.Wait()
	errs = append(errs, e.lease.Remove(bounded), e.channel.Remove(bounded), e.channel.Close())
	if e.poller != nil {
		errs = append(errs, e.poller.close())
	}
	if e.redis != nil {
		errs = append(errs, e.redis.Close())
	}
	return errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
