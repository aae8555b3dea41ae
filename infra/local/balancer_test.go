package local

import (
	"bufio"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// backend tells each connection its name, and keeps it open.
type backend struct {
	name string
	addr string
	l    net.Listener

	mu    sync.Mutex // guards the following
	conns []net.Conn
}

func newBackend(t *testing.T, name, addr string) *backend {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{name: name, addr: l.Addr().String(), l: l}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, name+"\n") // a health check does not listen
			b.mu.Lock()
			b.conns = append(b.conns, conn)
			b.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		for _, conn := range b.conns {
			_ = conn.Close()
		}
	})
	return b
}

// freeze stops listening without closing what is open.
func (b *backend) freeze() { _ = b.l.Close() }

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	c, err := BalancerConfig{Backends: []string{"127.0.0.1:9"}}.prepare()
	if err != nil {
		t.Fatal(err)
	}
	return c.Listen
}

func mustBalancer(t *testing.T, o Options, c BalancerConfig) *Balancer {
	t.Helper()
	b, err := StartBalancer(limit(t), o, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return b
}

// connect returns a connection through the balancer and the backend's name.
func connect(t *testing.T, b *Balancer) (net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	name, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("no backend answers: %v", err)
	}
	return conn, strings.TrimSpace(name)
}

func TestBalancerSpreadsConnections(t *testing.T) {
	t.Parallel()
	var addrs []string
	for _, name := range []string{"a", "b", "c"} {
		addrs = append(addrs, newBackend(t, name, "127.0.0.1:0").addr)
	}
	b := mustBalancer(t, options(t), BalancerConfig{Backends: addrs})
	count := make(map[string]int)
	for range 12 {
		_, name := connect(t, b)
		count[name]++
	}
	for _, name := range []string{"a", "b", "c"} {
		if count[name] != 4 {
			t.Errorf("connections: %v, want 4 each", count)
			break
		}
	}
}

func TestBalancerLeavesDeadBackends(t *testing.T) {
	t.Parallel()
	first, second := newBackend(t, "first", "127.0.0.1:0"), newBackend(t, "second", "127.0.0.1:0")
	b := mustBalancer(t, options(t), BalancerConfig{Backends: []string{first.addr, second.addr}})
	conns := make(map[string]net.Conn)
	for range 2 {
		conn, name := connect(t, b)
		conns[name] = conn
	}
	if len(conns) != 2 {
		t.Fatalf("connections to %v", conns)
	}

	// New ones go on to the other at once. The open one, whose backend keeps
	// quiet, ends as soon as the checks have failed.
	first.freeze()
	if _, name := connect(t, b); name != "second" {
		t.Errorf("connected to %s", name)
	}
	if _, err := conns["first"].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("connection to a dead backend: %v", err)
	}
	// Those to the other are left alone.
	if err := conns["second"].SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := conns["second"].Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("connection to a living backend: %v", err)
	}

	// Back again, it gets its share.
	newBackend(t, "first again", first.addr)
	eventually(t, "the backend that came back is used", func() bool {
		_, name := connect(t, b)
		return name == "first again"
	})
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func TestBalancerWaitsForBackends(t *testing.T) {
	t.Parallel()
	addr := freeAddress(t)
	b := mustBalancer(t, options(t), BalancerConfig{Backends: []string{addr}})
	eventually(t, "a backend that does not listen is known to be down", func() bool {
		state, err := b.ask(limit(t), "show stat")
		return err == nil && strings.Contains(state, "DOWN")
	})
	newBackend(t, "late", addr)
	eventually(t, "the late backend is used", func() bool {
		conn, err := net.Dial("tcp", b.Addr())
		if err != nil {
			return false
		}
		defer conn.Close() //nolint:errcheck // the answer is what counts
		answer, _ := io.ReadAll(io.LimitReader(conn, int64(len("late"))))
		return string(answer) == "late"
	})
}

