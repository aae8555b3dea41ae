package bench

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Options are those of every case.
type Options struct {
	Addrs    []string      // edges; connections are spread over them in turn
	Duration time.Duration // measured
	Warmup   time.Duration // before it
	Settle   time.Duration // longest wait for what is outstanding at the end
	Progress io.Writer     // nil: none
	Terminal bool          // Progress is one: it shows one line that changes
}

// run is the clock and the counters of one case.
type run struct {
	Options
	name    string
	begin   time.Time
	from    time.Duration // measured time, since begin
	to      time.Duration
	stopped atomic.Bool // nothing more is sent
	acks    *latencies
	ends    *latencies

	mu     sync.Mutex
	errors map[string]int64
}

func newRun(name string, o Options) *run {
	return &run{Options: o, name: name, from: o.Warmup, to: o.Warmup + o.Duration,
		acks: newLatencies(), ends: newLatencies(), errors: map[string]int64{}}
}

func (r *run) fault(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[key]++
}

// since is the time of the run, in nanoseconds.
func (r *run) since(t time.Time) int64 { return int64(t.Sub(r.begin)) }

// measured reports whether a moment counts.
func (r *run) measured(at int64) bool { return at >= int64(r.from) && at < int64(r.to) }

// tally is one connection's counts in the measured time, by when they came.
type tally struct{ acked, delivered atomic.Int64 }

// marks is the state of the counters at a moment.
type marks struct {
	at               time.Time
	acked, delivered int64
	cpu              time.Duration
}

func mark(tallies []*tally) marks {
	m := marks{at: time.Now(), cpu: cpuTime()}
	for _, t := range tallies {
		m.acked += t.acked.Load()
		m.delivered += t.delivered.Load()
	}
	return m
}

// measure waits for the warm-up and the measured time to pass, shows progress,
// and fills in what the counters tell. start begins the load.
func (r *run) measure(ctx context.Context, tallies []*tally, start func()) (*Result, error) {
	r.begin = time.Now()
	start()
	defer r.stopped.Store(true)
	show := newProgress(r)
	defer show.end()
	var first marks
	warm := r.from == 0
	if warm {
		first = mark(tallies)
	}
	last := mark(tallies)
	for {
		wait := time.Second
		if !warm {
			wait = min(wait, time.Until(r.begin.Add(r.from)))
		}
		wait = min(wait, time.Until(r.begin.Add(r.to)))
		if err := pause(ctx, wait); err != nil {
			return nil, fmt.Errorf("interrupted: %w", err)
		}
		now := mark(tallies)
		switch {
		case !warm && now.at.Sub(r.begin) >= r.from:
			warm, first = true, now
		case now.at.Sub(r.begin) >= r.to:
			return r.result(first, now), nil
		}
		show.rates(now, last, warm)
		last = now
	}
}

func (r *run) result(first, last marks) *Result {
	seconds := last.at.Sub(first.at).Seconds()
	return &Result{
		Case: r.name, Seconds: seconds, Errors: map[string]int64{},
		AckedPerSecond:     float64(last.acked-first.acked) / seconds,
		DeliveredPerSecond: float64(last.delivered-first.delivered) / seconds,
		LoadCPU:            (last.cpu - first.cpu).Seconds() / seconds / cores(),
	}
}

// settle waits until done, at most as long as was asked for.
func (r *run) settle(ctx context.Context, done func() bool) error {
	end := time.Now().Add(r.Settle)
	for !done() && time.Now().Before(end) {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("interrupted: %w", err)
		}
	}
	return pause(ctx, min(r.Settle, afterglow)) // a duplicate comes last
}

// afterglow is how long is listened for what should not come.
const afterglow = 500 * time.Millisecond

// finish fills in latencies and errors.
func (r *run) finish(res *Result) {
	res.AckMs, res.EndToEndMs = r.acks.quantiles(), r.ends.quantiles()
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, n := range r.errors {
		res.Errors[k] += n
	}
}

// pause waits unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
