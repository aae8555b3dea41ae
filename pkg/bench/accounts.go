package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"sponge/pkg/client"
)

// account is one that the run has registered.
type account struct {
	user     int64
	password string
}

// setupParallel is how many connections make accounts and groups at a time:
// enough to keep the workers' hashing busy.
const setupParallel = 16

// register makes n accounts.
func (r *run) register(ctx context.Context, n int) ([]account, error) {
	accounts := make([]account, n)
	name := "bench-" + rand.Text()[:8]
	var next, made atomic.Int64
	show := newProgress(r)
	defer show.end()
	work, ctx := errgroup.WithContext(ctx)
	for w := range min(setupParallel, n) {
		work.Go(func() error {
			c, err := client.Dial(ctx, client.Config{Addrs: r.rotated(w), Raw: true})
			if err != nil {
				return err
			}
			defer c.Close()
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				password := rand.Text()
				a, err := c.Register(ctx, fmt.Sprintf("%s-%d", name, i), password)
				if err != nil {
					return fmt.Errorf("register: %w", err)
				}
				accounts[i] = account{a.User, password}
				show.say("registering accounts: %d of %d", made.Add(1), n)
			}
		})
	}
	return accounts, work.Wait()
}

// rotated are the addresses, beginning with the i-th.
func (r *run) rotated(i int) []string {
	i %= len(r.Addrs)
	return append(append([]string{}, r.Addrs[i:]...), r.Addrs[:i]...)
}

// each runs f for 0 to n-1, some at a time.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(setupParallel)
	for i := range n {
		work.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return f(ctx, i)
		})
	}
	return work.Wait()
}
