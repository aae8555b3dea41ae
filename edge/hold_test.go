package edge

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// message is the push of a message of another or, with the user as sender, of
// another device.
func message(s *memSocket, sender int64, c protocol.Conversation, seq int64) result {
	return result{Conns: []uint64{s.place()}, Push: true, Sender: sender, Shown: []envelope.Range{seqs(c, seq, seq)},
		Payload: fmt.Appendf(nil, `{"from":%d,"seq":%d}`+"\n", sender, seq)}
}

// page makes the answer to a 14.
func page(text string, shown ...envelope.Range) func(*result) {
	return func(r *result) { r.Payload, r.Shown = []byte(text+"\n"), shown }
}

func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }

func (h *harness) dropped(d Drop, want float64) {
	h.t.Helper()
	if got := count(h.t, h.edge.metrics.drops[d]); got != want {
		h.t.Errorf("%v results were dropped as %s, want %v", got, d, want)
	}
}

// TestPushesBesideAPage: what comes while a 14 is outstanding, or behind its
// answer, is written once.
func TestPushesBesideAPage(t *testing.T) {
	for _, confirm := range []bool{false, true} {
		t.Run(fmt.Sprintf("confirm %t", confirm), func(t *testing.T) {
			bubble(t, func(c *Config) { c.ReportEvery = time.Minute }, func(h *harness) {
				pair, other := protocol.Pair(6, 8), protocol.Pair(6, 9)
				s := h.connect()
				s.send(fmt.Sprintf(`{"msgType":1,"USERID":6,"password":"x","confirm":%t}`, confirm))
				h.answer(h.next(), func(r *result) {
					r.Session, r.Proof, r.Confirm = channel.SessionBound, h.prove(6, s.id, time.Hour), confirm
				})
				s.read()
				h.results(message(s, 8, pair, 1))
				expectIn(t, s.read(), `"seq":1}`)

				s.send(`{"msgType":14}{"msgType":0,"id":"behind"}`)
				p := h.next()
				if want := []envelope.Range{seqs(pair, 1, 1)}; !confirm && !slices.Equal(p.env.Ranges, want) || confirm && p.env.Ranges != nil {
					t.Errorf("the 14 has ranges %v", p.env.Ranges)
				}
				h.results(message(s, 8, pair, 3), message(s, 6, pair, 4), message(s, 9, other, 1), message(s, 8, pair, 6))
				if got := s.read(); got != "" {
					t.Errorf("while the 14 is outstanding: %s", got)
				}
				// The page has 2, 3 and 5; 4 is the user's own, and 6 was not yet stored.
				h.answer(p, page("PAGE", seqs(pair, 2, 5)))
				want := lines("PAGE", `{"from":6,"seq":4}`, `{"from":9,"seq":1}`, `{"from":8,"seq":6}`, `{"msgType":100,"code":0,"id":"behind"}`)
				if got := s.read(); got != want {
					t.Errorf("got %swant %s", got, want)
				}
				h.dropped(Shown, 1)

				// What another worker announces later: also once the cursor has
				// passed it, and whatever was announced twice.
				h.results(result{Conns: []uint64{s.id}, Cursors: []envelope.Range{seqs(pair, 0, 6), seqs(other, 0, 1)}})
				time.Sleep(time.Minute)
				h.results(message(s, 8, pair, 5), message(s, 8, pair, 6), message(s, 9, other, 1), message(s, 9, other, 2), message(s, 6, pair, 4))
				if got, want := s.read(), lines(`{"from":9,"seq":2}`); got != want {
					t.Errorf("then %swant %s", got, want)
				}
				h.dropped(Shown, 5)
			})
		})
	}
}

