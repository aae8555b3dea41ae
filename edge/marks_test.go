package edge

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

func seqs(c protocol.Conversation, from, to int64) envelope.Range {
	return envelope.Range{Conversation: c, From: from, To: to}
}

func (h *harness) push(conn uint64, ranges ...envelope.Range) {
	h.results(result{Conns: []uint64{conn}, Push: true, Payload: []byte("{}\n"), Shown: ranges})
}

func TestReports(t *testing.T) {
	pair, group := protocol.Pair(6, 8), protocol.GroupOf(7)
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		h.push(s.id, seqs(pair, 3, 3))
		h.push(s.id, seqs(group, 1, 1))
		h.push(s.id, seqs(pair, 4, 4))
		s.read()
		h.silent()
		time.Sleep(2 * time.Second)
		p := h.next()
		if p.env.Kind != envelope.Report || p.topic != "sponge.storage" || string(p.rec.Key) != "u:6" || p.frame.Type != protocol.Received || p.env.Proof == nil {
			t.Errorf("published %+v", p)
		}
		if want := []envelope.Range{seqs(pair, 3, 4), seqs(group, 1, 1)}; !slices.Equal(p.env.Ranges, want) {
			t.Errorf("reported %v, want %v", p.env.Ranges, want)
		}

		// The group's cursor follows; the pair's has a hole before 3. That is
		// not reported over and over.
		h.results(result{Conns: []uint64{s.id}, Cursors: []envelope.Range{seqs(group, 0, 1), seqs(pair, 0, 1)}})
		time.Sleep(10 * time.Second)
		h.silent()
		h.push(s.id, seqs(pair, 5, 5))
		time.Sleep(2 * time.Second)
		if p = h.next(); !slices.Equal(p.env.Ranges, []envelope.Range{seqs(pair, 3, 5)}) {
			t.Errorf("reported %v", p.env.Ranges)
		}

		// A 14 takes along what is not settled, and its answer settles it.
		s.send(`{"msgType":14}`)
		if p = h.next(); p.frame.Type != protocol.Offline || p.env.Kind != envelope.FromClient || !slices.Equal(p.env.Ranges, []envelope.Range{seqs(pair, 3, 5)}) {
			t.Errorf("14 with %v", p.env.Ranges)
		}
		h.answer(p, func(r *result) {
			r.Shown = []envelope.Range{seqs(pair, 1, 2)}
			r.Cursors = []envelope.Range{seqs(pair, 0, 0)}
		})
		expectIn(t, s.read(), `"msgType":114`)
		time.Sleep(2 * time.Second)
		if p = h.next(); !slices.Equal(p.env.Ranges, []envelope.Range{seqs(pair, 1, 5)}) {
			t.Errorf("reported %v", p.env.Ranges)
		}
		h.results(result{Conns: []uint64{s.id}, Cursors: []envelope.Range{seqs(pair, 0, 4)}})
		s.read()
		s.conn.mu.Lock()
		if m := s.marks; m == nil || !slices.Equal(m.ranges, []envelope.Range{seqs(pair, 5, 5)}) {
			t.Errorf("left %+v", m)
		}
		s.conn.mu.Unlock()
		h.results(result{Conns: []uint64{s.id}, Cursors: []envelope.Range{seqs(pair, 0, 5)}})
		s.read()
		s.conn.mu.Lock()
		if len(s.marks.ranges) > 0 {
			t.Errorf("left %+v", s.marks)
		}
		s.conn.mu.Unlock()
		time.Sleep(3*seenFor + 2*time.Second)
		s.conn.mu.Lock()
		defer s.conn.mu.Unlock()
		if s.marks != nil {
			t.Errorf("an idle connection keeps %+v", s.marks)
		}
	})
}

