package edge

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

func expectIn(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("got %q, want %s", got, w)
		}
	}
}

func TestDeadlineUnknown(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		s.send(chat(8, "a") + `{"msgType":8,"id":"b"}`)
		first := h.next()
		time.Sleep(4*time.Second + 300*time.Millisecond)
		again := h.next() // once more before the deadline
		if again.env.FrameID != first.env.FrameID || again.env.Request != first.env.Request || string(again.rec.Value) != string(first.rec.Value) || again.partition != first.partition {
			t.Errorf("published again: %+v, first %+v", again.env, first.env)
		}
		time.Sleep(5 * time.Second)
		if got := s.read(); got != "" {
			t.Errorf("after 9.3 s: %s", got)
		}
		h.silent()
		time.Sleep(700 * time.Millisecond)
		expectIn(t, s.read(), `{"msgType":104,"code":504,"id":"a"`)
		h.answer(first) // too late
		list := h.next()
		if list.frame.Type != protocol.ListFriends {
			t.Errorf("published %s", list.rec.Value)
		}
		h.answer(list)
		if got := s.read(); got != `{"msgType":108,"code":0,"id":"b"}`+"\n" {
			t.Errorf("then %s", got)
		}
	})
}

func TestDeadlineNeverSent(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		h.kafka.script(func(*published) (bool, error) { return false, nil }) // Kafka is away
		s.send(chat(8, "a"))
		p := h.next()
		time.Sleep(10 * time.Second)
		expectIn(t, s.read(), `{"msgType":104,"code":503,"id":"a"`)
		h.silent() // not published again meanwhile
		h.kafka.mu.Lock()
		defer h.kafka.mu.Unlock()
		if !h.kafka.cancelled[p.rec] {
			t.Error("the record still waits for Kafka")
		}
	})
}

func TestProduceOutcomes(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		h.kafka.script(func(*published) (bool, error) { return true, queue.ErrRejected })
		s.send(chat(8, "a"))
		expectIn(t, s.read(), `{"msgType":104,"code":503,"id":"a"`)
		h.next()
		h.kafka.script(func(*published) (bool, error) { return true, queue.ErrUnknown })
		s.send(chat(8, "b"))
		h.next()
		if got := s.read(); got != "" {
			t.Errorf("an unknown outcome is answered at once: %s", got)
		}
		time.Sleep(10 * time.Second)
		expectIn(t, s.read(), `{"msgType":104,"code":504,"id":"b"`)
	})
}

func TestTimeouts(t *testing.T) {
	change := func(c *Config) { c.LoginTimeout, c.IdleTimeout = 5*time.Minute, 2*time.Hour }
	bubble(t, change, func(h *harness) {
		stranger, typist, user := h.connect(), h.connect(), h.connect()
		user.login(h, 6, 10*time.Hour)
		time.Sleep(4 * time.Minute)
		typist.send(`{"msgType":`) // half a frame is no login
		time.Sleep(59 * time.Second)
		if stranger.isClosed() || typist.isClosed() {
			t.Error("closed early")
		}
		time.Sleep(3 * time.Second)
		expectIn(t, stranger.read(), `{"msgType":98,"reason":"login timeout`)
		expectIn(t, typist.read(), `{"msgType":98,"reason":"login timeout`)

		user.send(`{"msgType":3}`)
		h.answer(h.next(), func(r *result) { r.Session = channel.SessionEnded })
		expectIn(t, user.read(), `{"msgType":103`)
		time.Sleep(4 * time.Minute)
		user.login(h, 6, 10*time.Hour)
		time.Sleep(time.Hour)
		user.send(`{"msg`)
		time.Sleep(2*time.Hour - time.Second)
		if user.isClosed() {
			t.Error("closed early")
		}
		time.Sleep(2 * time.Second)
		expectIn(t, user.read(), `{"msgType":98,"reason":"idle`)
		if h.lease.has(6, user.id) {
			t.Error("the presence entry is left")
		}
	})
}

