//go:build faults

package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"sponge/pkg/client"
)

// probe asks one handler group for something again and again, and knows what
// must be in MySQL for each success.
type probe struct {
	stream *stream // what resume knows it by
	device *device
	h      *history
	ask    func(ctx context.Context, name string) error
	count  string // a query for how many rows a success has made; with one parameter, its name

	mu      sync.Mutex // guards the following
	chapter int
	done    []string // successes
	asked   int
}

// probeLimit bounds one question: the client repeats it until then.
const probeLimit = 60 * time.Second

func (l *load) makeProbes(ctx context.Context) error {
	add := func(name string, count string, ask func(p *probe) func(context.Context, string) error) error {
		p := &probe{stream: &stream{name: name}, h: l.h, count: count, device: &device{name: name, home: len(l.probes)}}
		p.device.home %= len(l.dialer.edges)
		if err := l.enter(ctx, p.device); err != nil {
			return err
		}
		p.ask = ask(p)
		l.probes = append(l.probes, p)
		return nil
	}
	return errors.Join(
		add("register", "SELECT COUNT(*) FROM users WHERE name = ?", func(p *probe) func(context.Context, string) error {
			return func(ctx context.Context, name string) error {
				_, err := p.device.client.Register(ctx, name, password)
				return err
			}
		}),
		add("log in", "", func(p *probe) func(context.Context, string) error {
			return func(ctx context.Context, name string) error {
				d := &device{name: name, user: p.device.user, home: p.home(name)}
				if err := l.until(ctx, func() error { return l.dialer.connect(ctx, d) }); err != nil {
					return err
				}
				defer d.client.Close()
				_, err := d.client.Login(ctx, d.user, password)
				return err
			}
		}),
		add("list friends", "", func(p *probe) func(context.Context, string) error {
			return func(ctx context.Context, _ string) error {
				_, err := p.device.client.Friends(ctx)
				return err
			}
		}),
		add("create a group", "SELECT COUNT(*) FROM `groups` WHERE name = ?", func(p *probe) func(context.Context, string) error {
			return func(ctx context.Context, name string) error {
				_, err := p.device.client.CreateGroup(ctx, name, "")
				return err
			}
		}),
	)
}

// home spreads what a probe connects over the edges.
func (p *probe) home(name string) int { return len(name) % numEdges }

func (p *probe) begin(chapter int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chapter, p.done, p.asked = chapter, nil, 0
}

// run asks on a schedule that waits for no answer.
func (p *probe) run(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			asking.Go(p.once)
		}
	}
}

func (p *probe) once() {
	p.mu.Lock()
	p.asked++
	name := fmt.Sprintf("%s %d.%d", p.stream.name, p.chapter, p.asked)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	m := &message{text: name, stream: p.stream, posted: time.Now()}
	err := p.ask(ctx, name)
	if err != nil && errors.Is(err, client.ErrClosed) {
		return
	}
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	if err != nil {
		p.h.fault("%s: %v", name, err)
		return
	}
	if p.h.waiting != nil {
		p.h.waiting.acked(m, time.Now())
	}
	p.mu.Lock()
	p.done = append(p.done, name)
	p.mu.Unlock()
}

// check looks for every success in MySQL.
func (p *probe) check(ctx context.Context, db *sql.DB) (wrong []string) {
	if p.count == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range p.done {
		var n int
		if err := db.QueryRowContext(ctx, p.count, name).Scan(&n); err != nil {
			return append(wrong, err.Error())
		}
		if n != 1 {
			wrong = append(wrong, fmt.Sprintf("%q succeeded, and is there %d times", name, n))
		}
	}
	return wrong
}
