package telemetry_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"sponge/pkg/telemetry"
)

// address is one that nobody listens on.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// want asks for health until the answer holds text ("" is health), or a while
// has passed.
func want(t *testing.T, c *telemetry.Config, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		err := c.CheckHealth(t.Context())
		if err == nil && text == "" || err != nil && text != "" && strings.Contains(err.Error(), text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("health: %v, want %q", err, text)
		}
	}
}

// TestHealth: a role starts, serves, drains and ends; health tells which.
func TestHealth(t *testing.T) {
	t.Parallel()
	c := telemetry.Config{MetricsListen: address(t)}
	want(t, &c, "connection refused")
	ready, draining := make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(ctx, telemetry.NewRegistry(), ready, draining) }()
	want(t, &c, "503")
	close(ready)
	want(t, &c, "")
	_, port, err := net.SplitHostPort(c.MetricsListen)
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port} {
		want(t, &telemetry.Config{MetricsListen: listen}, "")
	}
	close(draining)
	want(t, &c, "404")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	want(t, &c, "connection refused")
}

// TestHealthWithoutAddress says what is missing.
func TestHealthWithoutAddress(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"", "nowhere"} {
		want(t, &telemetry.Config{MetricsListen: listen}, "SPONGE_METRICS_LISTEN: ")
	}
}
