package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sponge/pkg/protocol"
)

func options(s *fake) Options {
	return Options{Addrs: []string{s.addr}, Duration: 300 * time.Millisecond, Warmup: 50 * time.Millisecond, Settle: 2 * time.Second}
}

// quick is options of a run that will not settle.
func quick(s *fake) Options {
	o := options(s)
	o.Settle = 100 * time.Millisecond
	return o
}

func ran(t *testing.T, res *Result, err error) *Result {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if res.Sent == 0 || res.Acked == 0 || res.Seconds < 0.2 || res.AckedPerSecond <= 0 || res.AckMs.Max <= 0 {
		t.Fatalf("nothing was measured: %+v", res)
	}
	if end := time.UnixMilli(res.Began).Add(time.Duration(res.Seconds * float64(time.Second))); end.After(time.Now()) || time.Since(end) > time.Minute {
		t.Fatalf("the measured time is said to have ended at %v", end)
	}
	return res
}

func balanced(t *testing.T, res *Result) {
	t.Helper()
	if err := res.Err(); err != nil || res.Delivered != res.Expected || res.Acked != res.Sent || len(res.Errors) > 0 {
		t.Errorf("%v: %+v", err, res)
	}
}

func TestChatBalancesOnAnHonestServer(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	res, err := Chat(t.Context(), options(s), 5, 4, 100)
	balanced(t, ran(t, res, err))
	if res.Expected != res.Acked || res.EndToEndMs.Max <= 0 || res.DeliveredPerSecond <= 0 {
		t.Errorf("%+v", res)
	}
	if s.chats <= res.Sent {
		t.Errorf("%d chats in all, %d measured: no warm-up", s.chats, res.Sent)
	}
}

func TestGroupBalancesOnAnHonestServer(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	res, err := Group(t.Context(), options(s), 10, 5, 3, 2, 100)
	balanced(t, ran(t, res, err))
	if res.Expected != 9*res.Acked {
		t.Errorf("expected %d deliveries of %d messages to 9 others", res.Expected, res.Acked)
	}
}

func TestRateKeepsItsSchedule(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	o := options(s)
	res, err := Rate(t.Context(), o, 500, 5, 100)
	balanced(t, ran(t, res, err))
	if want := int64(150); res.Sent != want {
		t.Errorf("%d messages were due in the measured time, wanted %d", res.Sent, want)
	}
}

// A server that stands still for a while: messages that were due meanwhile are
// late from then on, not from when they could be sent.
func TestRateCountsLatencyFromWhenAMessageWasDue(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	stall := 150 * time.Millisecond
	s.answer = func(n int64) protocol.Code {
		if n == 100 {
			<-time.After(stall)
		}
		return 0
	}
	res, err := Rate(t.Context(), options(s), 500, 5, 100)
	ran(t, res, err)
	if res.EndToEndMs.P99 < 100 {
		t.Errorf("a stall of %v shows as %+v", stall, res.EndToEndMs)
	}
}

func TestLossIsFound(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.deliver = func(user, seq int64, line []byte) [][]byte {
		if seq == 5 {
			return nil
		}
		return [][]byte{line}
	}
	res, err := Chat(t.Context(), quick(s), 2, 4, 100)
	if ran(t, res, err); res.Lost != 2 || res.Duplicated != 0 || res.OutOfOrder != 0 || res.Err() == nil {
		t.Errorf("one message of each of 2 pairs was lost: %+v", res)
	}
}

func TestDuplicatesAreFound(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.deliver = func(user, seq int64, line []byte) [][]byte {
		if seq == 7 {
			return [][]byte{line, line}
		}
		return [][]byte{line}
	}
	res, err := Group(t.Context(), options(s), 4, 0, 2, 2, 100)
	if ran(t, res, err); res.Duplicated != 3 || res.Lost != 0 || res.OutOfOrder != 0 || res.Err() == nil {
		t.Errorf("one message came twice to each of 3 members: %+v", res)
	}
}

func TestSwappedPushesAreFound(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	var held []byte
	s.deliver = func(user, seq int64, line []byte) [][]byte {
		switch seq {
		case 9:
			held = line
			return nil
		case 10:
			return [][]byte{line, held}
		}
		return [][]byte{line}
	}
	res, err := Chat(t.Context(), options(s), 1, 4, 100)
	if ran(t, res, err); res.OutOfOrder != 1 || res.Lost != 0 || res.Duplicated != 0 || res.Err() == nil {
		t.Errorf("two messages changed places: %+v", res)
	}
}

func TestOtherNumbersThanToldAreFound(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.number = func(seq int64) int64 {
		if seq == 3 {
			return 4
		}
		return seq
	}
	res, err := Chat(t.Context(), options(s), 1, 1, 100)
	if ran(t, res, err); res.Errors[renumbered] == 0 || res.Err() == nil {
		t.Errorf("a message has another number for its sender: %+v", res)
	}
}

func TestErrorsAreCountedByCode(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.answer = func(n int64) protocol.Code {
		if n%10 == 0 {
			return protocol.NotAccepted
		}
		return 0
	}
	res, err := Chat(t.Context(), options(s), 2, 4, 100)
	if ran(t, res, err); res.Errors["503"] != int64(s.refused) || s.refused == 0 || res.Lost != 0 || res.Acked >= res.Sent {
		t.Errorf("%d were refused: %+v", s.refused, res)
	}
}

