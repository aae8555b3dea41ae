//go:build faults

package faults

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// moment recognises, in what goes over a link, the point at which to strike.
// It is asked for every chunk of a connection, in order; its first true ends
// the watch. Each connection has one of its own.
type moment func(toService bool, chunk []byte) bool

// at has do done once, when the moment comes on one of the links: before the
// chunk goes on. do says whether it still does. The result tells when that
// was.
func (s *stage) at(ctx context.Context, links []*link, when func() moment, do func(on int) (goOn bool)) (time.Time, error) {
	struck := make(chan time.Time, 1)
	var once atomic.Bool
	var mu sync.Mutex
	for i, l := range links {
		watches := map[int64]moment{}
		l.tap.on(func(n int64, toService bool, chunk []byte) bool {
			mu.Lock()
			w := watches[n]
			if w == nil {
				w = when()
				watches[n] = w
			}
			now := !once.Load() && w(toService, chunk) && once.CompareAndSwap(false, true)
			mu.Unlock()
			if !now {
				return true
			}
			at := time.Now()
			goOn := do(i)
			struck <- at
			return goOn
		})
	}
	defer func() {
		for _, l := range links {
			l.tap.on(nil)
		}
	}()
	select {
	case at := <-struck:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("the moment never came: %w", ctx.Err())
	}
}

// The moments of a transaction, as the link to MySQL shows them.

func beforeTransaction() moment {
	return func(toService bool, chunk []byte) bool {
		return toService && bytes.Contains(chunk, []byte("START TRANSACTION"))
	}
}

// inTransaction is when MySQL has done so many statements of a transaction,
// and the worker has not heard of the last.
func inTransaction(statements int) func() moment {
	return func() moment {
		n := -1
		return func(toService bool, chunk []byte) bool {
			switch {
			case toService && bytes.Contains(chunk, []byte("START TRANSACTION")):
				n = 0
			case toService && (bytes.Contains(chunk, []byte("COMMIT")) || bytes.Contains(chunk, []byte("ROLLBACK"))):
				n = -1
			case !toService && n >= 0:
				n++
				return n > statements
			}
			return false
		}
	}
}

// atCommit is when the worker says COMMIT, and MySQL has not heard it.
func atCommit() moment {
	return func(toService bool, chunk []byte) bool {
		return toService && bytes.HasSuffix(chunk, []byte("COMMIT"))
	}
}

// committed is when MySQL has committed, and the worker does not know.
func committed() moment {
	asked := false
	return func(toService bool, chunk []byte) bool {
		if toService {
			asked = bytes.HasSuffix(chunk, []byte("COMMIT"))
			return false
		}
		return asked
	}
}

// announcing is when a worker, after its commit, tells the first channel.
func announcing() moment {
	return func(toService bool, chunk []byte) bool {
		return toService && bytes.Contains(bytes.ToLower(chunk), []byte("xadd"))
	}
}

// producing is when an edge sends records, and Kafka has not got them.
func producing() moment {
	return func(toService bool, chunk []byte) bool {
		return toService && len(chunk) > 8 && chunk[4] == 0 && chunk[5] == 0 // Kafka's api key 0
	}
}

// produced is when Kafka has the records, and the edge does not know.
func produced() moment {
	asked := false
	return func(toService bool, chunk []byte) bool {
		if toService {
			asked = asked || len(chunk) > 8 && chunk[4] == 0 && chunk[5] == 0
			return false
		}
		return asked
	}
}

