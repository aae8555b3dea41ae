package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sponge/infra/local"
)

// As `sponge up` makes them.
const (
	storagePartitions = 8
	otherPartitions   = 4
)

// services are what all builds share, each with a database and a namespace of
// its own. They run from the first case to the last: a broker that has just
// been started compiles for minutes.
type services struct {
	mysql *local.MariaDB
	redis *local.Redis
	kafka *local.Kafka
}

// start starts them. What was started before an error is stopped by stop.
func (s *services) start(ctx context.Context, dir string) (err error) {
	o := func(name string) local.Options { return local.Options{Dir: filepath.Join(dir, name)} }
	if s.mysql, err = local.StartMariaDB(ctx, o("mysql")); err != nil {
		return err
	}
	if s.redis, err = local.StartRedis(ctx, o("redis")); err != nil {
		return err
	}
	s.kafka, err = local.StartKafka(ctx, o("kafka"), local.KafkaConfig{Real: true, Lasting: true})
	return err
}

func (s *services) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	var errs []error
	if s.kafka != nil {
		errs = append(errs, s.kafka.Stop(ctx))
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Stop(ctx))
	}
	if s.mysql != nil {
		errs = append(errs, s.mysql.Stop(ctx))
	}
	return errors.Join(errs...)
}

// cluster is a build's roles, which may run or not. What it has stored stays.
type cluster struct {
	*services
	build build
	dir   string
	env   []string // SPONGE_* variables of every role

	workers []*role
	edges   []edge // the first is for all cases but those that want fresh ones
	started int    // edges ever
	hashing bool   // as in production
}

// edge is where `sponge bench` connects to.
type edge struct {
	*role
	addr string
}

func groups() []string { return []string{"login", "friend", "group", "storage"} }

// watched are the names of processes, in the report's order.
func watched() []string {
	return slices.Concat([]string{"client", "edge"}, groups(), []string{"broker", "store", "redis"})
}

// newCluster makes the build's database and topics. name is for these.
func newCluster(ctx context.Context, s *services, dir, name string, b build) (*cluster, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keys, err := output(ctx, "", b.binary, "keys")
	if err != nil {
		return nil, err
	}
	c := &cluster{services: s, build: b, dir: dir}
	c.env = slices.Concat(environment(), strings.Fields(keys), []string{"SPONGE_NAMESPACE=" + name + "-",
		"SPONGE_KAFKA=" + s.kafka.Addr(), "SPONGE_REDIS=" + s.redis.URL(), "SPONGE_MYSQL=" + s.mysql.DSN(name)})
	if err := c.migrate(ctx); err != nil || !b.grown {
		return c, err
	}
	say("filling a store")
	fill := exec.CommandContext(ctx, b.binary, "bench", "load", "--json")
	fill.Env, fill.Stderr = c.env, os.Stderr
	return c, fill.Run()
}

func (c *cluster) migrate(ctx context.Context) error {
	migrate, err := startRole(c.dir, "migrate", c.build.binary, append(slices.Clone(c.env), "SPONGE_REPLICATION=1",
		"SPONGE_PARTITIONS_STORAGE="+strconv.Itoa(storagePartitions), "SPONGE_PARTITIONS="+strconv.Itoa(otherPartitions)), "migrate")
	if err != nil {
		return err
	}
	if err := migrate.waitReady(ctx); err != nil {
		return err
	}
	if <-migrate.done; migrate.err != nil {
		return fmt.Errorf("migrate: %w\n%s", migrate.err, tail(migrate.log))
	}
	return nil
}

func (c *cluster) running() bool { return len(c.workers) > 0 }

// start starts all roles and waits until they serve. What was started before
// an error is stopped by stop.
func (c *cluster) start(ctx context.Context) error {
	for _, g := range groups() {
		if err := c.startWorker(g); err != nil {
			return err
		}
	}
	for _, w := range c.workers {
		if err := w.waitReady(ctx); err != nil {
			return err
		}
	}
	return c.startEdges(ctx, 1)
}

