package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"sponge/pkg/bench"
)

// load is what one process of `sponge bench` is to do.
type load struct {
	args []string
	addr string
	out  bytes.Buffer
	errs bytes.Buffer
	cmd  *exec.Cmd
}

// runBench runs loads beside each other while processes are watched, and adds
// up. A result that does not count has an error beside it.
func runBench(ctx context.Context, binary string, loads []*load, servers []*process) (record, error) {
	var err error
	all := append([]*process{{name: others, pid: machine}}, servers...)
	for _, l := range loads {
		l.cmd = exec.CommandContext(ctx, binary, append(append([]string{"bench"}, l.args...), "--json", "--addr", l.addr)...)
		l.cmd.Env, l.cmd.Stdout, l.cmd.Stderr = environment(), &l.out, &l.errs
		l.cmd.Cancel = func() error { return l.cmd.Process.Signal(syscall.SIGTERM) }
		l.cmd.WaitDelay = stopPatience
		if err = l.cmd.Start(); err != nil {
			break
		}
		client := &process{name: "client", pid: l.cmd.Process.Pid}
		client.look() // it may be gone at the next
		all = append(all, client)
	}
	var looking sync.WaitGroup
	watching, stop := context.WithCancel(ctx)
	looking.Go(func() { watch(watching, all) })
	var results []bench.Result
	errs := []error{err}
	for _, l := range loads {
		if l.cmd == nil || l.cmd.Process == nil {
			break
		}
		res, err := l.wait()
		if res != nil {
			results = append(results, *res)
		}
		errs = append(errs, err)
	}
	stop()
	looking.Wait()
	err = errors.Join(errs...)
	if len(results) < len(loads) {
		return record{}, err
	}
	r := record{Bench: merge(results)}
	if err != nil {
		r.Error = err.Error()
	}
	from := time.UnixMilli(r.Bench.Began)
	r.Cores, r.Resident, err = between(all, from, from.Add(time.Duration(r.Bench.Seconds*float64(time.Second))))
	return r, err
}

// wait waits for the end. There may be a result with the error: that of
// accounts which do not balance.
func (l *load) wait() (*bench.Result, error) {
	err := l.cmd.Wait()
	if err != nil {
		err = fmt.Errorf("%v: %w\n%s", l.cmd.Args, err, l.errs.String())
	}
	var res bench.Result
	if bad := json.Unmarshal(l.out.Bytes(), &res); bad != nil {
		return nil, errors.Join(err, fmt.Errorf("%v printed %q: %w", l.cmd.Args, l.out.String(), bad))
	}
	return &res, err
}

// merge adds up results of the same case. Latencies are the worst of each; the
// measured time is that of who began last; memory is a mean over connections.
func merge(all []bench.Result) bench.Result {
	sum := all[0]
	for _, r := range all[1:] {
		if sum.Sent+r.Sent > 0 {
			sum.BytesPerConnection = (sum.BytesPerConnection*sum.Sent + r.BytesPerConnection*r.Sent) / (sum.Sent + r.Sent)
		}
		sum.Sent, sum.Acked = sum.Sent+r.Sent, sum.Acked+r.Acked
		sum.Delivered, sum.Expected = sum.Delivered+r.Delivered, sum.Expected+r.Expected
		sum.Lost, sum.Duplicated, sum.OutOfOrder = sum.Lost+r.Lost, sum.Duplicated+r.Duplicated, sum.OutOfOrder+r.OutOfOrder
		errs := map[string]int64{}
		for _, from := range []map[string]int64{sum.Errors, r.Errors} {
			for code, n := range from {
				errs[code] += n
			}
		}
		sum.Errors = errs
		if r.Began > sum.Began {
			sum.Began, sum.Seconds = r.Began, r.Seconds
		}
		sum.AckedPerSecond += r.AckedPerSecond
		sum.DeliveredPerSecond += r.DeliveredPerSecond
		sum.AckMs, sum.EndToEndMs = worst(sum.AckMs, r.AckMs), worst(sum.EndToEndMs, r.EndToEndMs)
		sum.LoadCPU += r.LoadCPU
	}
	return sum
}

func worst(a, b bench.Quantiles) bench.Quantiles {
	return bench.Quantiles{P50: max(a.P50, b.P50), P99: max(a.P99, b.P99), P999: max(a.P999, b.P999), Max: max(a.Max, b.Max)}
}

// loadsOf splits a case with edges of its own over as many as the limit on open
// files asks for: each connection is one of an edge and one of a client.
func loadsOf(c *benchCase, point int, duration time.Duration) ([]*load, error) {
	args := append(append([]string{}, c.args...), "--duration", duration.String())
	if !c.fresh {
		if c.option != "" {
			args = append(args, c.option, strconv.Itoa(point))
		}
		return []*load{{args: args}}, nil
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, os.NewSyscallError("getrlimit", err)
	}
	var loads []*load
	for _, n := range spreadOver(point, limit.Max) {
		loads = append(loads, &load{args: append(append([]string{}, args...), c.option, strconv.Itoa(n))})
	}
	return loads, nil
}

// spreadOver splits connections into parts as even as can be, each below the
// limit with room for what a process opens besides.
func spreadOver(connections int, limit uint64) (parts []int) {
	const besides = 500
	each := max(int(min(limit, 1<<20))-besides, besides)
	n := (connections + each - 1) / each
	for i := range n {
		parts = append(parts, (connections+i)/n)
	}
	return parts
}