func TestReportBeforeLogoutAndClose(t *testing.T) {
	pair := protocol.Pair(6, 8)
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		h.push(s.id, seqs(pair, 1, 1))
		s.read()
		s.send(`{"msgType":3}`)
		if p := h.next(); p.env.Kind != envelope.Report || !slices.Equal(p.env.Ranges, []envelope.Range{seqs(pair, 1, 1)}) {
			t.Errorf("before the logout: %+v", p.env)
		}
		h.answer(h.next(), func(r *result) { r.Session = channel.SessionEnded })
		s.read()
		h.push(s.id, seqs(pair, 2, 2)) // a worker looked before the logout
		if got := s.read(); got != "" {
			t.Errorf("after the logout: %s", got)
		}

		s.login(h, 7, time.Hour)
		h.push(s.id, seqs(pair, 2, 2)) // for 6, on its way since before the logout
		if got := s.read(); got != "" {
			t.Errorf("7 was shown what was for 6: %s", got)
		}
		h.push(s.place(), seqs(pair, 2, 3))
		s.read()
		s.conn.mu.Lock()
		s.close(Idle)
		s.conn.mu.Unlock()
		if p := h.next(); p.env.Kind != envelope.Report || !slices.Equal(p.env.Ranges, []envelope.Range{seqs(pair, 2, 3)}) {
			t.Errorf("at the close: %+v", p.env)
		}
	})
}

func TestConfirmingClientIsNotReported(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.send(`{"msgType":1,"USERID":6,"password":"x","confirm":true}`)
		h.answer(h.next(), func(r *result) {
			r.Session, r.Proof, r.Confirm = channel.SessionBound, h.prove(6, s.id, time.Hour), true
		})
		s.read()
		h.push(s.id, seqs(protocol.Pair(6, 8), 1, 1))
		time.Sleep(3 * time.Second)
		expectIn(t, s.read(), "{}")
		h.silent()

		s.send(`{"msgType":4,"TOID":8,"msg":"x"}`) // one's own needs no confirmation
		own := seqs(protocol.Pair(6, 8), 2, 2)
		h.answer(h.next(), func(r *result) { r.Shown = []envelope.Range{own} })
		s.read()
		time.Sleep(3 * time.Second)
		if p := h.next(); p.env.Kind != envelope.Report || !slices.Equal(p.env.Ranges, []envelope.Range{own}) {
			t.Errorf("of one's own: %+v", p.env)
		}
	})
}

func TestReportIsRepeatedWhenKafkaIsFull(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		h.kafka.setFull(true)
		h.push(s.id, seqs(protocol.Pair(6, 8), 1, 1))
		time.Sleep(3 * time.Second)
		h.silent()
		h.kafka.setFull(false)
		time.Sleep(2 * time.Second)
		if p := h.next(); p.env.Kind != envelope.Report {
			t.Errorf("published %+v", p.env)
		}
	})
}

// TestMarksModel: whatever is shown and settled, the marks hold exactly the
// seqs above the cursors.
func TestMarksModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m marks
		type key struct {
			c   protocol.Conversation
			seq int64
		}
		model := map[key]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			c := protocol.Pair(1, rapid.Int64Range(2, 4).Draw(t, "user"))
			a := rapid.Int64Range(1, 30).Draw(t, "from")
			if rapid.Bool().Draw(t, "settle") {
				m.settle(seqs(c, 0, a))
				for k := range model {
					if k.c == c && k.seq <= a {
						delete(model, k)
					}
				}
				continue
			}
			b := a + rapid.Int64Range(0, 5).Draw(t, "more")
			m.add(seqs(c, a, b))
			for s := a; s <= b; s++ {
				model[key{c, s}] = true
			}
		}
		got := map[key]bool{}
		for _, r := range m.ranges {
			if r.From > r.To {
				t.Fatalf("an empty range: %v", m.ranges)
			}
			for s := r.From; s <= r.To; s++ {
				got[key{r.Conversation, s}] = true
			}
		}
		if len(got) != len(model) {
			t.Fatalf("%v, want %v", m.ranges, model)
		}
		for k := range model {
			if !got[k] {
				t.Fatalf("%v lacks %v", m.ranges, k)
			}
		}
	})
}

func TestMarksAreBounded(t *testing.T) {
	t.Parallel()
	var m marks
	for i := range int64(10 * maxMarks) {
		m.add(seqs(protocol.Pair(1, 2), 2*i+1, 2*i+1))
	}
	if n := len(m.ranges); n > maxMarks {
		t.Errorf("%d ranges", n)
	}
	last := m.take()
	if want := seqs(protocol.Pair(1, 2), 20*maxMarks-1, 20*maxMarks-1); len(last) != maxReported || last[len(last)-1] != want {
		t.Errorf("%d ranges are reported, the last is %v", len(last), last[len(last)-1])
	}
}
