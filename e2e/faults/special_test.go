//go:build faults

package faults

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"sponge/pkg/channel"
	"sponge/pkg/protocol"
)

// specialFaults are those that need something of their own.
func specialFaults() []*fault {
	return []*fault{
		heldCommit(), lockWait(), deadlock(), panics(), clockJump(),
		rolling("edge", func(c *cluster) []*proc { return c.edges }),
		rolling("worker", (*cluster).workers),
		awayForGood(), vanished(), mute(), emptied(),
	}
}

// heldCommit looks whether anything is acknowledged before its commit: while a
// COMMIT is held back, every acknowledgement that arrives must be of a message
// that is there for others to see.
func heldCommit() *fault {
	const held = 500 * time.Millisecond
	return &fault{name: "a COMMIT takes 0.5 s", bar: backBar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
		var wrong error
		_, err := s.at(ctx, linksOf(s.c.worker["storage"], linkMySQL), atCommit, func(int) bool {
			since := time.Now()
			pause(ctx, held)
			wrong = s.acknowledgedAreStored(ctx, since)
			return true
		})
		return time.Now(), errors.Join(err, wrong)
	}}
}

// acknowledgedAreStored looks up every message that was acknowledged since.
func (s *stage) acknowledgedAreStored(ctx context.Context, since time.Time) error {
	var list []*message
	s.h.mu.Lock()
	for _, m := range s.h.texts {
		if m.seq > 0 && m.acked.After(since) {
			list = append(list, m)
		}
	}
	s.h.mu.Unlock()
	for _, m := range list {
		var n int
		err := s.c.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM messages WHERE a = ? AND b = ? AND seq = ?", m.stream.conv.A, m.stream.conv.B, m.seq).Scan(&n)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("TOO EARLY: %q was acknowledged as %s %d, and is not in MySQL", m.text, m.stream.conv, m.seq)
		}
	}
	return nil
}

// emptied takes from the edges what they have not read yet: a Redis that has
// failed over to a copy which lags behind, or evicts. Where another message
// follows, clients notice that one is missing and ask; the last word of a
// conversation only the edge can miss.
func emptied() *fault {
	const unread = time.Second // two bursts; less than a lease
	var from, to *plain
	round := 0
	return &fault{
		name: "the edges' streams vanish with what is in them", bar: backBar, doubles: true,
		prepare: func(ctx context.Context, s *stage) (err error) {
			from, err = newPlain(ctx, s, s.c.edges[0])
			if err == nil {
				to, err = newPlain(ctx, s, s.c.edges[1])
			}
			return err
		},
		strike: func(ctx context.Context, s *stage) (time.Time, error) {
			links := linksOf(s.c.edges, linkRedis)
			for _, l := range links {
				l.silence()
			}
			pause(ctx, unread/2) // what an edge had asked for may be on its way
			round++
			last := fmt.Sprintf("last word %d", round)
			err := from.say(fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":%q}`, to.user, last))
			pause(ctx, unread/2)
			err = errors.Join(err, s.c.loseStreams(ctx))
			for _, l := range links {
				err = errors.Join(err, l.mend())
			}
			since := time.Now()
			if err == nil && to.hear(last) != nil {
				err = fmt.Errorf("NOT PUSHED: %q, the last word of a conversation", last)
			}
			return since, err
		},
	}
}

// loseStreams deletes the edges' streams.
func (c *cluster) loseStreams(ctx context.Context) error {
	options, err := redis.ParseURL(c.redis.URL())
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	defer client.Close()
	streams, err := client.Keys(ctx, "*"+channel.Key("", "*")).Result()
	if err != nil {
		return err
	}
	if len(streams) < len(c.edges) {
		return fmt.Errorf("%d edges have %d streams", len(c.edges), len(streams))
	}
	return client.Del(ctx, streams...).Err()
}

// plain is a logged-in connection that asks for nothing by itself.
type plain struct {
	net.Conn
	lines *bufio.Reader
	user  int64
}

func newPlain(ctx context.Context, s *stage, edge *proc) (*plain, error) {
	user, err := s.l.watcher.client.Register(ctx, "plain", password)
	if err != nil {
		return nil, err
	}
	nc, err := net.Dial("tcp", edge.listens)
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { nc.Close() })
	p := &plain{nc, bufio.NewReader(nc), user.User}
	if err := p.say(fmt.Sprintf(`{"msgType":1,"USERID":%d,"password":%q}`, user.User, password)); err != nil {
		return nil, err
	}
	return p, p.hear(`"msgType":101,"code":0`)
}

func (p *plain) say(frame string) error {
	_, err := fmt.Fprintln(p, frame)
	return err
}

// hear waits for a line that holds a text.
func (p *plain) hear(text string) error {
	if err := p.SetReadDeadline(time.Now().Add(deliveryLimit)); err != nil {
		return err
	}
	for {
		line, err := p.lines.ReadString('\n')
		if err != nil || strings.Contains(line, text) {
			return err
		}
	}
}

