package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"runtime/debug"
	"time"

	"sponge/pkg/bench"
	"sponge/pkg/bench/floor"
	"sponge/pkg/config"
)

// benchCommand puts load on edges, each case with its own options.
type benchCommand struct {
	Chat  benchChat  `cmd:"" help:"Pairs, each sender keeping a window of unanswered messages: what is acknowledged and delivered a second."`
	Rate  benchRate  `cmd:"" help:"Pairs at a fixed rate, on an open schedule: latency from when each message was due."`
	Group benchGroup `cmd:"" help:"A group of which some members send: deliveries a second."`
	Idle  benchIdle  `cmd:"" help:"Connections that are logged in and silent: the edge's memory for each."`
	Login benchLogin `cmd:"" help:"Logins a second, each on a connection of its own."`
	Floor benchFloor `cmd:"" help:"The same work without Sponge, on the same services: what the parts allow."`
	Load  benchLoad  `cmd:"" help:"Fill a store with accounts, groups and messages, to measure the other cases on grown data."`
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
	result, err := f(progressing(bench.Options{Addrs: o.Addr, Duration: o.Duration, Warmup: o.Warmup, Settle: o.Settle}))
	if err != nil {
		return err
	}
	return show(result, o.JSON)
}

// progressing adds the terminal to a run's options, and makes this process
// take little from the servers beside it.
func progressing(o bench.Options) bench.Options {
	debug.SetGCPercent(400)
	o.Progress, o.Terminal = os.Stderr, isTerminal(os.Stderr)
	return o
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// show prints a result, and fails where its accounts do not balance.
func show(result interface {
	Table(io.Writer) error
	Err() error
}, asJSON bool) error {
	var err error
	if asJSON {
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
	Absent  int `help:"Members more, who are not connected."`
	Senders int `default:"4" help:"Members who send."`
	Window  int `default:"1" help:"Unanswered messages of each sender, 1 to 64."`
	Size    int `default:"100" help:"Bytes of a message."`
}

// Run runs the case.
func (c *benchGroup) Run(ctx context.Context) error {
	return c.run(func(o bench.Options) (*bench.Result, error) {
		return bench.Group(ctx, o, c.Members, c.Absent, c.Senders, c.Window, c.Size)
	})
}

type benchIdle struct {
	benchOptions
	Connections int `default:"10000" help:"Connections; each is an open file on both sides."`
	Accounts    int `default:"500" help:"Accounts that the connections are spread over, as devices."`
	Pid         int `help:"The edge's process, freshly started: its resident memory is looked at before and after."`

	SetupAddr []string `placeholder:"HOST:PORT" help:"Other edges to make the accounts through, so that the edge of --pid is still fresh when the connections come."`
}

// Run runs the case.
func (c *benchIdle) Run(ctx context.Context) error {
	return c.run(func(o bench.Options) (*bench.Result, error) {
		return bench.Idle(ctx, o, bench.IdleConfig{Connections: c.Connections, Accounts: c.Accounts, Pid: c.Pid, Setup: c.SetupAddr})
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

type benchFloor struct {
	Addr     []string      `placeholder:"HOST:PORT" help:"An edge; give it again for more. Sponge itself is measured, too, in the same run, and compared."`
	Duration time.Duration `default:"10s" help:"How long each stage is measured, at the rate and at saturation."`
	Warmup   time.Duration `default:"2s" help:"How long before that it works without being measured."`
	Settle   time.Duration `default:"10s" help:"How long at most to wait at the end for what is outstanding."`
	Rate     float64       `default:"1000" help:"Items a second at which the hops' latency is measured."`
	Size     int           `default:"100" help:"Bytes of a message, at least 16."`
	JSON     bool          `name:"json" help:"Print one JSON object instead of a table."`
}

// Help is the long help.
func (benchFloor) Help() string {
	return `Four stages do what a chat message needs, without Sponge: echo (frames over
TCP, 100 connections, window 16), produce (records to Kafka, acks=all, 800
under way), store (records from Kafka to rows of messages and conversations,
up to 500 a transaction) and stream (entries of a Redis stream, XADD and
XREAD). Each is measured at a fixed rate on an open schedule, and at
saturation. With --addr, "chat --pairs 50 --window 16" and "rate" come first.

The services are those of SPONGE_KAFKA, SPONGE_REDIS, SPONGE_MYSQL and
SPONGE_NAMESPACE, as for a worker; "sponge up" writes them to the file env in
its folder (set -a; . data/env). Schema and topics must be there. The run makes
a topic, a stream and rows of its own, of users from 2^52 on, and removes them
at its end, also after Ctrl-C; what one left that was killed, the next one
removes.`
}

// Run runs the stages.
func (c *benchFloor) Run(ctx context.Context) error {
	cfg, err := config.Load[floor.Config]()
	if err != nil {
		return err
	}
	cfg.Rate, cfg.Size = c.Rate, c.Size
	o := progressing(bench.Options{Addrs: c.Addr, Duration: c.Duration, Warmup: c.Warmup, Settle: c.Settle})
	result, err := floor.Run(ctx, o, cfg)
	if err != nil {
		return err
	}
	return show(result, c.JSON)
}
