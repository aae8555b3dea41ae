//go:build faults

package faults

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// fault is one kind of trouble.
type fault struct {
	name     string
	bar      time.Duration // within which the last stream is to go on; 0: none is promised
	doubles  bool          // what was in flight may come twice
	presence bool          // how long until it is right is measured
	still    bool          // nobody leaves by himself meanwhile

	prepare func(ctx context.Context, s *stage) error
	// strike does it, and returns the moment from which the time counts until
	// everything goes on: that of a death, or the end of an outage.
	strike func(ctx context.Context, s *stage) (since time.Time, err error)
	// measure takes the time of something else, which the table has as presence.
	measure func(ctx context.Context, s *stage, since time.Time) (time.Duration, error)
	after   func(ctx context.Context, s *stage) error // once everything goes on
	finish  func(ctx context.Context, s *stage) error // after the last round
}

// The bars, and what they are promised for.
const (
	takeoverBar = 3 * time.Second // a worker dies, and others of its group run
	edgeBar     = 2 * time.Second // an edge dies, and its clients connect to another
	backBar     = 5 * time.Second // a service is back
)

func allFaults() []*fault {
	return slices.Concat([]*fault{none()}, kills(), restarts(), freezes(), pointFaults(), linkFaults(), specialFaults())
}

func none() *fault {
	return &fault{name: "none", strike: func(ctx context.Context, _ *stage) (time.Time, error) {
		pause(ctx, 2*roamEvery) // some come and go
		return time.Now(), nil
	}}
}

func pick[T any](s *stage, list []T) T { return list[s.rng.IntN(len(list))] }

// kills are deaths without a word.
func kills() []*fault {
	var dead []*proc
	revive := func(context.Context, *stage) error {
		for _, p := range dead {
			if err := p.restart(); err != nil {
				return err
			}
		}
		dead = nil
		return nil
	}
	kill := func(procs ...*proc) time.Time {
		now := time.Now()
		for _, p := range procs {
			p.kill()
		}
		dead = append(dead, procs...)
		return now
	}
	list := []*fault{{name: "kill -9 of an edge", bar: edgeBar, doubles: true, presence: true, after: revive,
		strike: func(ctx context.Context, s *stage) (time.Time, error) { return kill(pick(s, s.c.edges)), nil }}}
	for _, g := range groups() {
		list = append(list, &fault{name: "kill -9 of a " + g + " worker", bar: takeoverBar, doubles: true, after: revive,
			strike: func(ctx context.Context, s *stage) (time.Time, error) { return kill(pick(s, s.c.worker[g])), nil }})
	}
	return append(list,
		&fault{name: "kill -9 of all workers", doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			now := kill(s.c.workers()...)
			return now, revive(ctx, s)
		}},
		&fault{name: "kill -9 of the Kafka broker", bar: backBar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			s.c.kafka.Kill()
			pause(ctx, time.Second)
			err := s.c.startKafka(ctx)
			return time.Now(), err
		}},
		&fault{name: "kill -9 of Redis, empty restart", bar: backBar, doubles: true, presence: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			s.c.redis.Kill()
			pause(ctx, time.Second)
			err := s.c.startRedis(ctx)
			return time.Now(), err
		}},
		&fault{name: "kill -9 of mariadbd", bar: backBar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			s.c.mysql.Kill()
			pause(ctx, time.Second)
			err := s.c.startMySQL(ctx)
			return time.Now(), err
		}},
		&fault{name: "two kills at once", doubles: true, presence: true, after: revive, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			kill(pick(s, s.c.worker["storage"]))
			switch s.rng.IntN(3) {
			case 0:
				kill(pick(s, s.c.edges))
			case 1:
				s.c.redis.Kill()
				return time.Now(), s.c.startRedis(ctx)
			case 2:
				s.c.mysql.Kill()
				return time.Now(), s.c.startMySQL(ctx)
			}
			return time.Now(), nil
		}})
}

