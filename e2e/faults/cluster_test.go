//go:build faults

package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/go-sql-driver/mysql"

	"sponge/infra/local"
)

// What a cluster is made of: enough edges for clients to move to, and two
// workers of each handler group, so that one can take over from the other.
const (
	numEdges          = 3
	perGroup          = 2
	storagePartitions = 16
	otherPartitions   = 4
)

// The names of links.
const (
	linkClients = "clients" // of an edge
	linkKafka   = "kafka"
	linkRedis   = "redis"
	linkMySQL   = "mysql" // of a worker
)

func groups() []string { return []string{"login", "friend", "group", "storage"} }

// cluster is a running Sponge.
type cluster struct {
	dir    string
	env    []string // of every role
	mysql  *local.MariaDB
	redis  *local.Redis
	kafka  *local.Kafka
	kconf  local.KafkaConfig
	db     *sql.DB
	edges  []*proc
	worker map[string][]*proc // by group
	stores string             // MySQL's directory
}

// clusterOptions are what differs between clusters.
type clusterOptions struct {
	binary string
	stores string // MySQL's directory, empty for one within the cluster's
	env    []string
}

// startCluster starts services, links, edges and workers, and waits until all
// of them serve.
func startCluster(ctx context.Context, server *toxiproxy.ApiServer, dir string, o clusterOptions) (*cluster, error) {
	c := &cluster{dir: dir, worker: map[string][]*proc{}, stores: o.stores}
	if c.stores == "" {
		c.stores = filepath.Join(dir, "mysql")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	procs := c.lay(o.binary)
	if err := c.startServices(ctx, len(procs)); err != nil {
		return c, err
	}
	if err := c.migrate(ctx, o.binary); err != nil {
		return c, err
	}
	for i, p := range procs {
		if err := c.connect(server, p, i); err != nil {
			return c, err
		}
		p.env = append(p.env, o.env...)
		if err := p.start(); err != nil {
			return c, err
		}
	}
	for _, p := range procs {
		if err := p.waitReady(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// lay lists the processes.
func (c *cluster) lay(binary string) (all []*proc) {
	add := func(name string, args ...string) *proc {
		p := &proc{name: name, binary: binary, args: args, log: filepath.Join(c.dir, name+".log"), links: map[string]*link{}}
		all = append(all, p)
		return p
	}
	for _, g := range groups() {
		for i := range perGroup {
			c.worker[g] = append(c.worker[g], add(fmt.Sprintf("%s%d", g, i+1), "worker", g))
		}
	}
	for i := range numEdges {
		c.edges = append(c.edges, add(fmt.Sprintf("edge%d", i+1), "edge"))
	}
	return all
}

// procs are all processes.
func (c *cluster) procs() []*proc { return append(c.workers(), c.edges...) }

// ended tells which services have ended by themselves, and why.
func (c *cluster) ended() (why []string) {
	for _, s := range []interface {
		Done() <-chan struct{}
		Err() error
	}{c.mysql, c.redis, c.kafka} {
		select {
		case <-s.Done():
			why = append(why, fmt.Sprint(s.Err()))
		default:
		}
	}
	return why
}

func (c *cluster) workers() (all []*proc) {
	for _, g := range groups() {
		all = append(all, c.worker[g]...)
	}
	return all
}

func (c *cluster) startServices(ctx context.Context, procs int) (err error) {
	if err := c.startMySQL(ctx); err != nil {
		return err
	}
	if err := c.startRedis(ctx); err != nil {
		return err
	}
	ports, err := takePorts(2*procs + 2)
	if err != nil {
		return err
	}
	c.kconf = local.KafkaConfig{Real: true, Port: ports[2*procs], ControllerPort: ports[2*procs+1]}
	for i := range procs {
		c.kconf.Fronts = append(c.kconf.Fronts, local.KafkaFront{Addr: loopback(ports[i]), Port: ports[procs+i]})
	}
	return c.startKafka(ctx)
}

func (c *cluster) startMySQL(ctx context.Context) error {
	m, err := local.StartMariaDB(ctx, c.options(c.stores))
	if err != nil {
		return err
	}
	c.mysql = m
	if c.db != nil {
		return nil
	}
	cfg, err := mysql.ParseDSN(c.mysql.DSN("sponge"))
	if err != nil {
		return err
	}
	cfg.Logger = &mysql.NopLogger{} // it would print what is meant to fail
	connector, err := mysql.NewConnector(cfg)
	if err == nil {
		c.db = sql.OpenDB(connector)
	}
	return err
}

func (c *cluster) startRedis(ctx context.Context) (err error) {
	c.redis, err = local.StartRedis(ctx, c.options(filepath.Join(c.dir, "redis")))
	return err
}

func (c *cluster) startKafka(ctx context.Context) error {
	k, err := local.StartKafka(ctx, c.options(filepath.Join(c.dir, "kafka")), c.kconf)
	if err == nil {
		c.kafka = k
	}
	return err
}

func (c *cluster) options(dir string) local.Options {
	return local.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}
}

func (c *cluster) migrate(ctx context.Context, binary string) error {
	c.env = append(environment(), "SPONGE_ARGON2_MEMORY=64", "SPONGE_ARGON2_ITERATIONS=1")
	keys, err := output(exec.CommandContext(ctx, binary, "keys"), c.env)
	if err != nil {
		return err
	}
	c.env = append(c.env, strings.Fields(keys)...)
	_, err = output(exec.CommandContext(ctx, binary, "migrate"), append(slices.Clone(c.env),
		"SPONGE_KAFKA="+c.kafka.Addr(), "SPONGE_MYSQL="+c.mysql.DSN("sponge"), "SPONGE_REPLICATION=1",
		"SPONGE_PARTITIONS_STORAGE="+strconv.Itoa(storagePartitions), "SPONGE_PARTITIONS="+strconv.Itoa(otherPartitions)))
	return err
}

// connect makes a process's links, and its environment of them.
func (c *cluster) connect(server *toxiproxy.ApiServer, p *proc, i int) (err error) {
	ports, err := takePorts(2)
	if err != nil {
		return err
	}
	p.metrics = loopback(ports[0])
	front := c.kconf.Fronts[i]
	_, port, _ := net.SplitHostPort(front.Addr)
	n, _ := strconv.Atoi(port)
	if p.links[linkKafka], err = connect(server, p.name+linkKafka, n, "tcp", loopback(front.Port)); err != nil {
		return err
	}
	if p.links[linkRedis], err = connect(server, p.name+linkRedis, 0, "unix", c.redis.Socket()); err != nil {
		return err
	}
	p.env = append(slices.Clone(c.env),
		"SPONGE_KAFKA="+front.Addr,
		"SPONGE_REDIS=redis://"+p.links[linkRedis].addr+"/0",
		"SPONGE_METRICS_LISTEN="+p.metrics)
	if p.args[0] == "edge" {
		p.listens = loopback(ports[1])
		p.env = append(p.env, "SPONGE_EDGE_NODE="+p.name, "SPONGE_EDGE_LISTEN="+p.listens, "SPONGE_EDGE_MAX_OUTBOUND=2621440")
		p.links[linkClients], err = connect(server, p.name+linkClients, 0, "tcp", loopback(ports[1]))
		return err
	}
	if p.links[linkMySQL], err = connect(server, p.name+linkMySQL, 0, "unix", c.mysql.Socket()); err != nil {
		return err
	}
	p.env = append(p.env, "SPONGE_MYSQL=root@tcp("+p.links[linkMySQL].addr+")/sponge")
	return nil
}

// stop ends everything: a clean end of every process is part of what is
// tested.
func (c *cluster) stop() error {
	var errs []error
	var mu sync.Mutex
	end := func(procs []*proc) {
		var wg sync.WaitGroup
		for _, p := range procs {
			if p.cmd == nil || !p.alive() {
				continue
			}
			wg.Go(func() {
				err := errors.Join(p.stop(), p.crashes())
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			})
		}
		wg.Wait()
	}
	end(c.edges)
	end(c.workers())
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if c.db != nil {
		errs = append(errs, c.db.Close())
	}
	if c.kafka != nil {
		errs = append(errs, c.kafka.Stop(ctx))
	}
	if c.redis != nil {
		errs = append(errs, c.redis.Stop(ctx))
	}
	if c.mysql != nil {
		errs = append(errs, c.mysql.Stop(ctx))
	}
	return errors.Join(errs...)
}

// environment is the tests' own without Sponge's variables.
func environment() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SPONGE_") {
			env = append(env, v)
		}
	}
	return env
}

func output(cmd *exec.Cmd, env []string) (string, error) {
	var stderr strings.Builder
	cmd.Env, cmd.Stderr, cmd.WaitDelay = env, &stderr, time.Second
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%v: %w\n%s", cmd.Args, err, stderr.String())
	}
	return string(out), nil
}

// taken are the ports that clusters of this process use, now or after a
// restart.
var taken struct {
	sync.Mutex
	ports map[int]bool
}

// takePorts finds ports that nobody has, and nobody else will get.
func takePorts(n int) ([]int, error) {
	taken.Lock()
	defer taken.Unlock()
	for {
		ports, err := local.Ports(n)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(ports, func(p int) bool { return taken.ports[p] }) {
			continue
		}
		if taken.ports == nil {
			taken.ports = map[int]bool{}
		}
		for _, p := range ports {
			taken.ports[p] = true
		}
		return ports, nil
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
