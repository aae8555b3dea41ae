package main

import (
	"context"
	"encoding/json"
	"os"
	"runtime/debug"
	"time"

	"sponge/pkg/bench"
)

// benchCommand puts load on edges, each case with its own options.
type benchCommand struct {
	Chat  benchChat  `cmd:"" help:"Pairs, each sender keeping a window of unanswered messages: what is acknowledged and delivered a second."`
	Rate  benchRate  `cmd:"" help:"Pairs at a fixed rate, on an open schedule: latency from when each message was due."`
	Group benchGroup `cmd:"" help:"A group of which some members send: deliveries a second."`
	Idle  benchIdle  `cmd:"" help:"Connections that are logged in and silent: the edge's memory for each."`
	Login benchLogin `cmd:"" help:"Logins a second, each on a connection of its own."`
}

// benchOptions are the options of every case.
type benchOptions struct {
	Addr     []string      `default:"127.0.0.1:8000" placeholder:"HOST:PORT" help:"An edge; give it again for more, connections are spread over them (127.0.0.1:8000)."`
	Duration time.Duration `default:"20s" help:"How long is measured."`
	Warmup   time.Duration `default:"2s" help:"How long before that load is put on without being measured."`
	Settle   time.Duration `default:"10s" help:"How long at most to wait at the end for what is outstanding."`
	JSON     bool          `name:"json" help:"Print one JSON object instead of a table."`
}

// run runs a case, prints its result, and fails where the accounts do not
// balance.
func (o *benchOptions) run(f func(bench.Options) (*bench.Result, error)) error {
	debug.SetGCPercent(400) // the less this process takes from the servers beside it, the better
	terminal := false
	if info, err := os.Stderr.Stat(); err == nil {
		terminal = info.Mode()&os.ModeCharDevice != 0
	}
	result, err := f(bench.Options{Addrs: o.Addr, Duration: o.Duration, Warmup: o.Warmup, Settle: o.Settle,
		Progress: os.Stderr, Terminal: terminal})
	if err != nil {
		return err
	}
	if o.JSON {
		err = json.NewEncoder(os.Stdout).Encode(result)
	} else {
		err = result.Table(os.Stdout)
	}
	if err != nil {
		return err
	}
	return result.Err()
}

type benchChat struct {
	benchOptions
	Pairs  int `default:"50" help:"Pairs of users; one of each sends to the other."`
	Window int `default:"16" help:"Unanswered messages of each sender, 1 to 64."`
	Size   int `default:"100" help:"Bytes of a message."`
}

// Run runs the case.
func (c *benchChat) Run(ctx context.Context) error {
	return c.run(func(o bench.Options) (*bench.Result, error) { return bench.Chat(ctx, o, c.Pairs, c.Window, c.Size) })
}

type benchRate struct {
	benchOptions
	Rate  float64 `default:"1000" help:"Messages a second, of all pairs together."`
	Pairs int     `default:"50" help:"Pairs of users; one of each sends to the other."`
	Size  int     `default:"100" help:"Bytes of a message."`
}

// Run runs the case.
func (c *benchRate) Run(ctx context.Context) error {
	return c.run(func(o bench.Options) (*bench.Result, error) { return bench.Rate(ctx, o, c.Rate, c.Pairs, c.Size) })
}

type benchGroup struct {
	benchOptions
	Members int `default:"200" help:"Members of the group, all of them connected."`
	Senders int `default:"4" help:"Members who send."`
	Window  int `default:"1" help:"Unanswered messages of each sender, 1 to 64."`
	Size    int `default:"100" help:"Bytes of a message."`
}

// Run runs the case.
func (c *benchGroup) Run(ctx context.Context) error {
	return c.run(func(o bench.Options) (*bench.Result, error) {
		return bench.Group(ctx, o, c.Members, c.Senders, c.Window, c.Size)
	})
}

type benchIdle struct {
	benchOptions
	Connections int `default:"10000" help:"Connections; each is an open file on both sides."`
	Accounts    int `default:"500" help:"Accounts that the connections are spread over, as devices."`
	Pid         int `help:"The edge's process, freshly started: its resident memory is looked at before and after."`
}

// Run runs the case.
func (c *benchIdle) Run(ctx context.Context) error {
	return c.run(func(o bench.Options) (*bench.Result, error) {
		return bench.Idle(ctx, o, bench.IdleConfig{Connections: c.Connections, Accounts: c.Accounts, Pid: c.Pid})
	})
}

type benchLogin struct {
	benchOptions
	Clients int  `default:"32" help:"Clients, each logging in again and again."`
	Token   bool `help:"Resume sessions by token instead of giving the password."`
}

// Run runs the case.
func (c *benchLogin) Run(ctx context.Context) error {
	return c.run(func(o bench.Options) (*bench.Result, error) { return bench.Login(ctx, o, c.Clients, c.Token) })
}
