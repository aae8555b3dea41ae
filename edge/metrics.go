package edge

import (
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"sponge/pkg/protocol"
)

// transport is how a client is connected.
type transport uint8

const (
	tcp transport = iota
	webSocket
	numTransports
)

// String is the transport as a metric label.
func (t transport) String() string { return [numTransports]string{"tcp", "websocket"}[t] }

// metrics of an edge. What is counted for every frame is looked up once, here.
type metrics struct {
	open        [numTransports]prometheus.Gauge
	frames      map[protocol.Type]prometheus.Counter
	replies     *prometheus.CounterVec
	closes      [numReasons]prometheus.Counter
	drops       [numDrops]prometheus.Counter
	outstanding atomic.Int64
	entries     prometheus.Counter
	results     prometheus.Counter
	losses      prometheus.Counter
	resyncs     prometheus.Counter
	republished prometheus.Counter
	shed        prometheus.Counter
	reports     prometheus.Counter
	renewals    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, log *slog.Logger) *metrics {
	register := func(c prometheus.Collector) {
		if reg == nil {
			return
		}
		// Several edges of one process (sponge up) give each a registerer with
		// a label of its own; else the first one is shown.
		var already prometheus.AlreadyRegisteredError
		if err := reg.Register(c); err != nil && !errors.As(err, &already) {
			log.Warn("metric not registered", "error", err)
		}
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "sponge_edge_" + name, Help: help})
		register(c)
		return c
	}
	m := &metrics{
		frames:      map[protocol.Type]prometheus.Counter{},
		entries:     counter("channel_entries_total", "Entries read from the node's channel."),
		results:     counter("results_total", "Replies and pushes that workers sent to connections of this node."),
		losses:      counter("channel_losses_total", "Times that entries of the channel may have been lost."),
		resyncs:     counter("resyncs_total", "Sessions that were synchronised after a loss."),
		republished: counter("republished_total", "Frames that were published again for want of an answer."),
		shed:        counter("shed_total", "Frames that were refused with 503 because the workers of their partition are behind."),
		reports:     counter("reports_total", "Reports of delivered messages that were published."),
		renewals:    counter("renewals_total", "Session proofs whose renewal was asked for."),
	}
	open := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sponge_edge_connections", Help: "Open connections."}, []string{"transport"})
	register(open)
	for t := range m.open {
		m.open[t] = open.WithLabelValues(transport(t).String())
	}
	frames := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sponge_edge_frames_total", Help: "Well-formed frames of known types from clients."}, []string{"type"})
	register(frames)
	for t := protocol.Type(0); t < protocol.Unreadable; t++ {
		if t.Known() {
			m.frames[t] = frames.WithLabelValues(t.String())
		}
	}
	m.replies = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sponge_edge_replies_total", Help: "Replies that the edge made itself."}, []string{"type", "code"})
	register(m.replies)
	closes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sponge_edge_closes_total", Help: "Connections closed, by reason."}, []string{"reason"})
	register(closes)
	for r := range m.closes {
		m.closes[r] = closes.WithLabelValues(Reason(r).String())
	}
	drops := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sponge_edge_drops_total", Help: "Results of workers that were not written to a connection, by reason."}, []string{"reason"})
	register(drops)
	for d := range m.drops {
		m.drops[d] = drops.WithLabelValues(Drop(d).String())
	}
	register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sponge_edge_outstanding", Help: "Frames that wait for an answer."},
		func() float64 { return float64(m.outstanding.Load()) }))
	return m
}

// reply counts an answer of the edge's own.
func (m *metrics) reply(t protocol.Type, code protocol.Code) {
	m.replies.WithLabelValues(t.Reply().String(), code.String()).Inc()
}
