package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func isCancelled(err error) bool { return errors.Is(err, context.Canceled) }

// server is a service that runs as a process of its own.
type server struct {
	start  func(context.Context, Options) (*process, error)
	ready  string // what its log says when it is
	socket bool   // whether it has one
}

var servers = withChosen(map[string]server{
	"mariadb": {func(ctx context.Context, o Options) (*process, error) {
		m, err := StartMariaDB(ctx, o)
		if err != nil {
			return nil, err
		}
		return m.process, nil
	}, "ready for connections", true},
	"redis": {func(ctx context.Context, o Options) (*process, error) {
		r, err := StartRedis(ctx, o)
		if err != nil {
			return nil, err
		}
		return r.process, nil
	}, "eady to accept connections", true}, // newer ones say Ready
	"balancer": {func(ctx context.Context, o Options) (*process, error) {
		b, err := StartBalancer(ctx, o, BalancerConfig{Backends: []string{"127.0.0.1:9"}})
		if err != nil {
			return nil, err
		}
		return b.process, nil
	}, "its log says:", true}, // it has nothing to say when all is well
})

// withChosen adds the real Kafka and MySQL when the tests are told to use them.
func withChosen(to map[string]server) map[string]server {
	if os.Getenv(testServicesVar) == "real" {
		to["kafka"] = server{func(ctx context.Context, o Options) (*process, error) {
			k, err := StartKafka(ctx, o, KafkaConfig{Real: true})
			if err != nil {
				return nil, err
			}
			return k.service.(*process), nil
		}, "Kafka Server started", false}
	}
	if os.Getenv(testStoreVar) == "mysql" {
		to["mysql"] = server{func(ctx context.Context, o Options) (*process, error) {
			m, err := StartMySQL(ctx, o)
			if err != nil {
				return nil, err
			}
			return m.process, nil
		}, "ready for connections", true}
	}
	return to
}

// eachServer runs the test for each of them, with one already started.
func eachServer(t *testing.T, test func(t *testing.T, o Options, p *process, start func() (*process, error))) {
	t.Parallel()
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			again := func() (*process, error) {
				p, err := server.start(limit(t), o)
				if err == nil {
					stopAtEnd(t, p)
				}
				return p, err
			}
			p, err := again()
			if err != nil {
				t.Fatal(err)
			}
			test(t, o, p, again)
		})
	}
}

func TestServerDirectoryInUse(t *testing.T) {
	eachServer(t, func(t *testing.T, o Options, p *process, start func() (*process, error)) {
		_, err := start()
		if !errors.Is(err, ErrInUse) {
			t.Errorf("second start: %v", err)
		}
		wantText(t, err, o.Dir, "process "+strconv.Itoa(os.Getpid()))
		if err := p.Stop(limit(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := start(); err != nil {
			t.Errorf("start after the end of the first: %v", err)
		}
	})
}

func TestServerStopIsIdempotent(t *testing.T) {
	eachServer(t, func(t *testing.T, o Options, p *process, _ func() (*process, error)) {
		var stops sync.WaitGroup
		for range 4 {
			stops.Go(func() {
				if err := p.Stop(limit(t)); err != nil {
					t.Error(err)
				}
			})
		}
		stops.Wait()
		<-p.Done()
		p.Kill()
		if err := errors.Join(p.Stop(limit(t)), p.Err()); err != nil {
			t.Error(err)
		}
		if running(p.PID()) {
			t.Error("still running")
		}
		if _, err := os.Stat(p.Socket()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("socket left behind: %v", err)
		}
	})
}

func TestServerDiesByItself(t *testing.T) {
	eachServer(t, func(t *testing.T, o Options, p *process, start func() (*process, error)) {
		if err := p.Err(); err != nil {
			t.Errorf("Err while running: %v", err)
		}
		if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		wantText(t, p.Err(), p.name+" died", "killed", servers[filepath.Base(t.Name())].ready)
		if err := p.Stop(limit(t)); err != nil {
			t.Errorf("Stop after death: %v", err)
		}
		if _, err := start(); err != nil {
			t.Errorf("start after death: %v", err)
		}
	})
}

func TestServerThatDoesNotStopIsKilled(t *testing.T) {
	eachServer(t, func(t *testing.T, o Options, p *process, start func() (*process, error)) {
		if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Stop(ctx); !isCancelled(err) {
			t.Errorf("Stop of a frozen server: %v", err)
		}
		<-p.Done()
		if _, err := start(); err != nil {
			t.Errorf("start after that: %v", err)
		}
	})
}

// Ctrl-C at the terminal goes to the whole foreground group.
func TestServerHasItsOwnProcessGroup(t *testing.T) {
	eachServer(t, func(t *testing.T, o Options, p *process, _ func() (*process, error)) {
		if group, err := syscall.Getpgid(p.PID()); err != nil || group != p.PID() {
			t.Errorf("process group %d of process %d, %v", group, p.PID(), err)
		}
	})
}

func TestServerInLongDirectory(t *testing.T) {
	t.Parallel()
	for name, server := range servers {
		if !server.socket {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			o.Dir = filepath.Join(o.Dir, strings.Repeat("long/", 30))
			p, err := server.start(limit(t), o)
			if err != nil {
				t.Fatal(err)
			}
			stopAtEnd(t, p)
			folder := filepath.Dir(p.Socket())
			info, err := os.Stat(folder)
			if err != nil || info.Mode().Perm() != 0o700 || strings.HasPrefix(folder, o.Dir) {
				t.Errorf("socket is %s, its folder %v, %v", p.Socket(), info.Mode(), err)
			}
			if err := p.Stop(limit(t)); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("folder left behind: %v", err)
			}
		})
	}
}
