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

// measure begins the load, waits for the warm-up and the measured time to
// pass, and fills in what the counters tell.
func (r *run) measure(ctx context.Context, tallies []*tally, start func()) (*Result, error) {
	r.begin = time.Now()
	start()
	defer r.stopped.Store(true)
	first, last, err := r.watch(ctx, tallies, nil)
	if err != nil {
		return nil, err
	}
	return r.result(first, last), nil
}

// watch waits for the warm-up and the measured time to pass, or for ended, and
// shows progress. It returns the counters at the measured time's begin and
// end.
func (r *run) watch(ctx context.Context, tallies []*tally, ended <-chan struct{}) (first, last marks, err error) {
	show := newProgress(r)
	defer show.end()
	warm := r.from == 0
	first = marks{at: r.begin, cpu: cpuTime()}
	last = first
	timer := time.NewTimer(0)
	defer timer.Stop()
	for over := false; ; {
		wait := time.Second
		if !warm {
			wait = min(wait, time.Until(r.begin.Add(r.from)))
		}
		timer.Reset(min(wait, time.Until(r.begin.Add(r.to))))
		select {
		case <-timer.C:
		case <-ended:
			over = true
		case <-ctx.Done():
			return first, last, fmt.Errorf("interrupted: %w", ctx.Err())
		}
		now := mark(tallies)
		switch {
		case over:
			return first, now, nil
		case !warm && now.at.Sub(r.begin) >= r.from:
			warm, first = true, now
		case now.at.Sub(r.begin) >= r.to:
			return first, now, nil
		}
		show.rates(now, last, warm)
		last = now
	}
}

func (r *run) result(first, last marks) *Result {
	seconds := last.at.Sub(first.at).Seconds()
	return &Result{
		Case: r.name, Began: first.at.UnixMilli(), Seconds: seconds, Errors: map[string]int64{},
		AckedPerSecond:     float64(last.acked-first.acked) / seconds,
		DeliveredPerSecond: float64(last.delivered-first.delivered) / seconds,
		LoadCPU:            (last.cpu - first.cpu).Seconds() / seconds / cores(),
	}
}

// dueAt is when the i-th item of an open schedule is due, since the run's begin.
func dueAt(i int64, rate float64) time.Duration {
	return time.Duration(float64(i) / rate * float64(time.Second))
}

// schedule sends one item after another, each when it is due, until none is
// due any more. It may be late, but leaves none out.
func (r *run) schedule(ctx context.Context, rate float64, sleep func(time.Duration), send func(i int64)) {
	for i := int64(0); ctx.Err() == nil; i++ {
		due := dueAt(i, rate)
		if due >= r.to {
			return
		}
		if d := due - time.Since(r.begin); d > 0 {
			sleep(d)
		}
		send(i)
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
