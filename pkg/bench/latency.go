package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies gathers durations from many goroutines: three digits, from one
// microsecond to longest. Each goroutine keeps to its own shard.
type latencies struct {
	shards [8]struct {
		mu sync.Mutex
		h  *hdrhistogram.Histogram
	}
}

const longest = 10 * time.Minute

func newLatencies() *latencies {
	l := &latencies{}
	for i := range l.shards {
		l.shards[i].h = hdrhistogram.New(1, longest.Microseconds(), 3)
	}
	return l
}

func (l *latencies) record(shard int, d time.Duration) {
	s := &l.shards[shard%len(l.shards)]
	us := min(max(d.Microseconds(), 1), longest.Microseconds())
	s.mu.Lock()
	_ = s.h.RecordValue(us) // in range
	s.mu.Unlock()
}

func (l *latencies) quantiles() Quantiles {
	all := hdrhistogram.New(1, longest.Microseconds(), 3)
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		all.Merge(s.h)
		s.mu.Unlock()
	}
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Quantiles{P50: ms(all.ValueAtQuantile(50)), P99: ms(all.ValueAtQuantile(99)),
		P999: ms(all.ValueAtQuantile(99.9)), Max: ms(all.Max())}
}
