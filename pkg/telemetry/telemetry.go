// Package telemetry is what every role shows of itself: its log, its metrics
// and its health. It must not know what the metrics mean.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config configures log and metrics of any role.
type Config struct {
	LogLevel      slog.Level `env:"SPONGE_LOG_LEVEL" envDefault:"INFO" doc:"DEBUG, INFO, WARN or ERROR"`
	LogFormat     string     `env:"SPONGE_LOG_FORMAT" envDefault:"text" doc:"text or json"`
	MetricsListen string     `env:"SPONGE_METRICS_LISTEN" doc:"host:port of Prometheus metrics (/metrics), health (/healthz: 200 serves, 404 drains, 503 starts) and profiles (/debug/pprof/); empty: none. Keep it private."`
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("SPONGE_LOG_FORMAT: %q is neither text nor json", c.LogFormat)
	}
	return nil
}

// Logger writes the role's log.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// NewRegistry is a registry that already tells of the process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Serve answers on MetricsListen until ctx ends; at once where it is empty.
// ready tells whether the role serves, and draining, which may be nil, that it
// lets go of what it serves.
func (c *Config) Serve(ctx context.Context, registry *prometheus.Registry, ready, draining <-chan struct{}) error {
	if c.MetricsListen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", c.MetricsListen)
	if err != nil {
		return fmt.Errorf("SPONGE_METRICS_LISTEN: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { health(w, ready, draining) })
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// health answers 200 while the role serves and 503 before. From when it drains
// on it is 404: HAProxy takes that for "nobody new, but leave who is there"
// (http-check disable-on-404), where anything else would have it cut the
// connections that are just being answered.
func health(w http.ResponseWriter, ready, draining <-chan struct{}) {
	select {
	case <-draining:
		http.Error(w, "draining", http.StatusNotFound)
		return
	default:
	}
	select {
	case <-ready:
		fmt.Fprintln(w, "ok")
	default:
		http.Error(w, "starting", http.StatusServiceUnavailable)
	}
}

// healthTimeout bounds a question for health.
const healthTimeout = 2 * time.Second

// CheckHealth asks the role that has this configuration, on this machine,
// whether it serves. The error says why not; it takes at most 2 seconds.
func (c *Config) CheckHealth(ctx context.Context) error {
	if c.MetricsListen == "" {
		return errors.New("SPONGE_METRICS_LISTEN: a value is needed, health is asked for there")
	}
	host, port, err := net.SplitHostPort(c.MetricsListen)
	if err != nil {
		return fmt.Errorf("SPONGE_METRICS_LISTEN: %w", err)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, port) + "/healthz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	// A transport of its own: no proxy has a say between a role and itself.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s answers %s", url, response.Status)
	}
	return nil
}
