package view

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/queue"
)

// Windows that follow each other show every record, whatever the clocks said and
// however long an edge had no broker; what came in time once, where it belongs.
func TestWindowsMissNothing(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	within := func(d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }
	for range 30 {
		l := newFakeLog()
		arrivals := map[string]time.Time{}
		late := map[string]bool{}
		appended := day
		for i := range 200 {
			appended = appended.Add(within(20 * time.Second))
			delay := within(2*clockSpan) - clockSpan
			if name := fmt.Sprint(i); rnd.IntN(4) == 0 {
				delay = within(40*time.Minute) - 10*time.Minute
				late[name] = delay.Abs() > clockSpan
			}
			arrival := appended.Add(-delay).Truncate(time.Millisecond)
			arrivals[fmt.Sprint(i)] = arrival
			env := envelope.Envelope{Arrival: arrival.UnixMilli()}
			l.add("sponge.storage", i%2, queue.Message{Time: appended, Header: env.Append(nil), Value: fmt.Appendf(nil, `{"msgType":4,"msg":"%d"}`, i)})
		}
		seen := map[string]int{}
		w := Window{Partition: -1, Topics: []string{"sponge.storage"}}
		for w.From.Time = day.Add(-2 * time.Hour); w.From.Time.Before(day.Add(4 * time.Hour)); w.From = w.To {
			w.To.Time = w.From.Time.Add(clockSpan + within(time.Hour))
			lines, err := read(t, l, Options{Window: w})
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range lines {
				name := line["frame"].(map[string]any)["msg"].(string)
				seen[name]++
				if at := arrivals[name]; !late[name] && (at.Before(w.From.Time) || !at.Before(w.To.Time)) {
					t.Errorf("%v is shown from %v to %v", at, w.From.Time, w.To.Time)
				}
			}
		}
		for name := range arrivals {
			if n := seen[name]; n == 0 || n > 1 && !late[name] {
				t.Errorf("%s, late %v, is shown %d times", name, late[name], n)
			}
		}
	}
}
