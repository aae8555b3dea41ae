package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sponge/pkg/client"
)

// IdleConfig is what Idle is to do.
type IdleConfig struct {
	Connections int
	Accounts    int // that the connections are spread over: making one for each would take long
	Pid         int // the process whose memory is looked at, freshly started, else it has room already; 0: none

	// Setup are the edges that accounts are made through, so that the one that
	// is looked at has done nothing before the connections come; nil: Addrs.
	Setup []string
}

// Idle logs connections in and leaves them alone for the run's duration. Sent
// counts the connections, Acked those that are still there at the end;
// AckMs is how long a login took. BytesPerConnection is by how much the
// process's resident memory has grown, for each connection.
//
// All come over one local address up to perAddress; loopback has more.
func Idle(ctx context.Context, o Options, cfg IdleConfig) (*Result, error) {
	if cfg.Connections < 1 {
		return nil, errors.New("at least one connection is needed")
	}
	r := newRun("idle", o)
	r.from, r.to = 0, o.Duration
	setup := r
	if len(cfg.Setup) > 0 {
		o.Addrs = cfg.Setup
		setup = newRun("idle", o)
	}
	guests, err := setup.guests(ctx, min(max(cfg.Accounts, 1), cfg.Connections))
	if err != nil {
		return nil, err
	}
	before, err := r.calm(ctx, cfg.Pid)
	if err != nil {
		return nil, err
	}
	crowd, err := r.crowd(ctx, guests, cfg.Connections)
	defer crowd.close()
	if err != nil {
		return nil, err
	}
	res, err := r.measure(ctx, nil, func() {})
	if err != nil {
		return nil, err
	}
	after, err := r.calm(ctx, cfg.Pid)
	if err != nil {
		return nil, err
	}
	res.BytesPerConnection = (after - before) / int64(cfg.Connections)
	r.finish(res)
	res.Sent, res.Acked = int64(cfg.Connections), int64(cfg.Connections)-crowd.broken.Load()
	return res, nil
}

// calm waits until a process's memory hardly changes any more, since what it
// did just now leaves garbage; at most as long as it may take to settle. It
// returns the bytes, 0 for no process.
func (r *run) calm(ctx context.Context, pid int) (now int64, err error) {
	if pid == 0 {
		return 0, nil
	}
	const hardly = 256 // parts of the whole, in a second
	now, err = resident(pid)
	for end := time.Now().Add(r.Settle); err == nil && time.Now().Before(end); {
		before := now
		if err := pause(ctx, time.Second); err != nil {
			return 0, err
		}
		if now, err = resident(pid); max(now-before, before-now) < before/hardly {
			break
		}
	}
	return now, err
}

// guests are accounts with a token each.
func (r *run) guests(ctx context.Context, n int) ([]*guest, error) {
	accounts, err := r.register(ctx, n)
	if err != nil {
		return nil, err
	}
	guests := make([]*guest, n)
	for i := range guests {
		guests[i] = &guest{run: r, index: i, account: accounts[i]}
	}
	return guests, each(ctx, n, func(ctx context.Context, i int) error { return guests[i].makeToken(ctx) })
}

// crowd is many silent connections.
type crowd struct {
	clients []*client.Client
	broken  atomic.Int64
}

// idleParallel is how many connections are made at a time.
const idleParallel = 64

func (r *run) crowd(ctx context.Context, guests []*guest, n int) (*crowd, error) {
	c := &crowd{clients: make([]*client.Client, n)}
	show := newProgress(r)
	defer show.end()
	r.begin = time.Now()
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(idleParallel)
	var made atomic.Int64
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		work.Go(func() error {
			began := time.Now()
			cl, err := client.Dial(ctx, client.Config{Addrs: r.rotated(i), Raw: true, Ping: -1, Dial: dialFrom(i / perAddress),
				OnLink: func(l client.Link) {
					if !l.Up && !errors.Is(l.Err, client.ErrClosed) {
						c.broken.Add(1)
					}
				}})
			if err != nil {
				return err
			}
			c.clients[i] = cl
			g := guests[i%len(guests)]
			if _, err := cl.Resume(ctx, g.account.user, g.token); err != nil {
				return fmt.Errorf("log in connection %d: %w", i, err)
			}
			r.acks.record(i, time.Since(began))
			show.say("connecting: %d of %d", made.Add(1), n)
			return nil
		})
	}
	return c, work.Wait()
}

func (c *crowd) close() {
	for _, cl := range c.clients {
		if cl != nil {
			cl.Close()
		}
	}
}

// perAddress is how many connections come from one local address; the kernel
// has 28,232 ports for each.
const perAddress = 25_000

// dialFrom dials loopback from its k-th address, 127.0.0.1 and up; other
// addresses from wherever the kernel likes.
func dialFrom(k int) client.DialFunc {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		d := net.Dialer{KeepAlive: -1}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); k > 0 && ip != nil && ip.To4() != nil && ip.IsLoopback() {
			d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, byte(k>>8), byte(k)+1)}
		}
		return d.DialContext(ctx, "tcp", addr)
	}
}
