package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"sponge/infra/local"
)

var sharedRoles = sync.OnceValues(func() (*cluster, error) {
	c, err := startRoles("main", 3,
		[]string{"login", "friend"}, []string{"group"}, []string{"storage"}, []string{"storage"})
	if err == nil {
		suite.mu.Lock()
		defer suite.mu.Unlock()
		suite.verified = append(suite.verified, c.roles)
	}
	return c, err
})

// backing is what the roles are given addresses of; each set of roles has its own
// namespace and database in it.
type backing struct {
	store local.Store
	redis *local.Redis
	kafka *local.Kafka
}

var services = sync.OnceValues(func() (*backing, error) {
	ctx := context.Background()
	dir := filepath.Join(suite.dir, "services")
	at := func(name string) local.Options { return local.Options{Dir: filepath.Join(dir, name)} }
	b := new(backing)
	var err error
	stop := func(f func(context.Context) error) {
		suite.mu.Lock()
		defer suite.mu.Unlock()
		suite.closers = append(suite.closers, func() error { return f(ctx) })
	}
	if b.store, err = local.StartTestStore(ctx, at("store")); err != nil {
		return nil, err
	}
	stop(b.store.Stop)
	if b.redis, err = local.StartRedis(ctx, at("redis")); err != nil {
		return nil, err
	}
	stop(b.redis.Stop)
	if b.kafka, err = local.StartTestKafka(ctx, at("kafka")); err != nil {
		return nil, err
	}
	stop(b.kafka.Stop)
	return b, nil
})

// roles are the processes of one deployment of separate roles.
type roles struct {
	name    string
	env     []string // what every role gets
	edgeKey string   // SPONGE_SEAL_KEY=…: edges only
	workKey string   // SPONGE_WORKER_KEY=…: workers only
	workers []*process
	all     []*process // workers and the edges it began with
}

// startRoles migrates a database of its own, starts the edges and one worker for
// each list of handler groups, and waits until all of them serve.
func startRoles(name string, edges int, workers ...[]string) (*cluster, error) {
	r, err := newRoles(name)
	if err != nil {
		return nil, err
	}
	if _, errs, err := runToEnd(r.env, "migrate"); err != nil {
		return nil, fmt.Errorf("sponge migrate: %w\n%s", err, errs)
	}
	first, err := freePorts(2 + edges + edges + len(workers))
	if err != nil {
		return nil, err
	}
	c := &cluster{name: "roles", roles: r, shared: loopback(first), web: webURL(loopback(first + 1))}
	metrics := func() string {
		c.metrics = append(c.metrics, loopback(first+2+edges+len(c.metrics)))
		return "SPONGE_METRICS_LISTEN=" + c.metrics[len(c.metrics)-1]
	}
	for i, groups := range workers {
		p, err := launch(fmt.Sprintf("%s-worker%d-%s", name, i+1, strings.Join(groups, "+")),
			append(slices.Clone(r.env), r.workKey, metrics()), append([]string{"worker"}, groups...)...)
		if err != nil {
			return nil, err
		}
		r.workers = append(r.workers, p)
		r.all = append(r.all, p)
	}
	for i := range edges {
		addr := loopback(first + 2 + i)
		listen, web := addr, ""
		if i == 0 { // one edge has it all: a second address and a web port
			listen, web = addr+","+c.shared, loopback(first+1)
		}
		p, err := r.launchEdge(fmt.Sprintf("e%d", i+1), listen, "SPONGE_EDGE_WEB_LISTEN="+web, metrics())
		if err != nil {
			return nil, err
		}
		c.edges = append(c.edges, addr)
		r.all = append(r.all, p)
	}
	var errs []error
	for _, p := range r.all {
		errs = append(errs, p.waitReady())
	}
	return c, errors.Join(errs...)
}

func newRoles(name string) (*roles, error) {
	b, err := services()
	if err != nil {
		return nil, err
	}
	database := "e2e_" + name
	db, err := sql.Open("mysql", b.store.DSN("mysql"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + database + " CHARACTER SET utf8mb4"); err != nil {
		return nil, err
	}
	r := &roles{name: name, env: []string{
		"SPONGE_KAFKA=" + b.kafka.Addr(),
		"SPONGE_REDIS=" + b.redis.URL(),
		"SPONGE_MYSQL=" + b.store.DSN(database),
		"SPONGE_NAMESPACE=" + namespace(name),
		// Nothing on a default port; a later value for the same variable counts.
		"SPONGE_EDGE_WEB_LISTEN=",
		"SPONGE_METRICS_LISTEN=",
	}}
	keys, errs, err := runToEnd(nil, "keys")
	if err != nil {
		return nil, fmt.Errorf("sponge keys: %w\n%s", err, errs)
	}
	for line := range strings.Lines(keys) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "SPONGE_WORKER_KEY="):
			r.workKey = line
		case strings.HasPrefix(line, "SPONGE_SEAL_KEY="):
			r.edgeKey = line
		}
	}
	if r.workKey == "" || r.edgeKey == "" {
		return nil, errors.New("sponge keys did not print both SPONGE_WORKER_KEY=… and SPONGE_SEAL_KEY=…")
	}
	return r, nil
}

// launchEdge starts one edge without waiting for it.
func (r *roles) launchEdge(node, listen string, env ...string) (*process, error) {
	all := append(slices.Clone(r.env), r.edgeKey, "SPONGE_EDGE_NODE="+node, "SPONGE_EDGE_LISTEN="+listen)
	return launch(r.name+"-edge-"+node, append(all, env...), "edge")
}

// startEdge adds an edge with settings of its own to the deployment, waits until it
// serves, and returns its address. It is stopped at the end of the test.
func (r *roles) startEdge(t *testing.T, node string, env ...string) (*process, string) {
	t.Helper()
	port, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.launchEdge(node, loopback(port), env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, p) })
	if err := p.waitReady(); err != nil {
		t.Fatal(err)
	}
	return p, loopback(port)
}

// finish stops a process that may have ended already.
func finish(t *testing.T, p *process) {
	if err := p.finish(); err != nil {
		t.Error(err)
	}
}

// namespace is what the names of a deployment's topics begin with.
func namespace(deployment string) string { return "e2e-" + deployment + "-" }