// restarts are graceful: SIGTERM, and started again.
func restarts() []*fault {
	restart := func(p *proc) (time.Time, error) {
		now := time.Now()
		if err := p.stop(); err != nil {
			return now, err
		}
		return now, p.restart()
	}
	list := []*fault{{name: "graceful restart of an edge", doubles: true, presence: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
		return restart(pick(s, s.c.edges))
	}}}
	return append(list, &fault{name: "graceful restart of a worker", doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
		return restart(pick(s, s.c.workers()))
	}})
}

// frozenFor is how long a process is stopped: longer than sessions and leases
// last.
const frozenFor = 10 * time.Second

// freezes are processes that stop for a while, and go on as if nothing had
// been.
func freezes() []*fault {
	var frozen *proc
	var since time.Time
	freeze := func(p *proc) time.Time {
		p.signal(syscall.SIGSTOP)
		frozen, since = p, time.Now()
		return since
	}
	thaw := func(ctx context.Context, s *stage) error {
		pause(ctx, frozenFor-time.Since(since))
		frozen.signal(syscall.SIGCONT)
		return nil
	}
	return []*fault{
		{name: "SIGSTOP of a storage worker for 10 s", bar: lockedBar, doubles: true, after: thaw, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			return freeze(pick(s, s.c.worker["storage"])), nil
		}},
		{name: "SIGSTOP of an edge for 12 s", doubles: true, presence: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			p := pick(s, s.c.edges)
			s.h.excuse(slices.Index(s.c.edges, p))
			freeze(p)
			pause(ctx, frozenFor+2*time.Second)
			p.signal(syscall.SIGCONT)
			return time.Now(), nil
		}},
	}
}

// excuse says that an edge cannot answer in time in this round: neither on the
// connections that it has, nor on those that it gets meanwhile.
func (h *history) excuse(edge int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.excused[edge] = true
	for w := range h.wires {
		if w.edge == edge {
			w.late = true
		}
	}
}

// linkFaults are troubles of every link, of one process or of all at once.
func linkFaults() (list []*fault) {
	silence, trouble := 5*time.Second, 2*time.Second
	if testing.Short() {
		silence, trouble = 2*time.Second, time.Second
	}
	all := []struct{ name, of, link string }{
		{"client–edge", "edge", linkClients},
		{"edge–Kafka", "edge", linkKafka},
		{"edge–Redis", "edge", linkRedis},
		{"worker–Kafka", "worker", linkKafka},
		{"worker–Redis", "worker", linkRedis},
		{"worker–MySQL", "worker", linkMySQL},
	}
	for _, at := range all {
		choose := func(s *stage) (out []*link) {
			procs := s.c.edges
			if at.of == "worker" {
				procs = s.c.workers()
			}
			if s.rng.IntN(2) == 0 {
				procs = []*proc{pick(s, procs)}
			}
			for _, p := range procs {
				out = append(out, p.links[at.link])
			}
			return out
		}
		during := func(name string, lasts time.Duration, do func(*link)) {
			list = append(list, &fault{name: name + " on " + at.name, bar: backBar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
				if at.link == linkClients && lasts == silence {
					for i := range s.c.edges {
						s.h.excuse(i)
					}
				}
				chosen := choose(s)
				for _, l := range chosen {
					do(l)
				}
				pause(ctx, lasts)
				for _, l := range chosen {
					if err := l.mend(); err != nil {
						return time.Time{}, err
					}
				}
				return time.Now(), nil
			}})
		}
		during("connections cut for 1 s", time.Second, (*link).cut)
		during(fmt.Sprintf("%.0f s of silence", silence.Seconds()), silence, (*link).silence)
		during("300 ms of latency", trouble, func(l *link) { l.latency(150 * time.Millisecond) })
		during("1 % of slow reads", trouble, (*link).slow)
	}
	return list
}
