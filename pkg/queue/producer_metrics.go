package queue

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type producerMetrics struct {
	latency  prometheus.Histogram
	records  prometheus.Histogram
	failures prometheus.Counter
}

func newProducerMetrics(cfg ProducerConfig, p *Producer) *producerMetrics {
	prefix := cfg.MetricsPrefix
	if prefix == "" {
		prefix = "sponge"
	}
	m := &producerMetrics{
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    prefix + "_produce_seconds",
			Help:    "Time from sending a produce request to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16),
		}),
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    prefix + "_produce_records",
			Help:    "Records in a produce request.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "_produce_failures_total",
			Help: "Batches of one partition that failed and are tried again, or were refused.",
		}),
	}
	if cfg.Metrics == nil {
		return m
	}
	held := func(read func() float64) func() float64 {
		return func() float64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return read()
		}
	}
	for _, c := range []prometheus.Collector{
		m.latency, m.records, m.failures,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: prefix + "_queue_bytes", Help: "Bytes of records that wait for Kafka.",
		}, held(func() float64 { return float64(p.bytes) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: prefix + "_queue_records", Help: "Records that wait for Kafka.",
		}, held(func() float64 { return float64(p.held) })),
	} {
		// A second producer of the same process shares nothing: the first one
		// is shown.
		var already prometheus.AlreadyRegisteredError
		if err := cfg.Metrics.Register(c); err != nil && !errors.As(err, &already) {
			cfg.Log.Warn("metric not registered", "error", err)
		}
	}
	return m
}

func (m *producerMetrics) observe(a answer) {
	n := 0
	for _, s := range a.shares {
		n += len(s.records)
	}
	m.latency.Observe(a.took.Seconds())
	m.records.Observe(float64(n))
}
