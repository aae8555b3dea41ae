package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"sponge/pkg/client"
	"sponge/pkg/protocol"
)

// Login measures logins, each on a connection of its own: connect, log in,
// close. With byToken they resume a session, else each gives its password.
// What is acknowledged is a login; nothing is delivered.
func Login(ctx context.Context, o Options, clients int, byToken bool) (*Result, error) {
	if clients < 1 {
		return nil, errors.New("at least one client is needed")
	}
	r := newRun("login", o)
	accounts, err := r.register(ctx, clients)
	if err != nil {
		return nil, err
	}
	guests := make([]*guest, clients)
	tallies := make([]*tally, clients)
	for i := range guests {
		guests[i] = &guest{run: r, index: i, account: accounts[i]}
		tallies[i] = &guests[i].tally
	}
	if byToken {
		err := each(ctx, clients, func(ctx context.Context, i int) error { return guests[i].makeToken(ctx) })
		if err != nil {
			return nil, err
		}
	}
	var all sync.WaitGroup
	load, stop := context.WithCancel(ctx)
	defer all.Wait()
	defer stop()
	res, err := r.measure(ctx, tallies, func() {
		for _, g := range guests {
			all.Go(func() { g.repeat(load) })
		}
	})
	if err != nil {
		return nil, err
	}
	r.stopped.Store(true)
	timeout := time.AfterFunc(o.Settle, stop)
	all.Wait() // each ends with the login it is at
	timeout.Stop()
	r.finish(res)
	for _, g := range guests {
		res.Sent += g.sent
		res.Acked += g.acked
	}
	return res, nil
}

// guest logs in again and again.
type guest struct {
	run     *run
	index   int
	account account
	token   string
	tally   tally

	sent, acked int64 // in the measured time; for its goroutine until the run is over
}

func (g *guest) makeToken(ctx context.Context) error {
	a, err := g.login(ctx, g.index)
	g.token = a.Token
	return err
}

func (g *guest) repeat(ctx context.Context) {
	for turn := g.index; ctx.Err() == nil && !g.run.stopped.Load(); turn++ {
		began := time.Now()
		_, err := g.login(ctx, turn)
		counts := g.run.measured(g.run.since(began))
		if counts {
			g.sent++
		}
		if err != nil {
			g.run.fault(faultKey(err))
			_ = pause(ctx, retryAfter)
			continue
		}
		g.tally.acked.Add(1)
		if counts {
			g.acked++
			g.run.acks.record(g.index, time.Since(began))
		}
	}
}

func (g *guest) login(ctx context.Context, turn int) (client.Account, error) {
	c, err := client.Dial(ctx, client.Config{Addrs: g.run.rotated(turn), Raw: true})
	if err != nil {
		return client.Account{}, err
	}
	defer c.Close()
	if g.token != "" {
		return c.Resume(ctx, g.account.user, g.token)
	}
	return c.Login(ctx, g.account.user, g.account.password)
}

// faultKey is what an error counts as.
func faultKey(err error) string {
	var refused *protocol.Error
	switch {
	case errors.As(err, &refused):
		return code(refused.Code)
	case errors.Is(err, context.Canceled):
		return unanswered
	}
	return closed
}