// TestPushesOutliveAPageThatDoesNotCome: whatever ends a 14, what was held is
// written.
func TestPushesOutliveAPageThatDoesNotCome(t *testing.T) {
	pair := protocol.Pair(6, 8)
	const held = `{"from":8,"seq":7}`
	for name, end := range map[string]struct {
		with func(h *harness, s *memSocket, p *published)
		want string
	}{
		"an error":       {func(h *harness, _ *memSocket, p *published) { h.answer(p, page("ERROR")) }, lines("ERROR", held)},
		"the time is up": {func(*harness, *memSocket, *published) { time.Sleep(10 * time.Second) }, `"code":504`},
		"not accepted": {func(h *harness, _ *memSocket, p *published) {
			s := h.edge
			p.rec.Data.(*request).sent = false
			h.kafka.script(nil)
			s.produced(p.rec, queue.ErrNotSent)
		}, `"code":503`},
		"the session ends": {func(h *harness, s *memSocket, _ *published) {
			h.results(result{Conns: []uint64{s.id}, Session: channel.SessionRevoked})
		}, held},
		"the node drains": {func(_ *harness, s *memSocket, _ *published) {
			s.conn.mu.Lock()
			defer s.conn.mu.Unlock()
			s.close(Draining)
		}, held},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(h *harness) {
				s := h.connect()
				s.login(h, 6, time.Hour)
				s.send(`{"msgType":14}`)
				p := h.next()
				h.results(message(s, 8, pair, 7))
				if got := s.read(); got != "" {
					t.Errorf("while the 14 is outstanding: %s", got)
				}
				end.with(h, s, p)
				got := s.read()
				expectIn(t, got, end.want)
				if strings.Count(got, held) != 1 {
					t.Errorf("got %s", got)
				}
			})
		})
	}
}

// TestHoldIsBounded: a 14 that takes long holds no more than may wait for a
// client.
func TestHoldIsBounded(t *testing.T) {
	bubble(t, func(c *Config) { c.MaxOutbound = protocol.MaxOutbound + besidePage + 500<<10 }, func(h *harness) {
		pair := protocol.Pair(6, 8)
		s := h.connect()
		s.login(h, 6, time.Hour)
		s.send(`{"msgType":14}`)
		p := h.next()
		big := strings.Repeat("x", 200<<10)
		push := func(seq int64) {
			m := message(s, 8, pair, seq)
			m.Payload = fmt.Appendf(nil, "%d %s\n", seq, big)
			h.results(m)
		}
		push(1)
		push(2)
		if got := s.read(); got != "" {
			t.Errorf("%d bytes were written", len(got))
		}
		s.conn.mu.Lock()
		if n := s.waiting(); n < 400<<10 {
			t.Errorf("%d bytes wait", n)
		}
		s.conn.mu.Unlock()
		push(3)
		push(4)
		got := s.read()
		for i := range 4 {
			expectIn(t, got, fmt.Sprintf("%d xxx", i+1))
		}
		h.answer(p, page("PAGE", seqs(pair, 5, 5)))
		h.results(message(s, 8, pair, 5), message(s, 8, pair, 6))
		if got, want := s.read(), lines("PAGE", `{"from":8,"seq":6}`); got != want || s.isClosed() {
			t.Errorf("then %s", got)
		}
	})
}

// TestHeldBesideAPage: a page and what was held fit what may wait for a client,
// however little that is; a login holds as ever.
func TestHeldBesideAPage(t *testing.T) {
	for _, most := range []int{protocol.MaxOutbound, protocol.MaxOutbound + 512<<10} {
		bubble(t, func(c *Config) { c.MaxOutbound = most }, func(h *harness) {
			s := h.connect()
			s.send(`{"msgType":1,"USERID":6,"password":"x"}`)
			login := h.next()
			h.lease.breakDown(errors.New("Redis is away"))
			h.answer(login, func(r *result) { r.Session, r.Proof = channel.SessionBound, h.prove(6, s.id, time.Hour) })
			h.results(message(s, 8, protocol.Pair(6, 8), 1))
			s.read()
			h.lease.breakDown(nil)
			time.Sleep(time.Second)
			expectIn(t, s.read(), `{"msgType":101,"code":0}`, `{"from":8,"seq":1}`)

			s.send(`{"msgType":14}`)
			p := h.next()
			for seq := int64(2); seq < 5; seq++ {
				m := message(s, 8, protocol.Pair(6, 8), seq)
				m.Payload = append(bytes.Repeat([]byte{'x'}, 200<<10), '\n')
				h.results(m)
			}
			s.read()
			s.mu.Lock()
			s.stuck = true
			s.mu.Unlock()
			h.answer(p, page(strings.Repeat("p", protocol.MaxPageBytes)))
			if s.read(); s.isClosed() {
				t.Errorf("with %d bytes, a page and what was held are too much", most)
			}
			close(s.drain)
			s.read()
		})
	}
}