func TestProofIsRenewed(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, 20*time.Minute)
		old := *s.proof
		time.Sleep(9 * time.Minute)
		h.silent()
		time.Sleep(61 * time.Second)
		renew := h.next()
		if renew.env.Kind != envelope.Renew || renew.topic != "sponge.login" || string(renew.rec.Key) != "u:6" || *renew.env.Proof != old || renew.env.Request != 0 {
			t.Fatalf("published %+v", renew)
		}
		fresh := h.key.Prove(6, old.Session(), h.edge.Node(), s.id, time.Now().Add(20*time.Minute))
		h.results(result{Conns: []uint64{s.id}, Session: channel.SessionBound, Proof: fresh})
		s.read()
		s.send(chat(8, "a"))
		p := h.next()
		if *p.env.Proof != *fresh {
			t.Error("the fresh proof is not used")
		}
		h.answer(p)
		s.read()

		// Another user's or another session's proof is not taken.
		h.results(result{Conns: []uint64{s.id}, Session: channel.SessionBound, Proof: h.prove(7, s.id, time.Hour)})
		h.results(result{Conns: []uint64{s.id}, Session: channel.SessionBound, Proof: h.prove(6, s.id, time.Hour)})
		s.read()
		s.send(chat(8, "b"))
		if p = h.next(); *p.env.Proof != *fresh {
			t.Error("a foreign proof was taken")
		}
		h.answer(p)
		s.read()

		time.Sleep(10*time.Minute + time.Second)
		h.next()
		time.Sleep(time.Minute + 20*time.Second) // no answer: again, but not all the time
		if h.next().env.Kind != envelope.Renew {
			t.Error("not asked again")
		}
		h.silent()
		h.results(result{Conns: []uint64{s.id}, Session: channel.SessionRevoked})
		expectIn(t, s.read(), `{"msgType":98,"reason":"session revoked: log in again","reconnect":false`)
	})
}

func TestLoginWithoutRedis(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		h.lease.breakDown(errors.New("Redis is away"))
		s.send(`{"msgType":1,"USERID":6,"password":"x"}` + chat(8, "a"))
		p := h.next()
		h.answer(p, func(r *result) { r.Session, r.Proof = channel.SessionBound, h.prove(6, s.id, time.Hour) })
		time.Sleep(9 * time.Second)
		if got := s.read(); got != "" {
			t.Errorf("without a presence entry: %s", got)
		}
		time.Sleep(time.Second)
		expectIn(t, s.read(), `{"msgType":101,"code":503`)
		if p = h.next(); p.env.Proof != nil {
			t.Error("logged in all the same")
		}
		h.answer(p)

		s.send(`{"msgType":1,"USERID":6,"password":"x"}`)
		h.answer(h.next(), func(r *result) { r.Session, r.Proof = channel.SessionBound, h.prove(6, s.id, time.Hour) })
		time.Sleep(3 * time.Second)
		h.lease.breakDown(nil)
		time.Sleep(time.Second)
		expectIn(t, s.read(), `{"msgType":104`, `{"msgType":101,"code":0`)
		if !h.lease.has(6, s.id) {
			t.Error("no presence entry")
		}
	})
}

func TestPresenceIsRefreshed(t *testing.T) {
	bubble(t, func(c *Config) { c.IdleTimeout = 10 * time.Hour }, func(h *harness) {
		s := h.connect()
		s.login(h, 6, 10*time.Hour)
		h.lease.mu.Lock()
		clear(h.lease.entries)
		h.lease.mu.Unlock()
		time.Sleep(presence.Refresh + time.Second)
		if !h.lease.has(6, s.id) {
			t.Error("the entry was not written again")
		}
		h.lease.mu.Lock()
		defer h.lease.mu.Unlock()
		if !slices.Equal(h.lease.swept, []int64{6}) {
			t.Errorf("swept the entries of %v", h.lease.swept)
		}
	})
}

func TestRecoversFromALoss(t *testing.T) {
	bubble(t, func(c *Config) { c.ReportEvery = time.Minute }, func(h *harness) {
		s, stranger := h.connect(), h.connect()
		s.login(h, 6, time.Hour)
		conv := protocol.Pair(6, 8)
		h.results(result{Conns: []uint64{s.id}, Push: true, Payload: []byte("{}\n"), Shown: []envelope.Range{{Conversation: conv, From: 3, To: 3}}})
		s.read()
		s.send(chat(8, "a"))
		first := h.next()
		h.lease.mu.Lock()
		clear(h.lease.entries)
		h.lease.mu.Unlock()

		before := time.Now()
		h.chann.mu.Lock()
		h.chann.renewed = func() (bool, error) { // under the lock
			h.chann.renewed = nil
			return true, nil
		}
		h.chann.mu.Unlock()
		time.Sleep(presence.RenewEvery + time.Second)
		again, sync := h.next(), h.next()
		if again.env.FrameID != first.env.FrameID {
			again, sync = sync, again
		}
		if again.env.FrameID != first.env.FrameID || again.env.Request != first.env.Request {
			t.Errorf("not published again: %+v", again.env)
		}
		if sync.env.Kind != envelope.Sync || sync.topic != "sponge.storage" || string(sync.rec.Key) != "u:6" || sync.frame.Type != protocol.Offline || sync.env.Proof == nil {
			t.Errorf("published %+v", sync)
		}
		if len(sync.env.Ranges) != 1 || sync.env.Ranges[0] != (envelope.Range{Conversation: conv, From: 3, To: 3}) {
			t.Errorf("the sync has ranges %v", sync.env.Ranges)
		}
		if since := time.UnixMilli(sync.env.Since); since.After(before.Add(-50*time.Second)) || since.Before(before.Add(-2*time.Minute)) {
			t.Errorf("the sync has since %v, the loss was at %v", since, before)
		}
		if !h.lease.has(6, s.id) {
			t.Error("the presence entry was not written again")
		}
		h.results(result{Conns: []uint64{s.id}, Payload: []byte("{\"missed\":1}\n{\"missed\":2}\n")})
		h.answer(again)
		expectIn(t, s.read(), `{"missed":2}`, `"id":"a"`)
		h.silent()
		if got := stranger.read(); got != "" {
			t.Errorf("to a stranger: %s", got)
		}
	})
}

