package local

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"sponge/infra/balancer"
)

//go:embed haproxy.cfg.tmpl
var haproxyConfig string

var haproxyTemplate = template.Must(template.New("haproxy.cfg").Parse(haproxyConfig))

var haproxyProgram = program{
	title:    "HAProxy",
	names:    []string{"haproxy"},
	pkg:      "haproxy",
	pkgPath:  "usr/sbin/haproxy",
	major:    2,
	minor:    2,
	flag:     "-v",
	versions: regexp.MustCompile(`HA-?Proxy version (\d+)\.(\d+)`),
}

// BalancerConfig says what to balance.
type BalancerConfig struct {
	// Listen is the address for clients, "host:port". An empty host means all
	// IPv4 addresses; an empty Listen, a free port on the loopback address.
	Listen string

	// Backends are the addresses, "host:port", to spread connections over. They
	// need not listen yet.
	Backends []string
}

// Balancer is a running HAProxy that spreads TCP connections.
type Balancer struct {
	*process
	addr string
}

// StartBalancer starts a layer-4 balancer: a new connection goes to the backend
// with the fewest. Each backend is tried twice a second; the connections to one
// that fails twice running are closed, so that their clients come back and land
// on another. ctx bounds the start, not the balancer's life. The error wraps
// ErrUnavailable where there is no HAProxy to be had, and ErrInUse where the
// directory is taken.
func StartBalancer(ctx context.Context, o Options, c BalancerConfig) (*Balancer, error) {
	b, err := startBalancer(ctx, thisHost(), o, c)
	if err != nil {
		return nil, fmt.Errorf("local: balancer: %w", err)
	}
	return b, nil
}

func startBalancer(ctx context.Context, h host, o Options, c BalancerConfig) (*Balancer, error) {
	o, err := o.prepare()
	if err != nil {
		return nil, err
	}
	if c, err = c.prepare(); err != nil {
		return nil, err
	}
	exe, err := h.find(ctx, o, haproxyProgram)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, o, leftoverWait)
	if err != nil {
		return nil, err
	}
	b, err := runBalancer(ctx, exe, o, c, lock)
	if err != nil {
		lock.release() // harmless if the server's end did it already
		return nil, err
	}
	return b, nil
}

// runBalancer starts the server in a directory that is locked.
func runBalancer(ctx context.Context, exe *executable, o Options, c BalancerConfig, lock *dirLock) (*Balancer, error) {
	socket, err := socketPath(o.Dir, "haproxy.sock")
	if err != nil {
		return nil, err
	}
	limit, err := maxConns()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = haproxyTemplate.Execute(&text, map[string]any{
		// Relative to the working directory, whose name may have characters
		// that mean something to HAProxy.
		"Socket":   filepath.Base(socket),
		"Listen":   c.Listen,
		"Backends": c.Backends,
		"MaxConns": limit,
		"Defaults": balancer.Defaults,
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(o.Dir, "haproxy.cfg")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	check := exe.command("-c", "-f", file)
	check.Stdout, check.Stderr = &out, &out
	if err := runCommand(ctx, check); err != nil {
		return nil, fmt.Errorf("check %s: %w; haproxy says:\n%s", file, err, lastLines(out.Bytes(), logTailLines))
	}

	o.Progress("starting haproxy")
	cmd := exe.command("-db", "-f", file) // -db: in the foreground
	cmd.Dir = filepath.Dir(socket)
	// The connections end with this process, whose end is why it is asked.
	p, err := startProcess("haproxy", cmd, socket, syscall.SIGKILL, lock)
	if err != nil {
		return nil, err
	}
	b := &Balancer{process: p, addr: c.Listen}
	if err := p.awaitReady(ctx, b.ping); err != nil {
		return nil, err
	}
	o.Log.Info("haproxy runs", "pid", p.PID(), "address", b.addr, "executable", exe.path)
	return b, nil
}

// HAProxy finds the HAProxy that StartBalancer would run, and returns a function
// that makes a command of it, for configurations that are written elsewhere. ctx
// bounds the search. The error wraps ErrUnavailable where there is none to be had.
func HAProxy(ctx context.Context, o Options) (command func(args ...string) *exec.Cmd, err error) {
	if o, err = o.prepare(); err != nil {
		return nil, err
	}
	exe, err := thisHost().find(ctx, o, haproxyProgram)
	if err != nil {
		return nil, fmt.Errorf("local: balancer: %w", err)
	}
	return exe.command, nil
}

// Addr returns the address for clients, "host:port".
func (b *Balancer) Addr() string { return b.addr }

// Drain takes no more connections in, and looks after the backends no more. The
// connections that are open are carried on until their ends close them; the
// balancer ends with the last one, and Err is nil then. So backends can let go
// of their clients in their own time: as one that stops listening looks dead to
// the checks, those would cut its connections. Stop and Kill may follow.
func (b *Balancer) Drain() error {
	b.process.stopping.Store(true)
	if err := b.process.cmd.Process.Signal(syscall.SIGUSR1); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("local: drain the balancer: %w", err)
	}
	return nil
}

// ping asks for an answer on the socket: a connection to the address for
// clients would be one for a backend, too.
func (b *Balancer) ping(ctx context.Context) error {
	answer, err := b.ask(ctx, "show info")
	if err == nil && !strings.HasPrefix(answer, "Name: HAProxy") {
		err = fmt.Errorf("unexpected answer to show info: %q", answer)
	}
	return err
}

func (b *Balancer) ask(ctx context.Context, question string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", b.socket)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // the answer is what counts
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, question+"\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// prepare checks the addresses, so that nothing else gets into the server's
// configuration, and spells them its way.
func (c BalancerConfig) prepare() (BalancerConfig, error) {
	if c.Listen == "" {
		ports, err := Ports(1)
		if err != nil {
			return c, err
		}
		c.Listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	}
	if len(c.Backends) == 0 {
		return c, errors.New("no backends")
	}
	for _, addr := range append([]string{c.Listen}, c.Backends...) {
		if err := checkAddress(addr); err != nil {
			return c, fmt.Errorf("address %q: %w", addr, err)
		}
	}
	for _, addr := range c.Backends {
		if strings.HasPrefix(addr, ":") {
			return c, fmt.Errorf("address %q: a backend needs a host", addr)
		}
	}
	return c, nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not from 1 to 65535", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" || host == "" || hostName.MatchString(host) {
		return nil
	}
	return fmt.Errorf("%q is neither an IP address nor a host's name", host)
}

// maxConns is how many connections this user's open files allow for: each takes
// two, and the server refuses to start when told more than it can open.
func maxConns() (uint64, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("open files: %w", err)
	}
	const reserve = 200 // checks, listeners, its own business
	if files.Max < 2*reserve {
		return 0, fmt.Errorf("a limit of %d open files is too low", files.Max)
	}
	return min(uint64(files.Max)-reserve, 200_000) / 2, nil
}
