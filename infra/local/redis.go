package local

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// redisProgram: 7.0 brought XADD with "<ms>-*" ids. Debian's redis-server
// package only adds a service to the program that redis-tools has under the
// name of its checker.
var redisProgram = program{
	title:    "Redis",
	names:    []string{"redis-server", "valkey-server"},
	pkg:      "redis-tools",
	pkgPath:  "usr/bin/redis-check-rdb",
	major:    7,
	minor:    0,
	versions: regexp.MustCompile(`(?:Redis|Valkey) server v=(\d+)\.(\d+)`),
}

// Redis is a running private Redis that keeps nothing on disk.
type Redis struct {
	*process
}

// StartRedis starts a private, empty Redis on a unix socket. ctx bounds the
// start, not the server's life. The error wraps ErrUnavailable where there is
// no Redis to be had, and ErrInUse where the directory is taken.
func StartRedis(ctx context.Context, o Options) (*Redis, error) {
	r, err := startRedis(ctx, thisHost(), o)
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	return r, nil
}

func startRedis(ctx context.Context, h host, o Options) (*Redis, error) {
	o, err := o.prepare()
	if err != nil {
		return nil, err
	}
	exe, err := h.find(ctx, o, redisProgram)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, o, leftoverWait)
	if err != nil {
		return nil, err
	}
	socket, err := socketPath(o.Dir, "redis.sock")
	if err != nil {
		lock.release()
		return nil, err
	}
	o.Progress("starting redis")
	cmd := exe.command(
		"--port", "0",
		"--unixsocket", socket,
		"--unixsocketperm", "700",
		"--dir", o.Dir,
		"--daemonize", "no",
		"--save", "",
		"--appendonly", "no",
		// A client that does not read must not eat the machine's memory.
		"--client-output-buffer-limit", "normal", "256mb", "64mb", "60",
		"--client-output-buffer-limit", "pubsub", "32mb", "8mb", "60",
	)
	cmd.Dir = o.Dir
	// There is nothing to save, so nothing to be gentle for.
	p, err := startProcess("redis", cmd, socket, syscall.SIGKILL, lock)
	if err != nil {
		return nil, err
	}
	if err := p.awaitReady(ctx, func(ctx context.Context) error { return pingRedis(ctx, socket) }); err != nil {
		return nil, err
	}
	o.Log.Info("redis runs", "pid", p.PID(), "socket", socket, "executable", exe.path)
	return &Redis{process: p}, nil
}

// URL returns the address as go-redis's ParseURL takes it.
func (r *Redis) URL() string {
	return (&url.URL{Scheme: "unix", Path: r.socket}).String()
}

func pingRedis(ctx context.Context, socket string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is what counts
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	b := make([]byte, 64)
	n, err := conn.Read(b)
	if err != nil {
		return err
	}
	if answer := string(b[:n]); !strings.HasPrefix(answer, "+PONG") {
		return fmt.Errorf("unexpected answer to PING: %q", answer)
	}
	return nil
}