// TestLapsedLease: a node that was stopped, or cut from Redis, for longer than
// its lease but not its channel reads the channel to its end before it asks for
// what was not sent, and asks for nothing that is outstanding.
func TestLapsedLease(t *testing.T) {
	bubble(t, func(c *Config) {
		c.ReportEvery, c.RepublishAfter, c.AnswerTimeout = time.Hour, 2*time.Minute, time.Hour
	}, func(h *harness) {
		pair := protocol.Pair(6, 8)
		s := h.connect()
		s.login(h, 6, 10*time.Hour)
		s.send(chat(9, "a"))
		first := h.next()
		h.results(message(s, 8, pair, 1))
		s.read()

		cut := time.Now()
		h.chann.mu.Lock()
		h.chann.renewed = func() (bool, error) { return false, errors.New("Redis is away") }
		h.chann.mu.Unlock()
		time.Sleep(40 * time.Second)
		h.lease.mu.Lock()
		h.lease.lapsed = true
		clear(h.lease.entries)
		h.lease.mu.Unlock()
		behind := make(chan struct{})
		h.chann.mu.Lock()
		h.chann.renewed, h.chann.behind = nil, behind
		h.chann.mu.Unlock()
		time.Sleep(8 * time.Second)
		h.silent()
		h.results(message(s, 8, pair, 2), message(s, 8, pair, 3))
		expectIn(t, s.read(), `"seq":2}`, `"seq":3}`)
		h.lease.breakDown(errors.New("Redis is away"))
		close(behind)
		time.Sleep(4 * time.Second)
		h.silent() // the user is not present yet
		h.lease.breakDown(nil)
		time.Sleep(2 * time.Second)
		sync := h.next()
		if sync.env.Kind != envelope.Sync || !slices.Equal(sync.env.Ranges, []envelope.Range{seqs(pair, 1, 3)}) {
			t.Errorf("published %+v", sync.env)
		}
		if since := time.UnixMilli(sync.env.Since); since.After(cut.Add(-syncMargin)) || since.Before(cut.Add(-2*syncMargin)) {
			t.Errorf("the sync has since %v, the node was cut at %v", since, cut)
		}
		if !h.lease.has(6, s.id) {
			t.Error("the presence entry was not written again")
		}
		h.silent()
		h.answer(first)
		expectIn(t, s.read(), `"id":"a"`)
	})
}

// TestLapseWithoutAnAnswer: the lease lapsed, and a renewal whose answer was
// lost has made it again: the next one finds it there.
func TestLapseWithoutAnAnswer(t *testing.T) {
	bubble(t, func(c *Config) { c.ReportEvery = time.Hour }, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		away := func(d time.Duration) {
			h.chann.mu.Lock()
			h.chann.renewed = func() (bool, error) { return false, errors.New("Redis is away") }
			h.chann.mu.Unlock()
			time.Sleep(d)
			h.chann.mu.Lock()
			h.chann.renewed = nil
			h.chann.mu.Unlock()
			time.Sleep(time.Second)
		}
		away(presence.LeaseTime - 2*presence.RenewEvery)
		h.silent()
		time.Sleep(presence.RenewEvery)
		away(presence.LeaseTime + time.Second)
		if p := h.next(); p.env.Kind != envelope.Sync {
			t.Errorf("published %+v", p.env)
		}
	})
}

// TestOnlyALogoutSaysOut: a connection that ends may be any of the user's.
func TestOnlyALogoutSaysOut(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		last := func() presence.Change {
			h.lease.mu.Lock()
			defer h.lease.mu.Unlock()
			return h.lease.last
		}
		s := h.connect()
		s.login(h, 6, time.Hour)
		s.send(`{"msgType":3}`)
		h.answer(h.next(), func(r *result) { r.Session = channel.SessionEnded })
		s.read()
		if got, want := last(), (presence.Change{User: 6, Conn: s.id, Out: true}); got != want {
			t.Errorf("a logout writes %+v, want %+v", got, want)
		}
		s = h.connect()
		s.login(h, 6, time.Hour)
		s.conn.mu.Lock()
		s.close(Idle)
		s.conn.mu.Unlock()
		s.read()
		if got, want := last(), (presence.Change{User: 6, Conn: s.id}); got != want {
			t.Errorf("a close writes %+v, want %+v", got, want)
		}
	})
}