func TestWhatWasMissedDuringABreakIsNotLost(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.deliver = func(user, seq int64, line []byte) [][]byte {
		if user == 2 && seq == 20 {
			s.cut(user)
		}
		return [][]byte{line}
	}
	res, err := Chat(t.Context(), options(s), 1, 2, 100)
	if ran(t, res, err); res.Lost != 0 || res.OutOfOrder != 0 || res.Errors[renumbered] != 0 {
		t.Errorf("%+v", res)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for _, byToken := range []bool{false, true} {
		s := newFake(t)
		res, err := Login(t.Context(), options(s), 4, byToken)
		if ran(t, res, err); res.Sent != res.Acked || res.Expected != 0 || len(res.Errors) > 0 {
			t.Errorf("by token %v: %+v", byToken, res)
		}
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	res, err := Idle(t.Context(), options(s), IdleConfig{Connections: 30, Accounts: 3})
	if err != nil {
		t.Fatal(err)
	}
	if res.Sent != 30 || res.Acked != 30 || res.AckMs.Max <= 0 {
		t.Errorf("%+v", res)
	}
}

// What a run needs before it begins must not show on the edge that is looked at.
func TestIdleMakesItsAccountsElsewhere(t *testing.T) {
	t.Parallel()
	s, elsewhere := newFake(t), newFake(t)
	res, err := Idle(t.Context(), options(s), IdleConfig{Connections: 30, Accounts: 3, Setup: []string{elsewhere.addr}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Acked != 30 || s.users != 0 || elsewhere.users != 3 || len(s.conns) != 3 {
		t.Errorf("%d accounts made here, %d elsewhere; %d logged in here: %+v", s.users, elsewhere.users, len(s.conns), res)
	}
}

func TestResultsHaveTheKeysThatProgramsRead(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(Result{Case: "chat", Errors: map[string]int64{}})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields("case sent acked delivered expected lost duplicated outOfOrder errors began seconds ackedPerSecond deliveredPerSecond ackMs endToEndMs bytesPerConnection loadCPU") {
		if _, ok := got[key]; !ok {
			t.Errorf("%s is missing", key)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("keys that nobody knows: %v", got)
	}
	for _, key := range strings.Fields("p50 p99 p999 max") {
		if !bytes.Contains(b, []byte(`"`+key+`"`)) {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestArgumentsOutOfRange(t *testing.T) {
	t.Parallel()
	o := Options{Addrs: []string{"127.0.0.1:1"}}
	refuse := func(what string, _ *Result, err error) {
		t.Helper()
		var op interface{ Timeout() bool }
		if err == nil || errors.As(err, &op) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx := t.Context()
	check := func(what string, f func() (*Result, error)) {
		t.Helper()
		res, err := f()
		refuse(what, res, err)
	}
	check("no window", func() (*Result, error) { return Chat(ctx, o, 1, 0, 100) })
	check("too large a window", func() (*Result, error) { return Chat(ctx, o, 1, 65, 100) })
	check("no pairs", func() (*Result, error) { return Chat(ctx, o, 0, 1, 100) })
	check("too small", func() (*Result, error) { return Chat(ctx, o, 1, 1, 3) })
	check("no rate", func() (*Result, error) { return Rate(ctx, o, 0, 1, 100) })
	check("more senders than members", func() (*Result, error) { return Group(ctx, o, 2, 0, 3, 1, 100) })
	check("no clients", func() (*Result, error) { return Login(ctx, o, 0, false) })
	check("no connections", func() (*Result, error) { return Idle(ctx, o, IdleConfig{}) })
}

func TestARunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.answer = func(n int64) protocol.Code {
		if n == 10 {
			cancel()
		}
		return 0
	}
	o := options(s)
	o.Duration = time.Hour
	if _, err := Chat(ctx, o, 1, 1, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTableAndProgress(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	var shown, table bytes.Buffer
	o := options(s)
	o.Progress, o.Terminal = &shown, true
	res, err := Chat(t.Context(), o, 1, 1, 100)
	ran(t, res, err)
	if err := res.Table(&table); err != nil || !strings.Contains(table.String(), "lost, duplicated, out of order  0, 0, 0") {
		t.Errorf("%v\n%s", err, &table)
	}
	if !strings.Contains(shown.String(), "registering accounts") {
		t.Errorf("no progress: %q", &shown)
	}
}

func TestInboxesOfManyMessages(t *testing.T) {
	t.Parallel()
	st := newStream()
	in := newInbox([]*stream{st, newStream()}, 1)
	const n = 3*chunkSize + 17
	for i := range int64(n) {
		if got := st.add(i); got != i {
			t.Fatalf("message %d got number %d", i, got)
		}
		e := st.at(i)
		e.acked = true
		if !e.numbered(i+1) || i%1000 != 7 && in.arrived(0, i, i+1) == nil {
			t.Fatalf("message %d was not taken", i)
		}
	}
	if in.arrived(0, n, n+1) != nil || in.arrived(5, 0, 1) != nil || in.unknown != 2 {
		t.Error("what nobody sent was taken")
	}
	res := &Result{Errors: map[string]int64{}}
	balance(res, in.streams, []*inbox{in}, func(due int64) bool { return due >= 1000 })
	if res.Sent != n-1000 || res.Acked != n-1000 || res.Lost != 13 || res.Expected-res.Delivered != 12 || res.Errors[unknown] != 2 {
		t.Errorf("%+v", res)
	}
	if !slices.Equal(in.seen[1], nil) {
		t.Error("a stream of which nothing came has bits")
	}
}

// BenchmarkChat is a second of load against a server in this process.
func BenchmarkChat(b *testing.B) {
	for b.Loop() {
		s := newFake(b)
		res, err := Chat(b.Context(), Options{Addrs: []string{s.addr}, Duration: time.Second, Settle: 2 * time.Second}, 10, 16, 100)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(res.AckedPerSecond, "acked/s")
	}
}
