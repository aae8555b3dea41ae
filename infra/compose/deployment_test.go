package compose_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	_ "github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"sponge/infra/local"
)

// deployment is what compose.yml describes, as processes of this machine: each
// container has a loopback address, and the same ports in each.
type deployment struct {
	project *types.Project
	secrets string // a folder
	names   *names
	kafka   string // host:port
	chat    int    // in place of 8000 in an edge
	metrics int    // in place of 9100
	front   string // in place of 8000 of the balancer, host:port
	status  string // in place of 8404, host:port
	running map[string][]*container
	hosts   byte // addresses that were given away
}

// newDeployment starts the services beside Sponge, and makes the secrets.
func newDeployment(t *testing.T) *deployment {
	t.Helper()
	ports, err := local.Ports(4)
	if err != nil {
		t.Fatal(err)
	}
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	d := &deployment{project: load(t), secrets: filepath.Join(t.TempDir(), "secrets"), names: newNames(t),
		chat: ports[0], metrics: ports[1], front: at(ports[2]), status: at(ports[3]), running: map[string][]*container{}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	options := func(name string) local.Options { return local.Options{Dir: filepath.Join(t.TempDir(), name)} }
	store, err := local.StartTestStore(ctx, options("store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Kill)
	channels, err := local.StartRedis(ctx, options("redis"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(channels.Kill)
	kafka, err := local.StartTestKafka(ctx, options("kafka"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Kill)
	d.kafka = kafka.Addr()

	s := d.project.Services["secrets"]
	args := slices.Clone([]string(s.Command))
	for i, a := range args {
		args[i] = strings.Replace(a, s.Volumes[0].Target, d.secrets, 1)
	}
	if err := run(ctx, "", nil, sponge(t), args...); err != nil {
		t.Fatal(err)
	}
	d.move(t, "mysql_dsn", "tcp(mysql:3306)", "unix("+socket(store.DSN(""))+")")
	d.move(t, "redis_url", "redis:6379", newRelay(t, socket(channels.URL())))
	d.makeUsers(t, store, channels)
	return d
}

// socket is the unix socket that a URL or a DSN names.
func socket(address string) string { return regexp.MustCompile(`/[^)?]+\.sock`).FindString(address) }

// move gives a service another address in a secret.
func (d *deployment) move(t *testing.T, secret, from, to string) {
	t.Helper()
	file := filepath.Join(d.secrets, secret)
	text, err := os.ReadFile(file)
	if err != nil || strings.Count(string(text), from) != 1 {
		t.Fatalf("%s is not in %s once: %v", from, secret, err)
	}
	if err := os.Remove(file); err != nil { // it cannot be written to
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), from, to, 1)), 0o400); err != nil {
		t.Fatal(err)
	}
}

// makeUsers does what the images of MySQL and Redis do with their secrets.
func (d *deployment) makeUsers(t *testing.T, store local.Store, channels *local.Redis) {
	t.Helper()
	my := d.project.Services["mysql"].Environment
	db, err := sql.Open("mysql", store.DSN("mysql"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	user := fmt.Sprintf("'%s'@'localhost'", *my["MYSQL_USER"])
	password, err := os.ReadFile(d.inside(*my["MYSQL_PASSWORD_FILE"], ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE DATABASE " + *my["MYSQL_DATABASE"],
		"CREATE USER " + user + " IDENTIFIED BY '" + string(password) + "'",
		"GRANT ALL ON " + *my["MYSQL_DATABASE"] + ".* TO " + user,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	link, err := redis.ParseURL(channels.URL())
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(filepath.Join(d.secrets, "redis_conf"))
	if err != nil {
		t.Fatal(err)
	}
	name, value, _ := strings.Cut(string(conf), " ")
	client := redis.NewClient(link)
	defer client.Close()
	if err := client.ConfigSet(t.Context(), name, value).Err(); err != nil {
		t.Fatal(err)
	}
}

// inside is a value of compose.yml in a container's place.
func (d *deployment) inside(value, ip string) string {
	switch value {
	case ":8000":
		return net.JoinHostPort(ip, strconv.Itoa(d.chat))
	case ":9100":
		return net.JoinHostPort(ip, strconv.Itoa(d.metrics))
	}
	value = strings.ReplaceAll(value, "kafka:9092", d.kafka)
	return strings.ReplaceAll(value, "/run/secrets", d.secrets)
}

// env is the environment of a service's container.
func (d *deployment) env(service, ip string) []string {
	var env []string
	for name, value := range d.project.Services[service].Environment {
		env = append(env, name+"="+d.inside(*value, ip))
	}
	return env
}

// scale starts as many more containers of a role as it lacks, and waits until
// their health checks pass.
func (d *deployment) scale(t *testing.T, service string, n int) {
	t.Helper()
	s := d.project.Services[service]
	var fresh []*container
	for i := len(d.running[service]); i < n; i++ {
		d.hosts++
		ip := netip.AddrFrom4([4]byte{127, 0, 77, d.hosts}).String()
		fresh = append(fresh, start(t, fmt.Sprintf("%s-%d", service, i+1), ip, d.env(service, ip), sponge(t), s.Command...))
	}
	d.running[service] = append(d.running[service], fresh...)
	d.publish()
	for _, c := range fresh {
		// ["CMD", "/sponge", "health"], where /sponge is the image's.
		until(t, "health of "+c.name, func(ctx context.Context) error {
			return run(ctx, "", d.env(service, c.ip), sponge(t), s.HealthCheck.Test[2:]...)
		})
	}
}

// publish tells the names of the edges that run.
func (d *deployment) publish() {
	var addrs []netip.Addr
	for _, c := range d.running["edge"] {
		addrs = append(addrs, netip.MustParseAddr(c.ip))
	}
	d.names.set("edge", addrs)
}

// stop stops containers of a service as docker does, and waits for their ends.
func (d *deployment) stop(t *testing.T, service string, stopped []*container) {
	t.Helper()
	s := d.project.Services[service]
	sig := syscall.SIGTERM
	if s.StopSignal == "SIGUSR1" {
		sig = syscall.SIGUSR1
	}
	for _, c := range stopped {
		c.signal(t, sig)
	}
	d.ended(t, service, stopped)
}

// ended waits for the ends of containers that were told to stop.
func (d *deployment) ended(t *testing.T, service string, stopped []*container) {
	t.Helper()
	for _, c := range stopped {
		c.end(t, time.Duration(*d.project.Services[service].StopGracePeriod))
	}
	// Docker forgets a container's address when it has ended.
	d.running[service] = slices.DeleteFunc(slices.Clone(d.running[service]), func(c *container) bool { return slices.Contains(stopped, c) })
	d.publish()
}