// TestSynchronisationOfAClientThatConfirms: what it has got and not confirmed
// is no news, so a time bounds what is asked for.
func TestSynchronisationOfAClientThatConfirms(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.send(`{"msgType":1,"USERID":6,"password":"x","confirm":true}`)
		h.answer(h.next(), func(r *result) {
			r.Session, r.Proof, r.Confirm, r.CaughtUp = channel.SessionBound, h.prove(6, s.id, time.Hour), true, true
		})
		s.read()
		h.edge.lost("a test")
		time.Sleep(time.Second)
		if p := h.next(); p.env.Kind != envelope.Sync || p.env.Since == 0 {
			t.Errorf("published %+v", p.env)
		}
	})
}

// TestSynchronisationAfterCatchingUp: to a client that has fetched everything,
// whatever it has not seen is missing, whatever its senders' clocks say.
func TestSynchronisationAfterCatchingUp(t *testing.T) {
	bubble(t, func(c *Config) { c.ReportEvery = time.Hour }, func(h *harness) {
		loss := func() *published {
			h.edge.lost("a test")
			time.Sleep(time.Second)
			return h.next()
		}
		caughtUp := func(r *result) { r.CaughtUp = true }
		s := h.connect()
		s.login(h, 6, time.Hour)
		if p := loss(); p.env.Since == 0 {
			t.Error("nothing was fetched, but all is asked for")
		}
		s.send(`{"msgType":14}`)
		h.answer(h.next())
		s.read()
		if p := loss(); p.env.Since == 0 {
			t.Error("there is more, but all is asked for")
		}
		s.send(`{"msgType":14}`)
		h.answer(h.next(), caughtUp)
		s.read()
		if p := loss(); p.env.Kind != envelope.Sync || p.env.Since != 0 {
			t.Errorf("asked for what came since %d", p.env.Since)
		}
		s.send(`{"msgType":3}`)
		h.answer(h.next(), func(r *result) { r.Session = channel.SessionEnded })
		s.read()
		s.login(h, 6, time.Hour)
		if p := loss(); p.env.Since == 0 {
			t.Error("after another login, all is asked for")
		}

		other := h.connect()
		other.send(`{"msgType":1,"USERID":7,"password":"x"}`)
		h.answer(h.next(), caughtUp, func(r *result) { r.Session, r.Proof = channel.SessionBound, h.prove(7, other.id, time.Hour) })
		other.read()
		h.edge.lost("a test")
		time.Sleep(time.Second)
		for range 2 {
			if p := h.next(); (p.env.Conn == other.id) != (p.env.Since == 0) {
				t.Errorf("connection %d asked for what came since %d", p.env.Conn, p.env.Since)
			}
		}
	})
}

// TestAnotherClock: when a proof wants renewal is counted from its arrival. By
// the workers' clock it may seem to have ended, or to hold for hours.
func TestAnotherClock(t *testing.T) {
	const life = 30 * time.Minute
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			bubble(t, nil, func(h *harness) {
				s := h.connect()
				s.send(`{"msgType":1,"USERID":6,"password":"x"}`)
				_, session := keys.NewToken()
				prove := func(r *result) {
					r.Session, r.Life = channel.SessionBound, life
					r.Proof = h.key.Prove(6, session, h.edge.Node(), s.id, time.Now().Add(ahead+life))
				}
				h.answer(h.next(), prove)
				s.read()
				for range 3 {
					time.Sleep(life/2 - time.Second)
					h.silent()
					time.Sleep(2 * time.Second)
					p := h.next()
					if p.env.Kind != envelope.Renew {
						t.Fatalf("published %+v", p.env)
					}
					h.silent()
					r := result{Conns: []uint64{s.id}}
					prove(&r)
					h.results(r)
					s.read()
				}
			})
		})
	}
}

func TestSlowConsumerIsGivenUp(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		s.mu.Lock()
		s.stuck = true
		s.mu.Unlock()
		h.results(result{Conns: []uint64{s.id}, Push: true, Payload: []byte("{}\n"), Shown: []envelope.Range{{Conversation: protocol.Pair(6, 8), From: 1, To: 1}}})
		time.Sleep(9 * time.Second)
		if s.isClosed() {
			t.Error("closed early")
		}
		time.Sleep(2 * time.Second)
		if !s.isClosed() || count(t, h.edge.metrics.closes[SlowConsumer]) != 1 {
			t.Error("not closed as a slow consumer")
		}
		h.silent() // what was not written is not reported
	})
}
