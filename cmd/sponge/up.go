package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"sponge/edge"
	"sponge/infra/local"
	"sponge/pkg/keys"
	"sponge/pkg/telemetry"
	"sponge/pkg/webclient"
	"sponge/workers"
)

type upCommand struct {
	Dir   string `default:"./data" help:"Where accounts, messages, topics and keys are kept."`
	Port  int    `default:"8000" help:"The port that all edges share; each listens on one of the next ports, too."`
	Edges int    `default:"3" help:"How many edges, 1 to 50."`
	Web   int    `default:"8080" help:"The port of the web client and of the WebSocket at /ws; 0: none."`
	Kafka string `default:"embedded" enum:"embedded,real" help:"embedded, or real: Apache Kafka itself, which needs Java and, the first time, Maven, and haproxy on the shared port. A directory stays with its kind."`
	Demo  bool   `default:"true" negatable:"" help:"Give an empty directory ten accounts and eight groups to try things with."`
}

// Partitions of the topics that up makes: enough for one machine.
const (
	upStoragePartitions = 8
	upPartitions        = 4
)

// listen is the address of an edge, counted from 1, or of all of them at 0.
func (c *upCommand) listen(i int) string { return fmt.Sprintf("127.0.0.1:%d", c.Port+i) }

// cluster is a running `sponge up`.
type cluster struct {
	cmd    *upCommand
	dir    string
	log    *slog.Logger
	kafka  *local.Kafka
	mysql  *local.MariaDB
	redis  *local.Redis
	front  *local.Balancer               // on the shared port; nil where the edges listen there themselves
	stops  []func(context.Context) error // in the order of starting
	secret string
	seal   string
}

// Run starts everything, prints what to type next, and stops everything in
// order when it is told to.
func (c *upCommand) Run(ctx context.Context) error {
	if c.Edges < 1 || c.Edges > 50 {
		return fmt.Errorf("--edges: %d is not from 1 to 50", c.Edges)
	}
	if err := c.checkPorts(); err != nil {
		return err
	}
	var t telemetry.Config
	if err := errors.Join(env.Parse(&t), t.Validate()); err != nil {
		return err
	}
	if os.Getenv("SPONGE_LOG_LEVEL") == "" {
		t.LogLevel = slog.LevelWarn // the terminal is for people
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	up := &cluster{cmd: c, dir: dir, log: t.Logger(os.Stderr)}
	err = up.start(ctx)
	if err == nil {
		err = up.serve(ctx, &t)
	}
	return errors.Join(err, up.stop())
}

// checkPorts finds a port in use before anything is started.
func (c *upCommand) checkPorts() error {
	type use struct {
		what string
		port int
	}
	wanted := []use{{"--port", c.Port}}
	for i := range c.Edges {
		wanted = append(wanted, use{fmt.Sprintf("edge %d, --port + %d", i+1, i+1), c.Port + i + 1})
	}
	if c.Web != 0 {
		wanted = append(wanted, use{"--web", c.Web})
	}
	var errs []error
	for _, u := range wanted {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", u.port))
		if err != nil {
			errs = append(errs, fmt.Errorf("port %d (%s) cannot be used, choose others with --port and --web: %w", u.port, u.what, err))
			continue
		}
		l.Close()
	}
	return errors.Join(errs...)
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "· "+format+"\n", args...) }

// start brings up the services, the keys, the schema and the topics.
func (u *cluster) start(ctx context.Context) (err error) {
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	if err := u.loadKeys(); err != nil {
		return err
	}
	if u.mysql, err = local.StartMariaDB(ctx, u.options("mysql")); err != nil {
		return err
	}
	u.stops = append(u.stops, u.mysql.Stop)
	if u.redis, err = local.StartRedis(ctx, u.options("redis")); err != nil {
		return err
	}
	u.stops = append(u.stops, u.redis.Stop)
	if u.kafka, err = local.StartKafka(ctx, u.options("kafka"), local.KafkaConfig{Real: u.cmd.Kafka == "real", Lasting: true}); err != nil {
		return err
	}
	u.stops = append(u.stops, u.kafka.Stop)
	cfg := migrateConfig{Kafka: []string{u.kafka.Addr()}, MySQL: u.mysql.DSN("sponge"),
		StoragePartitions: upStoragePartitions, Partitions: upPartitions, Replication: 1}
	if _, err := migrate(ctx, &cfg, u.log); err != nil {
		return err
	}
	return u.writeEnv()
}