// A backend that stops listening looks dead, but what it still has to say
// arrives when the balancer was told before.
func TestBalancerDrains(t *testing.T) {
	t.Parallel()
	last := newBackend(t, "last", "127.0.0.1:0")
	b := mustBalancer(t, options(t), BalancerConfig{Backends: []string{last.addr}})
	witness := mustBalancer(t, options(t), BalancerConfig{Backends: []string{last.addr}})
	conn, _ := connect(t, b)

	if err := b.Drain(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody gets in", func() bool {
		other, err := net.Dial("tcp", b.Addr())
		if err == nil {
			_ = other.Close()
		}
		return err != nil
	})
	last.freeze()
	for range 2 { // the second time, its checks have failed for longer than any balancer waits
		eventually(t, "the backend is known to be down", func() bool {
			state, err := witness.ask(limit(t), "show stat")
			return err == nil && strings.Contains(state, ",DOWN,")
		})
		witness = mustBalancer(t, options(t), BalancerConfig{Backends: []string{last.addr}})
	}
	last.mu.Lock()
	for _, c := range last.conns {
		_, _ = io.WriteString(c, "goodbye")
		_ = c.Close()
	}
	last.mu.Unlock()
	if text, err := io.ReadAll(conn); string(text) != "goodbye" || err != nil {
		t.Errorf("after the drain: %q, %v", text, err)
	}
	_ = conn.Close()
	select {
	case <-b.Done():
	case <-limit(t).Done():
		t.Fatal("still runs without a connection")
	}
	if err := errors.Join(b.Err(), b.Drain(), b.Stop(limit(t))); err != nil {
		t.Error(err)
	}
}

func TestBalancerAddresses(t *testing.T) {
	t.Parallel()
	good := []string{"127.0.0.1:8001"}
	for _, test := range []struct {
		config BalancerConfig
		want   string // "" is no error
	}{
		{BalancerConfig{Backends: good}, ""},
		{BalancerConfig{Listen: ":8000", Backends: []string{"localhost:1", "a-b.example:65535", "[::1]:80"}}, ""},
		{BalancerConfig{}, "no backends"},
		{BalancerConfig{Listen: "127.0.0.1", Backends: good}, "missing port"},
		{BalancerConfig{Listen: "127.0.0.1:0", Backends: good}, `"0" is not from 1 to 65535`},
		{BalancerConfig{Backends: []string{"127.0.0.1:65536"}}, `"65536" is not from`},
		{BalancerConfig{Backends: []string{":8001"}}, "needs a host"},
		{BalancerConfig{Backends: []string{"a b:1"}}, "neither"},
		{BalancerConfig{Backends: []string{"unix@a:1"}}, "neither"},
		{BalancerConfig{Backends: []string{"a:1\n"}}, "is not from"},
		{BalancerConfig{Backends: []string{"a\nb:1"}}, "neither"},
		{BalancerConfig{Backends: []string{"[fe80::1%lo]:1"}}, "neither"},
	} {
		if _, err := test.config.prepare(); test.want != "" {
			wantText(t, err, test.want)
		} else if err != nil {
			t.Errorf("%+v: %v", test.config, err)
		}
	}
}

func TestBalancerStartFailureShowsItsLog(t *testing.T) {
	t.Parallel()
	taken := newBackend(t, "taken", "127.0.0.1:0")
	o := options(t)
	_, err := StartBalancer(limit(t), o, BalancerConfig{Listen: taken.addr, Backends: []string{taken.addr}})
	wantText(t, err, "haproxy died", "exit status 1", taken.addr)

	// What the server itself does not take is found before it is started.
	_, err = StartBalancer(limit(t), o, BalancerConfig{Backends: []string{"no-such-host.invalid:1"}})
	wantText(t, err, "check ", "haproxy.cfg", "no-such-host.invalid")
	mustBalancer(t, o, BalancerConfig{Backends: []string{taken.addr}})
}

func TestBalancerInOddlyNamedDirectories(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, "here", "127.0.0.1:0").addr
	for _, name := range []string{"a b", "数据", "x(y)z@w?q=1%20#h", "it's $HOME,{1,2}", `q"q\n`} {
		o := options(t)
		o.Dir = filepath.Join(o.Dir, name)
		if _, got := connect(t, mustBalancer(t, o, BalancerConfig{Backends: []string{addr}})); got != "here" {
			t.Errorf("%q: %q", name, got)
		}
	}
}