// lockWait holds the row of a busy conversation for longer than a worker waits
// for a lock.
func lockWait() *fault {
	return &fault{name: "a lock wait of MySQL times out", bar: backBar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
		tx, err := s.c.db.BeginTx(ctx, nil)
		if err != nil {
			return time.Time{}, err
		}
		defer tx.Rollback()
		conv := pick(s, s.l.streams).conv
		if _, err := tx.ExecContext(ctx, "SELECT last_seq FROM conversations WHERE a = ? AND b = ? FOR UPDATE", conv.A, conv.B); err != nil {
			return time.Time{}, err
		}
		pause(ctx, 3*time.Second)
		return time.Now(), nil
	}}
}

// deadlock makes a transaction of many rows wait for a worker's, which waits
// for it: MySQL ends the smaller one.
func deadlock() *fault {
	return &fault{name: "a deadlock in MySQL", bar: backBar, doubles: true,
		prepare: func(ctx context.Context, s *stage) error {
			_, err := s.c.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS weight (n BIGINT PRIMARY KEY) ENGINE = InnoDB")
			return err
		},
		// A worker that waits may wait for another: then there is no circle.
		strike: func(ctx context.Context, s *stage) (time.Time, error) {
			before, err := s.deadlocks()
			for range deadlockTries {
				if err == nil {
					err = s.deadlockOnce(ctx)
				}
				if err != nil {
					return time.Time{}, err
				}
				var now int
				if now, err = s.deadlocks(); now > before {
					return time.Now(), err
				}
			}
			return time.Time{}, errors.New("no worker met a deadlock")
		}}
}

const deadlockTries = 10

// deadlockOnce waits for what a worker holds that waits for us.
func (s *stage) deadlockOnce(ctx context.Context) error {
	tx, err := s.c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT IGNORE INTO weight (n) VALUES (1)"+strings.Repeat(",(FLOOR(RAND()*9e15))", 2000)); err != nil {
		return err
	}
	conv := pick(s, s.l.streams).conv
	if _, err := tx.ExecContext(ctx, "SELECT last_seq FROM conversations WHERE a = ? AND b = ? FOR UPDATE", conv.A, conv.B); err != nil {
		return err
	}
	// InnoDB looks anew only where nobody has looked for 0.1 s; and in a burst
	// workers wait for each other for some milliseconds.
	pause(ctx, 150*time.Millisecond)
	if err := s.l.untilEvery(ctx, 150*time.Millisecond, func() error { // a worker waits for us
		var n int
		if err := s.c.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'").Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return errors.New("no worker waits for the conversation")
		}
		return nil
	}); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "SELECT next_offset FROM applied WHERE topic = ? FOR UPDATE", protocol.TopicStorage.Group())
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && refused.Number == 1213 {
		return errors.New("MySQL ended this transaction instead of the worker's")
	}
	return err
}

// deadlocks counts what the storage workers have met.
func (s *stage) deadlocks() (said int, err error) {
	for _, p := range s.c.worker["storage"] {
		text, err := os.ReadFile(p.log)
		if err != nil {
			return 0, err
		}
		said += bytes.Count(text, []byte("Deadlock found"))
	}
	return said, nil
}

// panics has a handler panic on one frame of a batch. Its neighbours go on.
func panics() *fault {
	swap := func(ctx context.Context, s *stage, binary string) error {
		for _, p := range s.c.worker["storage"] {
			if err := p.stop(); err != nil {
				return err
			}
			p.binary = binary
			if err := p.restart(); err != nil {
				return err
			}
		}
		return nil
	}
	var before string
	return &fault{name: "a handler panics on one frame", bar: backBar, doubles: true,
		prepare: func(ctx context.Context, s *stage) error {
			before = s.c.worker["storage"][0].binary
			binary, err := buildOverlay(ctx, s.t.TempDir(), "panics", panicEdits())
			if err != nil {
				return err
			}
			return swap(ctx, s, binary)
		},
		strike: func(ctx context.Context, s *stage) (time.Time, error) {
			d := pick(s, s.l.steady[:2*pairs])
			other := pick(s, s.l.roaming)
			_, err := d.client.Chat(ctx, other.user, poison)
			var refused *protocol.Error
			if !errors.As(err, &refused) || refused.Code != protocol.Internal {
				return time.Time{}, fmt.Errorf("the poison was answered with %w, expected 500", err)
			}
			return time.Now(), nil
		},
		finish: func(ctx context.Context, s *stage) error { return swap(ctx, s, before) }}
}