func (u *cluster) options(name string) local.Options {
	return local.Options{Dir: filepath.Join(u.dir, name), Log: u.log, Progress: func(line string) { say("%s", line) }}
}

// loadKeys reads the cluster's keys from its directory, or makes them.
func (u *cluster) loadKeys() error {
	file := filepath.Join(u.dir, "worker.key")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(keys.Generate())
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	u.secret = strings.TrimSpace(string(text))
	key, err := keys.ParseWorkerKey(u.secret)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	u.seal = key.Seal().String()
	return nil
}

// writeEnv leaves the addresses for other commands: a further edge or worker
// can join, and the database can be looked at.
func (u *cluster) writeEnv() error {
	text := fmt.Sprintf("SPONGE_KAFKA='%s'\nSPONGE_REDIS='%s'\nSPONGE_MYSQL='%s'\nSPONGE_SEAL_KEY='%s'\nSPONGE_WORKER_KEY='%s'\n",
		u.kafka.Addr(), u.redis.URL(), u.mysql.DSN("sponge"), u.seal, u.secret)
	if err := os.WriteFile(filepath.Join(u.dir, "env"), []byte(text), 0o600); err != nil {
		return err
	}
	return u.announceEnv()
}

// announceEnv says for sponge audit where the cluster runs, for as long as it
// does. The file is there whole or not at all.
func (u *cluster) announceEnv() error {
	file := filepath.Join(u.dir, clusterEnv)
	text := fmt.Sprintf("SPONGE_KAFKA=%s\nSPONGE_REDIS=%s\nSPONGE_MYSQL=%s\nSPONGE_NAMESPACE=\nSPONGE_WORKER_KEY=%s\nSPONGE_SEAL_KEY=%s\n",
		u.kafka.Addr(), u.redis.URL(), u.mysql.DSN("sponge"), u.secret, u.seal)
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	u.stops = append(u.stops, func(context.Context) error { return os.Remove(file) })
	return nil
}

// serve runs the roles until ctx ends. Then the balancer takes nobody in any
// more, the edges let go of their clients, and workers stop when they have.
func (u *cluster) serve(ctx context.Context, t *telemetry.Config) error {
	tuneGC()
	registry := telemetry.NewRegistry()
	worker, err := u.newWorker(registry)
	if err != nil {
		return err
	}
	edges, err := u.newEdges(registry)
	if err != nil {
		return errors.Join(err, worker.Close())
	}
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	before, stopBefore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBefore()
	behind, stopBehind := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBehind()

	var back, front errgroup.Group
	back.Go(func() error { return watch(behind, "MariaDB", u.mysql, fail) })
	back.Go(func() error { return watch(behind, "Redis", u.redis, fail) })
	back.Go(func() error { return watch(behind, "Kafka", u.kafka, fail) })
	back.Go(func() error { return reported(worker.Run(behind), fail) })
	for _, e := range edges {
		front.Go(func() error { return reported(e.Run(before), fail) })
	}
	ready := make(chan struct{})
	front.Go(func() error { return reported(t.Serve(before, registry, ready, nil), fail) })
	if u.cmd.Web != 0 {
		front.Go(func() error { return reported(u.serveWeb(before, edges), fail) })
	}
	err = u.untilReady(failed, worker, edges)
	if err == nil {
		if u.front != nil {
			front.Go(func() error { return watch(before, "HAProxy", u.front, fail) })
		}
		close(ready)
		u.welcome()
		<-failed.Done()
	}
	fail(err)
	say("stopping: connections are told, frames in flight are answered")
	// Before the edges close their listeners: it would take them for dead.
	errFront := u.drainFront()
	stopBefore()
	errFront = errors.Join(errFront, front.Wait())
	u.emptyFront()
	stopBehind()
	return errors.Join(err, errFront, back.Wait())
}

// reported passes an error on to fail, so that one role's end ends all.
func reported(err error, fail context.CancelCauseFunc) error {
	if err != nil {
		fail(err)
	}
	return err
}

