package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Stage is one bare part of a message's way, measured alone. The package does
// not know what it does.
type Stage interface {
	// Saturate carries items as fast as they go until ctx ends, which is no
	// error, and calls done for those that came through. It may end earlier
	// where nothing is left to carry.
	Saturate(ctx context.Context, done func(items int)) error

	// Carry carries items as they come, whatever waits together, until ctx
	// ends, which is no error. It calls arrived for each that came through. Both
	// functions may be called from any goroutine.
	Carry(ctx context.Context, items <-chan int64, arrived func(item int64)) error
}

// Flow is a stage at saturation.
type Flow struct {
	PerSecond float64 `json:"perSecond"` // items
	Seconds   float64 `json:"seconds"`   // measured
	CPU       float64 `json:"cpu"`       // share of all cores that this process used, 0 to 1
}

// Hop is a stage at a fixed rate, on an open schedule.
type Hop struct {
	PerSecond float64   `json:"perSecond"` // items that were due
	Ms        Quantiles `json:"ms"`        // from when an item was due
	CPU       float64   `json:"cpu"`       // share of all cores that this process used, 0 to 1
}

// errIdle says that a stage ended by itself before it had carried anything.
var errIdle = errors.New("nothing was carried")

// Saturate measures how much a stage carries. The name is for the progress.
func Saturate(ctx context.Context, o Options, name string, s Stage) (Flow, error) {
	r := newRun(name, o)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var t tally
	var failed error
	var once sync.Once
	started, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		failed = s.Saturate(ctx, func(items int) {
			once.Do(func() { // what it takes to connect is not measured
				r.begin = time.Now()
				close(started)
			})
			t.acked.Add(int64(items))
		})
	}()
	select {
	case <-started:
	case <-ended:
	case <-ctx.Done():
		<-ended
		return Flow{}, fmt.Errorf("%s: interrupted: %w", name, ctx.Err())
	}
	first, last, err := r.watch(ctx, []*tally{&t}, ended)
	stop()
	<-ended
	if err := errors.Join(failed, err); err != nil {
		return Flow{}, fmt.Errorf("%s: %w", name, err)
	}
	res := r.result(first, last)
	if res.AckedPerSecond == 0 {
		return Flow{}, fmt.Errorf("%s: %w", name, errIdle)
	}
	return Flow{PerSecond: res.AckedPerSecond, Seconds: res.Seconds, CPU: res.LoadCPU}, nil
}

// backlog is how many items may wait for a stage that does not keep up; more
// are late from when they were due all the same.
const backlog = 1 << 16

// Pace measures how long a stage takes for an item when items are due at a
// fixed rate. What has not come through when the time to settle is over is an
// error: no latency could tell of it.
func Pace(ctx context.Context, o Options, name string, rate float64, s Stage) (Hop, error) {
	if rate <= 0 {
		return Hop{}, errors.New("a rate is above 0")
	}
	r := newRun(name, o)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var t tally
	var failed error
	items, ended := make(chan int64, backlog), make(chan struct{})
	ready := make(chan struct{})
	isReady := sync.OnceFunc(func() { close(ready) })
	go func() {
		defer close(ended)
		failed = s.Carry(ctx, items, func(i int64) {
			if i == 0 {
				isReady()
				return
			}
			at, due := r.since(time.Now()), int64(dueAt(i-1, rate))
			t.acked.Add(1)
			if r.measured(due) {
				r.acks.record(int(i), time.Duration(at-due))
			}
		})
	}()
	items <- 0 // ahead of the schedule: what it takes to connect is not measured
	select {
	case <-ready:
	case <-ended:
	case <-ctx.Done():
	}
	r.begin = time.Now()
	var total int64 // of the schedule, until scheduled is closed
	scheduled := make(chan struct{})
	go precisely(func(sleep func(time.Duration)) {
		defer close(scheduled)
		r.schedule(ctx, rate, sleep, func(i int64) {
			total++
			select {
			case items <- i + 1:
			case <-ctx.Done():
			}
		})
	})
	first, last, err := r.watch(ctx, []*tally{&t}, ended)
	if err == nil {
		over := func() bool {
			select {
			case <-ended:
				return true // it failed
			case <-scheduled:
				return t.acked.Load() >= total
			default:
				return false
			}
		}
		err = r.settle(ctx, over)
	}
	arrived := t.acked.Load()
	stop()
	<-ended
	<-scheduled
	if err == nil && failed == nil && arrived != total {
		err = fmt.Errorf("of %d items %d came through", total, arrived)
	}
	if err := errors.Join(failed, err); err != nil {
		return Hop{}, fmt.Errorf("%s: %w", name, err)
	}
	res := r.result(first, last)
	return Hop{PerSecond: rate, Ms: r.acks.quantiles(), CPU: res.LoadCPU}, nil
}