// startWorker starts a group's worker. Accounts are made by the thousand: but
// where logins are measured, passwords are hashed as cheaply as can be.
func (c *cluster) startWorker(group string) error {
	env := slices.Clone(c.env)
	if !c.hashing {
		env = append(env, "SPONGE_ARGON2_MEMORY=64", "SPONGE_ARGON2_ITERATIONS=1")
	}
	w, err := startRole(c.dir, group, c.build.binary, env, "worker", group)
	if err == nil {
		c.workers = append(c.workers, w)
	}
	return err
}

// hash makes the worker of logins hash as in production, or not.
func (c *cluster) hash(ctx context.Context, really bool) error {
	if c.hashing == really {
		return nil
	}
	c.hashing = really
	i := slices.IndexFunc(c.workers, func(w *role) bool { return w.name == groups()[0] })
	old := c.workers[i]
	c.workers = slices.Delete(c.workers, i, i+1)
	if err := old.stop(); err != nil {
		return err
	}
	if err := c.startWorker(old.name); err != nil {
		return err
	}
	return c.workers[len(c.workers)-1].waitReady(ctx)
}

// startEdges starts n edges more.
func (c *cluster) startEdges(ctx context.Context, n int) error {
	ports, err := local.Ports(n)
	if err != nil {
		return err
	}
	for _, port := range ports {
		c.started++
		name, addr := "edge"+strconv.Itoa(c.started), net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		r, err := startRole(c.dir, name, c.build.binary,
			append(slices.Clone(c.env), "SPONGE_EDGE_NODE="+name, "SPONGE_EDGE_LISTEN="+addr), "edge")
		if err != nil {
			return err
		}
		c.edges = append(c.edges, edge{r, addr})
	}
	for _, e := range c.edges {
		if err := e.waitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stopFresh stops all edges but the first.
func (c *cluster) stopFresh() error {
	var fresh []*role
	for _, e := range c.edges[1:] {
		fresh = append(fresh, e.role)
	}
	c.edges = c.edges[:1]
	return stopAll(fresh)
}

// dead is an error if any process has ended by itself.
func (c *cluster) dead() error {
	errs := []error{c.mysql.Err(), c.redis.Err(), c.kafka.Err()}
	for _, r := range c.roles() {
		errs = append(errs, r.dead())
	}
	return errors.Join(errs...)
}

func (c *cluster) roles() []*role {
	all := slices.Clone(c.workers)
	for _, e := range c.edges {
		all = append(all, e.role)
	}
	return all
}

// processes are those to watch; of the edges, those from the one given.
func (c *cluster) processes(firstEdge int) []*process {
	all := []*process{{name: "broker", pid: c.kafka.PID()}, {name: "store", pid: c.mysql.PID()}, {name: "redis", pid: c.redis.PID()}}
	for _, w := range c.workers {
		all = append(all, &process{name: w.name, pid: w.cmd.Process.Pid})
	}
	for _, e := range c.edges[firstEdge:] {
		all = append(all, &process{name: "edge", pid: e.cmd.Process.Pid})
	}
	return all
}

// calm waits until the cluster has hardly anything to do: after a load, a
// store still writes pages and a JVM collects. It does not wait for long.
func (c *cluster) calm(ctx context.Context) error {
	const (
		look    = time.Second
		longest = 20   // looks
		hardly  = 0.15 // cores; a cluster that nobody uses takes 0.1
	)
	all := c.processes(0)
	for range longest {
		from := time.Now()
		for _, p := range all {
			p.look()
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, p := range all {
			p.look()
		}
		cores, _, err := between(all, from, time.Now())
		if err != nil {
			return err
		}
		sum := 0.0
		for _, x := range cores {
			sum += x
		}
		if sum < hardly {
			return nil
		}
	}
	return nil
}

// stop stops the roles that run, clients' side first. What is stored stays.
func (c *cluster) stop() error {
	var edges []*role
	for _, e := range c.edges {
		edges = append(edges, e.role)
	}
	err := errors.Join(stopAll(edges), stopAll(c.workers))
	c.edges, c.workers, c.hashing = nil, nil, false
	if err != nil {
		return fmt.Errorf("stop %s: %w", c.build.label, err)
	}
	return nil
}

// environment is this process's without Sponge's variables.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SPONGE_") })
}