func (u *cluster) newWorker(registry prometheus.Registerer) (*workers.Worker, error) {
	cfg, err := env.ParseAsWithOptions[workers.Config](env.Options{Environment: map[string]string{
		"SPONGE_KAFKA": u.kafka.Addr(), "SPONGE_REDIS": u.redis.URL(), "SPONGE_MYSQL": u.mysql.DSN("sponge"), "SPONGE_WORKER_KEY": u.secret,
		"SPONGE_ARGON2_MEMORY": os.Getenv("SPONGE_ARGON2_MEMORY"), "SPONGE_ARGON2_ITERATIONS": os.Getenv("SPONGE_ARGON2_ITERATIONS"),
	}})
	if err := errors.Join(err, cfg.Validate()); err != nil {
		return nil, err
	}
	return workers.New(cfg, handlers(), workers.Deps{Log: u.log, Metrics: registry})
}

func (u *cluster) newEdges(registry prometheus.Registerer) ([]*edge.Edge, error) {
	var edges []*edge.Edge
	for i := range u.cmd.Edges {
		node := fmt.Sprintf("edge%d", i+1)
		settings := map[string]string{
			"SPONGE_KAFKA": u.kafka.Addr(), "SPONGE_REDIS": u.redis.URL(), "SPONGE_SEAL_KEY": u.seal,
			"SPONGE_EDGE_NODE": node, "SPONGE_EDGE_LISTEN": u.cmd.listen(i + 1),
		}
		if !u.cmd.balanced() {
			settings["SPONGE_EDGE_SHARED_LISTEN"] = u.cmd.listen(0)
		}
		cfg, err := env.ParseAsWithOptions[edge.Config](env.Options{Environment: settings})
		if err := errors.Join(err, cfg.Validate()); err != nil {
			return nil, err
		}
		e, err := edge.New(cfg, edge.Deps{Log: u.log.With("node", node),
			Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"node": node}, registry)})
		if err != nil {
			return nil, err
		}
		edges = append(edges, e)
	}
	return edges, nil
}

// watch ends everything when a service has died by itself.
func watch(ctx context.Context, name string, service interface {
	Done() <-chan struct{}
	Err() error
}, fail context.CancelCauseFunc) error {
	select {
	case <-ctx.Done():
		return nil
	case <-service.Done():
	}
	err := service.Err()
	if err == nil { // it was told to
		return nil
	}
	err = fmt.Errorf("%s died: %w", name, err)
	fail(err)
	return err
}

// serveWeb serves the web client, and spreads WebSockets over the edges.
func (u *cluster) serveWeb(ctx context.Context, edges []*edge.Edge) error {
	var turn atomic.Uint32
	mux := http.NewServeMux()
	mux.Handle("/", webclient.Handler())
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		edges[int(turn.Add(1))%len(edges)].HandleWebSocket(w, r)
	})
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", u.cmd.Web))
	if err != nil {
		return fmt.Errorf("--web: %w", err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { listener.Close() }) // WebSockets are the edges' to drain
	defer stop()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve web: %w", err)
	}
	return nil
}

func (u *cluster) untilReady(ctx context.Context, worker *workers.Worker, edges []*edge.Edge) error {
	waits := []<-chan struct{}{worker.Ready()}
	for _, e := range edges {
		waits = append(waits, e.Ready())
	}
	for _, ready := range waits {
		select {
		case <-ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	// Now, and not before: it believes in backends until it has tried them.
	if err := u.startFront(ctx, edges); err != nil {
		return err
	}
	if !u.cmd.Demo {
		return nil
	}
	return u.makeDemo(ctx)
}

func (u *cluster) welcome() {
	ports := make([]string, u.cmd.Edges)
	for i := range ports {
		ports[i] = strconv.Itoa(u.cmd.Port + i + 1)
	}
	fmt.Printf("ready: edges on %s, all of them on %d, data in %s\n", strings.Join(ports, ", "), u.cmd.Port, u.cmd.Dir)
	if u.cmd.Web != 0 {
		fmt.Printf("\nIn a browser:  http://127.0.0.1:%d\n", u.cmd.Web)
	}
	if u.cmd.Demo {
		fmt.Printf("\nIn a terminal:  nc 127.0.0.1 %d\n", u.cmd.Port+1)
		fmt.Println(`then type a frame a line (accounts 1 to 10, the password is the number):
  {"msgType":1,"USERID":6,"password":"6"}
  {"msgType":4,"FROMID":6,"TOID":8,"msg":"你好 8号"}`)
	}
	fmt.Println("\nCtrl-C stops everything; the data stays.")
}

// stop stops the services, the last one first.
func (u *cluster) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var errs []error
	for i := len(u.stops) - 1; i >= 0; i-- {
		errs = append(errs, u.stops[i](ctx))
	}
	return errors.Join(errs...)
}
