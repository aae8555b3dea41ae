package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// stand runs cases, on one cluster at a time.
type stand struct {
	*options
	client   string // the sponge that has the load
	clusters []*cluster
	out      *os.File // nil: none
	records  []record
	warm     bool // the broker is
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "· "+format+"\n", args...) }

// measure builds, runs every case, and stops and removes everything. It
// returns what it has, also with an error.
func (o *options) measure(ctx context.Context) (_ []record, err error) {
	chosen, err := choose(cases(), o.cases)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sponge-measure-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	say("building; data in %s", dir)
	builds, err := makeBuilds(ctx, dir, o.against)
	if err != nil {
		return nil, err
	}
	s := &stand{options: o, client: builds[0].binary}
	shared := &services{}
	defer func() { err = errors.Join(err, shared.stop()) }()
	if err := shared.start(ctx, dir); err != nil {
		return nil, err
	}
	if o.grown {
		grown := builds[0]
		grown.label, grown.grown = grown.label+", grown", true
		builds = append(builds, grown)
	}
	for i, b := range builds {
		c, err := newCluster(ctx, shared, filepath.Join(dir, strconv.Itoa(i)), "sponge"+strconv.Itoa(i), b)
		if err != nil {
			return nil, err
		}
		s.clusters = append(s.clusters, c)
	}
	if o.json != "" {
		if s.out, err = os.Create(o.json); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.out.Close()) }()
	}
	defer func() {
		for _, c := range s.clusters {
			err = errors.Join(err, c.stop())
		}
	}()
	for i := range chosen {
		if err := s.interleave(ctx, &chosen[i]); err != nil {
			return s.records, err
		}
	}
	if o.floor {
		err = s.bareStages(ctx, s.clusters[0])
	}
	return s.records, err
}

// bareStages measures the same work without Sponge, and a cluster beside it.
func (s *stand) bareStages(ctx context.Context, cl *cluster) error {
	if err := s.turn(ctx, cl); err != nil {
		return err
	}
	if err := cl.calm(ctx); err != nil {
		return err
	}
	say("the floor, and %s", cl.build.label)
	cmd := exec.CommandContext(ctx, s.client, "bench", "floor", "--addr", cl.edges[0].addr, "--duration", s.duration.String())
	cmd.Env, cmd.Stdout, cmd.Stderr = cl.env, os.Stdout, os.Stderr
	return cmd.Run()
}

// interleave runs a case: each build in turn, then all of them again.
func (s *stand) interleave(ctx context.Context, c *benchCase) error {
	for run := range s.runs {
		for _, cl := range s.clusters {
			if err := s.turn(ctx, cl); err != nil {
				return err
			}
			if err := s.runCase(ctx, cl, c, run+1); err != nil {
				return fmt.Errorf("%s, %s: %w", c.name, cl.build.label, err)
			}
		}
	}
	return nil
}

// How long load warms up what was just started: the broker, which a JVM compiles
// as it goes, and roles.
const (
	brokerWarms = 40 * time.Second
	rolesWarm   = 4 * time.Second
)

// turn makes a cluster the one that runs.
func (s *stand) turn(ctx context.Context, cl *cluster) error {
	if cl.running() {
		return nil
	}
	for _, other := range s.clusters {
		if err := other.stop(); err != nil {
			return err
		}
	}
	if err := cl.start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", cl.build.label, err)
	}
	lasts := rolesWarm
	if !s.warm {
		s.warm, lasts = true, min(brokerWarms, time.Duration(s.runs)*10*s.duration)
	}
	warm := &load{args: []string{"chat", "--duration", lasts.String(), "--warmup", "0s"}, addr: cl.edges[0].addr}
	_, err := runBench(ctx, s.client, []*load{warm}, cl.processes(0))
	return err
}

// runCase runs all points of a case once.
func (s *stand) runCase(ctx context.Context, cl *cluster, c *benchCase, run int) error {
	if err := cl.hash(ctx, c.hashes); err != nil {
		return err
	}
	points := c.points
	if len(points) == 0 {
		points = []int{0}
	}
	bad := 0 // in a row
	for _, point := range points {
		r, err := s.runPoint(ctx, cl, c, point)
		if err != nil {
			return err
		}
		r.Build, r.Case, r.Point, r.Run = cl.build.label, c.name, point, run
		if err := s.keep(c, r); err != nil {
			return err
		}
		if bad++; !tooMuch(&r) {
			bad = 0
		}
		if c.ladder && bad == 2 { // once may be chance
			break
		}
	}
	return nil
}

func (s *stand) runPoint(ctx context.Context, cl *cluster, c *benchCase, point int) (r record, err error) {
	loads, err := loadsOf(c, point, s.duration)
	if err != nil {
		return r, err
	}
	first := 0
	if c.fresh {
		first = 1
		defer func() { err = errors.Join(err, cl.stopFresh()) }()
		if err := cl.startEdges(ctx, len(loads)); err != nil {
			return r, err
		}
	}
	for i, l := range loads {
		e := cl.edges[first+i]
		l.addr = e.addr
		if c.fresh {
			l.args = append(l.args, "--pid", strconv.Itoa(e.cmd.Process.Pid), "--setup-addr", cl.edges[0].addr)
		}
	}
	if err := cl.calm(ctx); err != nil {
		return r, err
	}
	r, err = runBench(ctx, s.client, loads, cl.processes(first))
	if err != nil && ctx.Err() == nil {
		r.Error = err.Error() // the next case may do better
		err = nil
	}
	return r, errors.Join(err, cl.dead())
}

// disturbing is how much of the machine, in cores, others may take unmentioned.
const disturbing = 0.1

// keep writes a record down at once: a measurement that is broken off is worth
// what it has found.
func (s *stand) keep(c *benchCase, r record) error {
	s.records = append(s.records, r)
	line := fmt.Sprintf("%s  %s, run %d of %d, %s:", time.Now().Format(time.TimeOnly), c.label(r.Point), r.Run, s.runs, r.Build)
	for _, f := range c.shows[:min(3, len(c.shows))] {
		line += fmt.Sprintf(" %s %s;", number(f.of(&r.Bench)), f)
	}
	if x := r.Cores[others]; x > disturbing {
		line += fmt.Sprintf(" others took %s cores", number(x))
	}
	if r.Error != "" {
		line += " " + r.Error
	}
	say("%s", line)
	if s.out == nil {
		return nil
	}
	return json.NewEncoder(s.out).Encode(r)
}