// pointFaults strike at chosen points.
func pointFaults() (list []*fault) {
	var hit *proc
	revive := func(context.Context, *stage) error { return hit.restart() }
	worker := func(name, link string, when func() moment) {
		list = append(list, &fault{name: "kill -9 of a storage worker " + name, bar: takeoverBar, doubles: true, after: revive, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			procs := s.c.worker["storage"]
			return s.at(ctx, linksOf(procs, link), when, func(on int) bool {
				hit = procs[on]
				hit.kill()
				return false
			})
		}})
	}
	worker("before a transaction", linkMySQL, beforeTransaction)
	worker("inside a transaction", linkMySQL, inTransaction(1))
	worker("at COMMIT, which MySQL does not get", linkMySQL, atCommit)
	worker("at COMMIT, of which it does not hear", linkMySQL, committed)
	worker("between commit and announcement", linkRedis, announcing)
	edge := func(name string, when func() moment) {
		list = append(list, &fault{name: "kill -9 of an edge " + name, bar: edgeBar, doubles: true, presence: true, after: revive, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			return s.at(ctx, linksOf(s.c.edges, linkKafka), when, func(on int) bool {
				hit = s.c.edges[on]
				hit.kill()
				return false
			})
		}})
	}
	edge("before a produce", producing)
	edge("between produce and its answer", produced)
	service := func(name string, choose func(s *stage) []*link, when func() moment, kill func(s *stage), start func(ctx context.Context, s *stage) error) {
		list = append(list, &fault{name: name, bar: backBar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			if _, err := s.at(ctx, choose(s), when, func(int) bool { kill(s); return false }); err != nil {
				return time.Time{}, err
			}
			err := start(ctx, s)
			return time.Now(), err
		}})
	}
	edges := func(s *stage) []*link { return linksOf(s.c.edges, linkKafka) }
	mysqlOf := func(s *stage) []*link { return linksOf(s.c.worker["storage"], linkMySQL) }
	redisOf := func(s *stage) []*link { return linksOf(s.c.worker["storage"], linkRedis) }
	service("kill -9 of the broker between produce and its answer", edges, produced,
		func(s *stage) { s.c.kafka.Kill() }, func(ctx context.Context, s *stage) error { return s.c.startKafka(ctx) })
	service("kill -9 of mariadbd at COMMIT, which it does not get", mysqlOf, atCommit,
		func(s *stage) { s.c.mysql.Kill() }, func(ctx context.Context, s *stage) error { return s.c.startMySQL(ctx) })
	service("kill -9 of mariadbd when it has committed", mysqlOf, committed,
		func(s *stage) { s.c.mysql.Kill() }, func(ctx context.Context, s *stage) error { return s.c.startMySQL(ctx) })
	service("kill -9 of Redis at an announcement, empty restart", redisOf, announcing,
		func(s *stage) { s.c.redis.Kill() }, func(ctx context.Context, s *stage) error { return s.c.startRedis(ctx) })

	list = append(list, &fault{name: "the link to MySQL is cut when it has committed", bar: backBar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
		return s.at(ctx, linksOf(s.c.worker["storage"], linkMySQL), committed, func(int) bool { return false })
	}})
	return append(list, zombies()...)
}

// zombies are workers that are frozen inside a transaction, and wake when
// others have their partitions.
func zombies() (list []*fault) {
	for _, z := range []struct {
		name       string
		statements int
	}{{"holding its partitions", 0}, {"holding all locks", 1}} {
		var frozen *proc
		var since time.Time
		list = append(list, &fault{name: "SIGSTOP for 10 s inside a transaction, " + z.name, bar: lockedBar, doubles: true,
			strike: func(ctx context.Context, s *stage) (_ time.Time, err error) {
				procs := s.c.worker["storage"]
				since, err = s.at(ctx, linksOf(procs, linkMySQL), inTransaction(z.statements), func(on int) bool {
					frozen = procs[on]
					frozen.signal(syscall.SIGSTOP)
					return true
				})
				return since, err
			},
			after: func(ctx context.Context, s *stage) error {
				pause(ctx, frozenFor-time.Since(since))
				frozen.signal(syscall.SIGCONT)
				return nil
			}})
	}
	return list
}

// lockedBar is the takeover's, and the time after which MySQL ends the
// session of a silent worker, and with it the locks.
const lockedBar = takeoverBar + 3*time.Second

func linksOf(procs []*proc, name string) (out []*link) {
	for _, p := range procs {
		out = append(out, p.links[name])
	}
	return slices.Clip(out)
}