// TestOwnMessagesAreWrittenOnce: also when the announcement is repeated, by a
// worker that takes over; until that is forgotten.
func TestOwnMessagesAreWrittenOnce(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		pair := protocol.Pair(6, 8)
		s := h.connect()
		s.login(h, 6, time.Hour)
		h.results(message(s, 6, pair, 1), message(s, 6, pair, 2))
		if got, want := s.read(), lines(`{"from":6,"seq":1}`, `{"from":6,"seq":2}`); got != want {
			t.Errorf("got %swant %s", got, want)
		}
		time.Sleep(seenFor)
		h.results(message(s, 6, pair, 1), message(s, 6, pair, 2), message(s, 6, pair, 3))
		if got, want := s.read(), lines(`{"from":6,"seq":3}`); got != want {
			t.Errorf("again: got %swant %s", got, want)
		}
		h.dropped(Shown, 2)
		time.Sleep(3*seenFor + time.Minute)
		h.results(message(s, 6, pair, 1))
		expectIn(t, s.read(), `"seq":1}`)
	})
}

// TestSynchronisationGoesOn: where an answer was cut, the rest is asked for
// once it is written, until one brings nothing new.
func TestSynchronisationGoesOn(t *testing.T) {
	bubble(t, func(c *Config) { c.ReportEvery = time.Hour }, func(h *harness) {
		pair := protocol.Pair(6, 8)
		s := h.connect()
		s.login(h, 6, time.Hour)
		cut := func(seq int64) {
			h.results(result{Conns: []uint64{s.place()}, Payload: fmt.Appendf(nil, "%d\n", seq), Shown: []envelope.Range{seqs(pair, seq, seq)}, More: true, Since: 77})
		}
		next := func(to int64) {
			t.Helper()
			if p := h.next(); p.env.Kind != envelope.Sync || p.env.Since != 77 || !slices.Equal(p.env.Ranges, []envelope.Range{seqs(pair, 1, to)}) {
				t.Errorf("published %+v", p.env)
			}
		}
		for seq := int64(1); seq < 4; seq++ {
			cut(seq)
			if got, want := s.read(), fmt.Sprintf("%d\n", seq); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			next(seq)
		}
		cut(3)
		if got := s.read(); got != "" {
			t.Errorf("again: %s", got)
		}
		h.silent() // it brought nothing new

		s.mu.Lock()
		s.stuck = true
		s.mu.Unlock()
		cut(4)
		s.read()
		h.silent() // it is not written yet
		close(s.drain)
		s.read()
		next(4)
	})
}

// TestHeldForAClientThatIsGone: nobody gets it, and nothing is kept.
func TestHeldForAClientThatIsGone(t *testing.T) {
	bubble(t, func(c *Config) { c.ReportEvery = time.Minute }, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		s.send(`{"msgType":14}`)
		h.next()
		h.results(message(s, 8, protocol.Pair(6, 8), 1))
		s.read()
		s.hungUp(true)
		if got := s.read(); got != "" {
			t.Errorf("written to a broken connection: %s", got)
		}
		h.silent() // not reported as delivered
	})
}

