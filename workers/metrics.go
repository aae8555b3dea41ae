package workers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sponge/pkg/protocol"
)

// metrics are the runtime's, for all groups of a process. Labels are bounded:
// groups, types, codes, stages and faults are enumerations.
type metrics struct {
	frames   *prometheus.CounterVec
	sizes    *prometheus.HistogramVec
	stages   *prometheus.HistogramVec
	faults   *prometheus.CounterVec
	dead     *prometheus.CounterVec
	recalled *prometheus.CounterVec
	stopped  *prometheus.GaugeVec
	owned    *prometheus.GaugeVec
	age      *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sponge_worker_frames_total",
			Help: "Frames handled, by type and code of the reply."}, []string{"group", "type", "code"}),
		sizes: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sponge_worker_batch_frames",
			Help: "Frames of a transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)}, []string{"group"}),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sponge_worker_stage_seconds",
			Help: "Time a batch spends in each stage.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16)}, []string{"group", "stage"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sponge_worker_faults_total",
			Help: "Batches rolled back, by whose fault it was."}, []string{"group", "fault"}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sponge_worker_dead_total",
			Help: "Frames moved to the dead-letter topic."}, []string{"group"}),
		recalled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sponge_worker_recalled_total",
			Help: "Frames announced again after a partition changed hands."}, []string{"group"}),
		stopped: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sponge_worker_partition_stopped",
			Help: "1 for a partition that waits for an operator."}, []string{"group", "partition"}),
		owned: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sponge_worker_partitions",
			Help: "Partitions that this process owns."}, []string{"group"}),
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sponge_worker_lag_seconds",
			Help: "Age of the oldest frame of the last batch when it was applied."}, []string{"group"}),
	}
	if r != nil {
		r.MustRegister(m.frames, m.sizes, m.stages, m.faults, m.dead, m.recalled, m.stopped, m.owned, m.age)
	}
	return m
}

func (m *metrics) stage(t protocol.Topic, name string, started time.Time) {
	m.stages.WithLabelValues(t.Group(), name).Observe(time.Since(started).Seconds())
}

func (m *metrics) batch(t protocol.Topic, frames []*Frame, outcomes []Outcome) {
	m.sizes.WithLabelValues(t.Group()).Observe(float64(len(frames)))
	type label struct {
		t protocol.Type
		c protocol.Code
	}
	counts := map[label]int{}
	oldest := frames[0].Time()
	for i, f := range frames {
		counts[label{f.Type, outcomes[i].Code}]++
		oldest = min(oldest, f.Time())
	}
	for l, n := range counts {
		m.frames.WithLabelValues(t.Group(), l.t.String(), l.c.String()).Add(float64(n))
	}
	m.age.WithLabelValues(t.Group()).Set(time.Since(time.UnixMilli(oldest)).Seconds())
}
