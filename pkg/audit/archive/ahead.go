package archive

import (
	"context"
	"sync"
)

// aheadMost is how many manifests are read at the same time: a bucket takes its
// time to answer, and a year may have thousands.
const aheadMost = 8

// ahead reads manifests 1 to n, some at the same time, and gives them in order.
// It is for one goroutine.
type ahead struct {
	queue   chan chan fetched // in order
	running sync.WaitGroup
}

type fetched struct {
	b   []byte
	err error
}

// readAhead begins. Who ends ctx waits for it.
func readAhead(ctx context.Context, s Store, n int64) *ahead {
	a := &ahead{queue: make(chan chan fetched, aheadMost)}
	a.running.Go(func() {
		defer close(a.queue)
		for i := int64(1); i <= n; i++ {
			one := make(chan fetched, 1)
			select {
			case a.queue <- one: // waits while enough are on their way
			case <-ctx.Done():
				return
			}
			a.running.Go(func() {
				b, err := fetch(ctx, s, i)
				one <- fetched{b, err}
			})
		}
	})
	return a
}

// next is the next manifest. It must not be called more than n times. ctx is that
// of readAhead.
func (a *ahead) next(ctx context.Context) ([]byte, error) {
	one, ok := <-a.queue
	if !ok {
		return nil, ctx.Err()
	}
	f := <-one
	return f.b, f.err
}

// wait waits for what is on its way.
func (a *ahead) wait() { a.running.Wait() }