// clockJump moves the wall clock of an edge by an hour, forth and back.
func clockJump() *fault {
	var edge *proc
	var before string
	ahead := false
	swap := func(binary string) error {
		if err := edge.stop(); err != nil {
			return err
		}
		edge.binary = binary
		return edge.restart()
	}
	return &fault{name: "the clock of an edge jumps by an hour", bar: backBar, doubles: true,
		prepare: func(ctx context.Context, s *stage) error {
			edge = s.c.edges[1]
			before = edge.binary
			binary, err := buildClock(ctx, s.t.TempDir())
			if err != nil {
				return err
			}
			if err := swap(binary); err != nil {
				return err
			}
			return s.l.goHome(ctx)
		},
		strike: func(ctx context.Context, s *stage) (time.Time, error) {
			text, err := os.ReadFile(edge.log)
			if err != nil {
				return time.Time{}, err
			}
			said := bytes.Count(text, []byte(clockLine))
			ahead = !ahead
			if ahead {
				edge.signal(syscall.SIGUSR1)
			} else {
				edge.signal(syscall.SIGUSR2)
			}
			return time.Now(), s.l.until(ctx, func() error {
				text, err := os.ReadFile(edge.log)
				if err == nil && bytes.Count(text, []byte(clockLine)) == said {
					err = errors.New("the clock does not jump")
				}
				return err
			})
		},
		finish: func(ctx context.Context, s *stage) error {
			ahead = false
			return errors.Join(swap(before), s.l.goHome(ctx))
		}}
}

// rolling restarts all of a kind, one after another, as a deployment does.
// Meanwhile nobody may be seen offline: all come back at once.
func rolling(kind string, procs func(*cluster) []*proc) *fault {
	return &fault{name: "rolling restart of every " + kind, doubles: true, still: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
		looking, stop := context.WithCancel(ctx)
		var looker sync.WaitGroup
		var missed error
		looker.Go(func() { missed = s.nobodyIsMissed(looking) })
		defer looker.Wait()
		defer stop()
		for _, p := range procs(s.c) {
			if err := p.stop(); err != nil {
				return time.Time{}, err
			}
			if err := p.restart(); err != nil {
				return time.Time{}, err
			}
			if err := s.l.allConnected(ctx); err != nil {
				return time.Time{}, err
			}
		}
		if _, err := s.l.seesAll(ctx, time.Now()); err != nil {
			return time.Time{}, err
		}
		stop()
		looker.Wait()
		return time.Now(), missed
	}}
}

// nobodyIsMissed looks at the watcher's friends until ctx ends.
func (s *stage) nobodyIsMissed(ctx context.Context) error {
	names := map[int64]string{}
	for _, d := range slices.Concat(s.l.steady, s.l.roaming) {
		names[d.user] = d.name
	}
	for {
		on, err := s.l.online(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for user, online := range on {
			if !online {
				return fmt.Errorf("%s was seen offline in a rolling restart", names[user])
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// offlineBar is within which users of a dead edge are seen offline.
const offlineBar = 15 * time.Second

// awayForGood kills an edge whose users do not come back.
func awayForGood() *fault {
	var dead *proc
	var gone []*device
	return &fault{name: "kill -9 of an edge whose users stay away", doubles: true, still: true, bar: edgeBar,
		strike: func(ctx context.Context, s *stage) (time.Time, error) {
			home := s.rng.IntN(numEdges)
			gone = nil
			for _, d := range s.l.roaming {
				if d.home == home {
					gone = append(gone, d)
				}
			}
			dead = s.c.edges[home]
			for _, d := range gone {
				d.away.Store(true)
			}
			since := time.Now()
			dead.kill()
			for _, d := range gone {
				d.client.Close()
				s.h.abandon(d)
			}
			return since, nil
		},
		measure: func(ctx context.Context, s *stage, since time.Time) (time.Duration, error) {
			err := s.l.until(ctx, func() error {
				on, err := s.l.online(ctx)
				for _, d := range gone {
					if err == nil && on[d.user] {
						err = fmt.Errorf("%s is seen online", d.name)
					}
				}
				return err
			})
			took := time.Since(since)
			if err == nil && took > offlineBar {
				err = fmt.Errorf("users of a dead edge were seen online for %s", took)
			}
			return took, err
		},
		after: func(ctx context.Context, s *stage) error {
			if err := dead.restart(); err != nil {
				return err
			}
			for _, d := range gone {
				if err := s.l.enter(ctx, d); err != nil {
					return err
				}
				d.away.Store(false)
			}
			return nil
		}}
}

// abandon gives up the answers that a device waits for: its client is closed.
func (h *history) abandon(d *device) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.texts {
		if m.from == d && !m.settled {
			m.settled = true
			h.unheard--
		}
	}
}

// vanished takes an edge's host away: nobody gets an end or a reset, neither
// clients nor services.
func vanished() *fault {
	var gone *proc
	return &fault{name: "the host of an edge vanishes", doubles: true, presence: true,
		strike: func(ctx context.Context, s *stage) (time.Time, error) {
			i := s.rng.IntN(numEdges)
			gone = s.c.edges[i]
			s.h.excuse(i)
			s.l.dialer.gone[i].Store(true)
			since := time.Now()
			gone.signal(syscall.SIGSTOP)
			for _, l := range gone.links {
				l.vanish()
			}
			return since, nil
		},
		after: func(ctx context.Context, s *stage) error {
			gone.kill()
			for _, l := range gone.links {
				if err := l.mend(); err != nil {
					return err
				}
			}
			err := gone.restart()
			s.l.dialer.gone[slices.Index(s.c.edges, gone)].Store(false)
			return err
		}}
}