// TestSynchronisationBesidePushes: of what a synchronisation brings, the client
// gets what it has not seen.
func TestSynchronisationBesidePushes(t *testing.T) {
	bubble(t, func(c *Config) { c.ReportEvery = time.Minute }, func(h *harness) {
		pair, group := protocol.Pair(6, 8), protocol.GroupOf(7)
		s := h.connect()
		s.login(h, 6, time.Hour)
		h.results(message(s, 8, pair, 2), message(s, 8, group, 5))
		s.read()
		missed := result{Conns: []uint64{s.id}, Payload: []byte(lines("g4", "g5", "p1", "p2", "p4")),
			Shown: []envelope.Range{seqs(group, 4, 5), seqs(pair, 1, 2), seqs(pair, 4, 4)}}
		h.results(missed)
		if got, want := s.read(), lines("g4", "p1", "p4"); got != want {
			t.Errorf("got %swant %s", got, want)
		}
		s.conn.mu.Lock()
		got := slices.Clone(s.marks.ranges)
		s.conn.mu.Unlock()
		if want := []envelope.Range{seqs(pair, 1, 2), seqs(group, 4, 5), seqs(pair, 4, 4)}; !slices.Equal(got, want) {
			t.Errorf("marked %v, want %v", got, want)
		}
		h.results(missed, message(s, 8, group, 4)) // asked twice, and announced late
		if got := s.read(); got != "" {
			t.Errorf("again: %s", got)
		}
		h.dropped(Shown, 2+5+1)
	})
}

// TestWhatWasShownIsKnownForAWhile: for seenFor at least, however long the
// connection is in use, and not for ever.
func TestWhatWasShownIsKnownForAWhile(t *testing.T) {
	bubble(t, func(c *Config) { c.ReportEvery = time.Hour }, func(h *harness) {
		pair := protocol.Pair(6, 8)
		s := h.connect()
		s.login(h, 6, 10*time.Hour)
		for seq := int64(1); seq < 20; seq++ {
			h.results(message(s, 8, pair, seq))
			expectIn(t, s.read(), fmt.Sprintf(`"seq":%d}`, seq))
			time.Sleep(seenFor - time.Second)
			h.results(message(s, 8, pair, seq))
			if got := s.read(); got != "" {
				t.Errorf("again: %s", got)
			}
		}
		h.results(message(s, 8, pair, 1))
		expectIn(t, s.read(), `"seq":1}`)
		s.conn.mu.Lock()
		defer s.conn.mu.Unlock()
		if n := len(s.marks.shown.recent) + len(s.marks.shown.older); n > 3 {
			t.Errorf("%d ranges are kept", n)
		}
	})
}

// TestNothingIsRememberedForAnotherUser: who logs in after a logout has seen
// nothing.
func TestNothingIsRememberedForAnotherUser(t *testing.T) {
	bubble(t, func(c *Config) { c.ReportEvery = time.Minute }, func(h *harness) {
		group := protocol.GroupOf(7)
		s := h.connect()
		s.login(h, 6, time.Hour)
		h.results(message(s, 8, group, 1))
		s.read()
		s.send(`{"msgType":3}`)
		for p := h.next(); ; p = h.next() {
			if p.env.Kind == envelope.FromClient {
				h.answer(p, func(r *result) { r.Session = channel.SessionEnded })
				break
			}
		}
		s.read()
		s.login(h, 9, time.Hour)
		h.results(message(s, 8, group, 1))
		expectIn(t, s.read(), `{"from":8,"seq":1}`)
	})
}

// TestPushBeforeTheLoginIsAnswered: who is present gets what comes, behind 101.
func TestPushBeforeTheLoginIsAnswered(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		h.lease.breakDown(errors.New("Redis is away")) // the entry may have been written all the same
		login := func() {
			s.send(`{"msgType":1,"USERID":6,"password":"x"}`)
			h.answer(h.next(), func(r *result) { r.Session, r.Proof = channel.SessionBound, h.prove(6, s.id, time.Hour) })
			h.results(message(s, 8, protocol.Pair(6, 8), 1))
		}
		login()
		if got := s.read(); got != "" {
			t.Errorf("before the login is answered: %s", got)
		}
		h.lease.breakDown(nil)
		time.Sleep(time.Second)
		if got, want := s.read(), lines(`{"msgType":101,"code":0}`, `{"from":8,"seq":1}`); got != want {
			t.Errorf("got %swant %s", got, want)
		}

		s = h.connect()
		h.lease.breakDown(errors.New("Redis is away"))
		login()
		time.Sleep(10 * time.Second)
		expectIn(t, s.read(), `{"msgType":101,"code":503`)
		h.dropped(NotLoggedIn, 1)
	})
}
