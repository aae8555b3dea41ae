package edge

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// While the workers of a partition are far behind, its frames are refused
// before they are published, but for a few that tell when to go on; a frame
// that is never answered, alone, shuts nothing.
func TestFramesAreShedWhileWorkersAreBehind(t *testing.T) {
	bubble(t, func(c *Config) { c.ShedAfter = 5 * time.Second }, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		ids := 0
		var read strings.Builder
		try := func() (passed bool) {
			ids++
			shed := count(t, h.edge.metrics.shed)
			s.send(chat(9, fmt.Sprint(ids)))
			read.WriteString(s.read())
			passed = len(h.kafka.records) == 1
			if passed == (count(t, h.edge.metrics.shed) > shed) {
				t.Fatalf("frame %d: passed %t, shed %v times", ids, passed, count(t, h.edge.metrics.shed)-shed)
			}
			return passed
		}
		for range 3 {
			if !try() {
				t.Fatal("refused, though nothing waits")
			}
			h.answer(h.next())
			s.read()
			time.Sleep(time.Minute) // an idle partition is not one that is behind
		}
		try()
		h.next() // never answered
		time.Sleep(3 * time.Second)
		if !try() {
			t.Fatal("refused after 3 s")
		}
		h.answer(h.next())
		s.read()
		time.Sleep(500 * time.Millisecond)
		if !try() {
			t.Fatal("refused, though a younger frame was answered")
		}
		waits := h.next()
		time.Sleep(3 * time.Second) // lost is published again
		h.next()
		time.Sleep(2500 * time.Millisecond) // waits, too
		h.next()
		var probes []*published
		for range 20 {
			if try() {
				probes = append(probes, h.next())
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n := len(probes); n < 3 || n > 5 {
			t.Errorf("%d frames of a second have passed; want one each 250 ms", n)
		}
		// What is refused is told behind what its conversation waits for.
		if strings.Contains(read.String(), "503") {
			t.Errorf("a refusal overtook an answer: %s", read.String())
		}
		h.answer(waits)
		read.WriteString(s.read())
		for range 10 {
			if !try() {
				t.Fatal("refused, though nothing has waited for long")
			}
			probes = append(probes, h.next())
		}
		for _, p := range probes {
			h.answer(p)
			read.WriteString(s.read())
		}
		if got, want := strings.Count(read.String(), `"code":503`), int(count(t, h.edge.metrics.shed)); got != want || want < 10 {
			t.Errorf("%d frames were answered with 503, %d were shed", got, want)
		}
	})
}

// A frame whose outcome nobody knows any more is published again at once, as
// it was, and not only when it has waited for long.
func TestUnsettledFramesArePublishedAgainAtOnce(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		s := h.connect()
		s.login(h, 6, time.Hour)
		s.send(`{"msgType":14,"id":"a"}`)
		first := h.next()
		h.results(result{Conns: []uint64{first.env.Conn}, Request: first.env.Request, Unsettled: true})
		expectIn(t, s.read())
		again := h.next()
		if again.env.FrameID != first.env.FrameID || again.env.Request != first.env.Request {
			t.Fatalf("published again as %+v, was %+v", again.env, first.env)
		}
		h.answer(again)
		expectIn(t, s.read(), `"id":"a"`)
		h.results(result{Conns: []uint64{first.env.Conn}, Request: first.env.Request, Unsettled: true})
		expectIn(t, s.read())
		h.silent() // it was answered
	})
}
