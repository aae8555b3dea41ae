//go:build faults

package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	rounds  = flag.Int("rounds", 1, "how often each fault strikes")
	seed    = flag.Uint64("seed", 0, "reproduces the random moments of a run; 0: one by the clock")
	table   = flag.String("table", "", "file that gets the results as a Markdown table")
	keep    = flag.String("logs", "", "folder that keeps the logs of a run")
	servers = newLinks()

	// starting is held for writing while a cluster starts, which takes all of a
	// small machine, and for reading while a fault is timed.
	starting sync.RWMutex

	resultsMu sync.Mutex // guards the following
	results   []*result  // of all tests of the run, in order
	catches   []*catch
)

const (
	inFlight     = 100              // messages, at least, when a fault strikes
	roundLimit   = 40 * time.Second // for everything that a round waits for
	chapterLimit = 45 * time.Second // for the end of one
)

// build makes the program once for all tests.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sponge")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "sponge/cmd/sponge").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// stage is where faults strike: a cluster under load.
type stage struct {
	t      *testing.T
	c      *cluster
	h      *history
	l      *load
	k      *checker
	rng    *rand.Rand
	spoilt bool // it is a mutant's: how it ends says nothing
	torn   bool // its topics and its rows are not of one piece
}

// newStage starts a cluster and everybody who talks on it.
func newStage(t *testing.T, name string, o clusterOptions, seed uint64) *stage {
	t.Helper()
	s := raise(t, name, o, seed)
	// What it is like when nothing is wrong: also what processes need, for later.
	if r := s.play(none(), 1, seed); len(r.wrong) > 0 {
		t.Fatalf("without a fault: %v", r.wrong)
	}
	return s
}

