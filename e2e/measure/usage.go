package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used and uses.
type usage struct {
	cpu      time.Duration // user and system, of all its threads, since its start
	resident int64         // bytes
}

// machine stands for all that runs, in place of a process's id. What a
// hypervisor gave to others counts, too.
const machine = 0

// readUsage asks Linux.
func readUsage(pid int) (usage, error) {
	if pid == machine {
		text, err := os.ReadFile("/proc/stat")
		if err != nil {
			return usage{}, err
		}
		return parseMachine(string(text))
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	return parseStat(string(text), int64(os.Getpagesize()))
}

const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux

// parseMachine reads /proc/stat, see proc_stat(5), as if the machine were one
// process.
func parseMachine(text string) (u usage, err error) {
	const idle, iowait, steal = 4, 5, 8
	first, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(first)
	if len(fields) <= steal || fields[0] != "cpu" {
		return u, fmt.Errorf("%q is no beginning of /proc/stat", first)
	}
	for i, field := range fields[1 : steal+1] { // guests are in what comes before
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("%q: %w", first, err)
		}
		if i+1 != idle && i+1 != iowait {
			u.cpu += time.Duration(ticks) * tick
		}
	}
	return u, nil
}

// parseStat reads a line of /proc/PID/stat, see proc_pid_stat(5). The program's
// name in it may hold anything, blanks and parentheses too.
func parseStat(text string, page int64) (u usage, err error) {
	const (
		third           = 3 // number of the first field behind the name
		utime, stime    = 14 - third, 15 - third
		rss             = 24 - third
		beforeTheFields = ") "
	)
	fields := strings.Fields(text[strings.LastIndex(text, beforeTheFields)+1:])
	if len(fields) <= rss || !strings.Contains(text, beforeTheFields) {
		return u, fmt.Errorf("%q is no line of /proc/PID/stat", text)
	}
	var ticks [2]int64
	for i, field := range []int{utime, stime} {
		if ticks[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return u, fmt.Errorf("%q: %w", text, err)
		}
	}
	pages, err := strconv.ParseInt(fields[rss], 10, 64)
	if err != nil {
		return u, fmt.Errorf("%q: %w", text, err)
	}
	return usage{cpu: time.Duration(ticks[0]+ticks[1]) * tick, resident: pages * page}, nil
}

// process is one that is watched. Several may have the same name: they count
// together.
type process struct {
	name string
	pid  int
	seen []sighting
}

type sighting struct {
	at time.Time
	usage
}

// watch looks at processes until ctx ends, often enough that a measured time
// begins and ends close to a look. Nothing of a process that is gone changes
// any more.
func watch(ctx context.Context, all []*process) {
	const often = 200 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		for _, p := range all {
			p.look()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *process) look() {
	if u, err := readUsage(p.pid); err == nil && (u.resident > 0 || len(p.seen) == 0 || p.pid == machine) { // a zombie has none
		p.seen = append(p.seen, sighting{time.Now(), u})
	}
}

// cpuAt is the CPU time at a moment, in proportion between two looks.
func (p *process) cpuAt(t time.Time) time.Duration {
	for i, s := range p.seen {
		if s.at.Before(t) {
			continue
		}
		if i == 0 {
			return s.cpu
		}
		b := p.seen[i-1]
		part := float64(t.Sub(b.at)) / float64(s.at.Sub(b.at))
		return b.cpu + time.Duration(part*float64(s.cpu-b.cpu))
	}
	return p.seen[len(p.seen)-1].cpu
}

// residentAt is the memory at the last look before a moment.
func (p *process) residentAt(t time.Time) int64 {
	last := p.seen[0]
	for _, s := range p.seen {
		if s.at.After(t) {
			break
		}
		last = s
	}
	return last.resident
}

// others is the name of what the machine did besides.
const others = "others"

// between sums up, by name: the cores that were kept busy, and the memory at
// the end. Where the machine is among them, the rest of it is the others'.
func between(all []*process, from, to time.Time) (cores map[string]float64, resident map[string]int64, err error) {
	cores, resident = map[string]float64{}, map[string]int64{}
	ours := 0.0
	for _, p := range all {
		if len(p.seen) == 0 {
			return nil, nil, fmt.Errorf("process %d (%s) could not be looked at", p.pid, p.name)
		}
		busy := (p.cpuAt(to) - p.cpuAt(from)).Seconds() / to.Sub(from).Seconds()
		if p.pid == machine {
			cores[others] += busy
			continue
		}
		cores[p.name] += busy
		resident[p.name] += p.residentAt(to)
		ours += busy
	}
	if _, ok := cores[others]; ok {
		cores[others] = max(0, cores[others]-ours) // they are counted in ticks
	}
	return cores, resident, nil
}
