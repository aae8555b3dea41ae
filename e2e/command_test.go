package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestPortInUse is told at once, with the port's number.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"shared", "first edge", "last edge", "web"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := get(t, func() (upOptions, error) { return newUpOptions(2) })
			taken := o.port + i
			l, err := net.Listen("tcp", loopback(taken))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			stdout, stderr, err := runToEnd(nil, o.args()...)
			if err == nil {
				t.Errorf("exit 0 though port %d was in use", taken)
			}
			if !strings.Contains(stderr, strconv.Itoa(taken)) {
				t.Errorf("the error does not name port %d: %v\n%s", taken, err, stderr)
			}
			for line := range strings.Lines(stdout) {
				if strings.HasPrefix(line, "ready") {
					t.Errorf("it said %q", line)
				}
			}
			if left := processesOf(t, o.dir); len(left) > 0 {
				t.Errorf("still runs %v", left)
			}
		})
	}
}

// TestEnv lists the variables that this suite sets.
func TestEnv(t *testing.T) {
	t.Parallel()
	stdout, stderr, err := runToEnd(nil, "env")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, name := range []string{
		"SPONGE_KAFKA", "SPONGE_REDIS", "SPONGE_MYSQL", "SPONGE_NAMESPACE", "SPONGE_WORKER_KEY", "SPONGE_SEAL_KEY",
		"SPONGE_EDGE_NODE", "SPONGE_EDGE_LISTEN", "SPONGE_EDGE_WEB_LISTEN", "SPONGE_METRICS_LISTEN",
		"SPONGE_EDGE_LOGIN_TIMEOUT", "SPONGE_EDGE_IDLE_TIMEOUT", "SPONGE_EDGE_MAX_FRAME", "SPONGE_EDGE_MAX_OUTBOUND",
	} {
		if !strings.Contains(stdout, name) {
			t.Errorf("without %s:\n%s", name, stdout)
		}
	}
}

// TestUsage has wrong commands fail with a word about it.
func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"no-such-command", "worker no-such-group", "up --no-such-flag", "up --kafka imaginary",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			_, stderr, err := runToEnd(nil, strings.Fields(args)...)
			if err == nil || strings.TrimSpace(stderr) == "" {
				t.Errorf("error %v, stderr %q", err, stderr)
			}
		})
	}
}

// TestUnset has roles that lack their key say so.
func TestUnset(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ role, missing string }{
		{"edge", "SPONGE_SEAL_KEY"}, {"worker storage", "SPONGE_WORKER_KEY"},
	} {
		t.Run(tt.role, func(t *testing.T) {
			t.Parallel()
			_, stderr, err := runToEnd([]string{"SPONGE_EDGE_LISTEN=127.0.0.1:0"}, strings.Fields(tt.role)...)
			if err == nil || !strings.Contains(stderr, tt.missing) {
				t.Errorf("error %v, stderr:\n%s", err, stderr)
			}
		})
	}
}

// TestMetrics asks every role for its health and its metrics.
func TestMetrics(t *testing.T) {
	t.Parallel()
	c := get(t, sharedRoles)
	browser := http.Client{Timeout: patience}
	for _, addr := range c.metrics {
		for _, path := range []string{"/healthz", "/metrics"} {
			body, err := fetch(&browser, "http://"+addr+path)
			if err != nil {
				t.Error(err)
			}
			if path == "/metrics" && !strings.Contains(body, "sponge_") {
				t.Errorf("no metric of ours at %s:\n%.2000s", addr, body)
			}
		}
	}
}

func fetch(c *http.Client, url string) (string, error) {
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, r.Status)
	}
	return string(body), err
}