// raise starts a cluster with its load and its checker.
func raise(t *testing.T, name string, o clusterOptions, seed uint64) *stage {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if *keep != "" {
		dir = filepath.Join(*keep, name)
	}
	s := &stage{t: t, h: newHistory(), rng: rand.New(rand.NewPCG(seed, 0))}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var err error
	starting.Lock()
	s.c, err = startCluster(ctx, servers, dir, o)
	starting.Unlock()
	t.Cleanup(func() {
		if s.l != nil {
			s.l.close()
			s.audit(t, o.binary)
		}
		if err := s.c.stop(); err != nil && !s.spoilt {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.l, err = newLoad(ctx, s.c, s.h, rand.New(rand.NewPCG(seed, 1))); err != nil {
		t.Fatal(err)
	}
	if s.k, err = newChecker(ctx, s.c, s.l); err != nil {
		t.Fatal(err)
	}
	return s
}

// audit replays all that the cluster was sent, whatever has befallen it, and
// compares every row. Workers go on meanwhile.
func (s *stage) audit(t *testing.T, binary string) {
	if s.spoilt || s.torn || t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), auditLimit)
	defer cancel()
	env := append(slices.Clone(s.c.env), "SPONGE_KAFKA="+s.c.kafka.Addr(), "SPONGE_MYSQL="+s.c.mysql.DSN("sponge"),
		"SPONGE_AUDIT_SCRATCH="+s.c.mysql.DSN("sponge_verify"), "SPONGE_AUDIT_INTO="+s.c.mysql.DSN("sponge_replay"))
	for _, command := range []string{"verify", "replay"} {
		said, err := output(exec.CommandContext(ctx, binary, "audit", command), env)
		t.Logf("audit %s: %s", command, said)
		if err != nil {
			t.Error(err)
		}
	}
}

// auditLimit bounds a replay of all that a cluster was sent.
const auditLimit = 5 * time.Minute

// result is a line of the table.
type result struct {
	fault    *fault
	seed     uint64
	rounds   int
	flying   int // the least
	again    []time.Duration
	who      string // was last, the worst time
	presence time.Duration
	rest     time.Duration // until every process was what it had been
	verdict
}

// play lets a fault strike for some rounds under load, and checks everything.
func (s *stage) play(f *fault, rounds int, seed uint64) *result {
	t := s.t
	t.Helper()
	r := &result{fault: f, seed: seed, rounds: rounds}
	s.rng = rand.New(rand.NewPCG(seed, uint64(len(f.name))))
	if f.prepare != nil {
		if err := f.prepare(t.Context(), s); err != nil {
			r.wrong = append(r.wrong, fmt.Sprintf("prepare: %v", err))
			return r
		}
	}
	s.l.begin(!f.still)
	var failed error
	for i := range rounds {
		if failed = s.round(f, r, i == rounds-1); failed != nil {
			failed = fmt.Errorf("round %d, seed %d: %w", i+1, seed, failed)
			break
		}
	}
	if failed != nil {
		if err := s.mend(t.Context()); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	s.l.end()
	ctx, cancel := context.WithTimeout(t.Context(), chapterLimit)
	defer cancel()
	if err := s.l.settle(ctx); err != nil && failed == nil {
		failed = err
	}
	if f.finish != nil {
		if err := f.finish(ctx, s); err != nil && failed == nil {
			failed = err
		}
	}
	checking, done := context.WithTimeout(t.Context(), chapterLimit)
	defer done()
	v, err := s.k.chapter(checking)
	r.verdict = *v
	if failed != nil {
		r.wrong = append(r.wrong, failed.Error())
	}
	if err != nil {
		r.wrong = append(r.wrong, fmt.Sprintf("check: %v", err))
		r.wrong = append(r.wrong, s.c.ended()...)
		for _, p := range s.c.procs() {
			r.wrong = append(r.wrong, fmt.Sprintf("%s says\n%s", p.name, p.tail(20)))
		}
		return r
	}
	if r.doubles > 0 {
		r.wrong = append(r.wrong, fmt.Sprintf("%d messages came twice on a connection", r.doubles))
	}
	if !f.doubles && (r.repeats > 0 || r.filled > 0) {
		r.wrong = append(r.wrong, fmt.Sprintf("without a fault, %d messages came again on a later connection, %d only by 16: %q", r.repeats, r.filled, r.filledSome))
	}
	began := time.Now()
	r.wrong = append(r.wrong, s.vitals(ctx)...)
	r.rest = time.Since(began)
	return r
}

// round strikes once.
func (s *stage) round(f *fault, r *result, last bool) error {
	starting.RLock()
	defer starting.RUnlock()
	ctx, cancel := context.WithTimeout(s.t.Context(), roundLimit)
	defer cancel()
	flying, err := s.l.busy(ctx, inFlight)
	if err != nil {
		return err
	}
	if r.flying == 0 || flying < r.flying {
		r.flying = flying
	}
	pause(ctx, time.Duration(s.rng.IntN(4000))*time.Microsecond) // into the middle of it
	since, err := f.strike(ctx, s)
	if err != nil {
		return err
	}
	took, who, err := s.l.goesOn(ctx, since)
	if err != nil {
		return err
	}
	if len(r.again) == 0 || took > slices.Max(r.again) {
		r.who = who
	}
	r.again = append(r.again, took)
	if f.presence {
		took, err := s.l.seesAll(ctx, since)
		if err != nil {
			return err
		}
		r.presence = max(r.presence, took)
	}
	if f.measure != nil {
		took, err := f.measure(ctx, s, since)
		if err != nil {
			return err
		}
		r.presence = max(r.presence, took)
	}
	if f.after != nil {
		if err := f.after(ctx, s); err != nil {
			return err
		}
	}
	if err := s.l.goHome(ctx); err != nil {
		return err
	}
	s.h.mu.Lock()
	clear(s.h.excused)
	s.h.mu.Unlock()
	if last {
		return nil
	}
	for range 1 + s.rng.IntN(4) { // a moment of peace, of a random length
		select {
		case <-s.l.bursts:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// mend puts everything in order again after a round that failed.
func (s *stage) mend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	for _, p := range s.c.procs() {
		for _, l := range p.links {
			if err := l.mend(); err != nil {
				return err
			}
			l.tap.on(nil)
		}
		p.signal(syscall.SIGCONT)
		if !p.alive() {
			if err := p.restart(); err != nil {
				return err
			}
		}
	}
	return s.l.goHome(ctx)
}

// vitalsLimit is for how long a process may keep what a fault has cost it:
// connections of pools that were needed for a while end after 30 s.
const vitalsLimit = 75 * time.Second

// vitals compares every process that has survived with what it was like
// before, and notes what new ones are like.
func (s *stage) vitals(ctx context.Context) (wrong []string) {
	for _, p := range s.c.procs() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), vitalsLimit)
		defer cancel()
		if !p.alive() {
			wrong = append(wrong, fmt.Sprintf("%s does not run: %v\n%s", p.name, p.err, p.tail(20)))
			continue
		}
		began, last := time.Now(), ""
		seen := 0 // goroutines, at the look before
		err := s.l.until(ctx, func() error {
			now, err := p.vitals()
			if err == nil {
				err = p.compare(now, seen)
				seen = now.goroutines
			}
			if err != nil {
				last = err.Error()
			}
			return err
		})
		if took := time.Since(began); took > 3*time.Second {
			s.t.Logf("waited %s for: %s", took.Round(time.Millisecond), last)
		}
		if err != nil {
			text, _ := p.get("/debug/pprof/goroutine?debug=1")
			wrong = append(wrong, fmt.Sprintf("%v\n%s", err, text))
			p.kept = vitals{}
		}
	}
	return wrong
}

// report keeps a result for the table, and writes what there is.
func (s *stage) report(t *testing.T, r *result) {
	t.Helper()
	r.log(t)
	remember(r)
	if err := writeTable(); err != nil {
		t.Fatal(err)
	}
}

func remember(r *result) {
	resultsMu.Lock()
	defer resultsMu.Unlock()
	results = append(results, r)
}

func writeTable() error {
	if *table == "" {
		return nil
	}
	resultsMu.Lock()
	defer resultsMu.Unlock()
	return os.WriteFile(*table, []byte(markdown(results)+caughtTable(catches)), 0o644)
}

func (r *result) log(t *testing.T) {
	t.Helper()
	t.Logf("%s: %d acknowledged of %d, %d in flight; again after %s (%s); presence %s; twice %d, again later %d, only by 16 %d, not pushed %d; slowest answer %s; at rest after %s; codes %v",
		r.fault.name, r.acknowledged, r.sent, r.flying, r.again, r.who, r.presence.Round(time.Millisecond), r.doubles, r.repeats, r.filled, r.unpushed, r.slowest.Round(time.Millisecond), r.rest.Round(time.Millisecond), r.codes)
	for _, w := range r.doubled {
		t.Logf("twice: %s", w)
	}
	for _, w := range r.wrong {
		t.Errorf("%s (seed %d): %s", r.fault.name, r.seed, w)
	}
	if f := r.fault; f.bar > 0 && len(r.again) > 0 && slices.Max(r.again) > f.bar {
		say := t.Logf // a single round on a busy machine says little about time
		if r.rounds > 1 {
			say = t.Errorf
		}
		say("%s: OVER THE BAR of %s: %s", f.name, f.bar, slices.Max(r.again))
	}
}

func runSeed(t *testing.T) uint64 {
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano() % 1e9)
	}
	t.Logf("seed %d", n)
	return n
}

// clusters are how many play the list of faults, each a part of it.
const clusters = 2

// TestFaults lets every fault strike, one kind after the other.
func TestFaults(t *testing.T) {
	seed := runSeed(t)
	binary := build(t)
	for n := range clusters {
		t.Run(fmt.Sprint("cluster", n+1), func(t *testing.T) {
			t.Parallel()
			var s *stage
			for i, f := range allFaults() {
				if i%clusters != n {
					continue
				}
				t.Run(strings.ReplaceAll(f.name, " ", "_"), func(part *testing.T) {
					if s == nil { // not before one of them was chosen
						s = newStage(t, t.Name(), clusterOptions{binary: binary}, seed)
					}
					s.t = part
					s.report(part, s.play(f, *rounds, seed))
				})
			}
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
