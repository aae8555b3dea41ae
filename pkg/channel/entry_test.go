package channel_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
)

func shown() *rapid.Generator[[]envelope.Range] {
	ids := rapid.Int64Range(0, math.MaxInt64)
	one := rapid.Custom(func(t *rapid.T) envelope.Range {
		return envelope.Range{Conversation: protocol.Conversation{A: ids.Draw(t, "a"), B: ids.Draw(t, "b")}, From: ids.Draw(t, "from"), To: ids.Draw(t, "to")}
	})
	return rapid.OneOf(rapid.Just([]envelope.Range(nil)), rapid.SliceOfN(one, 1, 3))
}

func results() *rapid.Generator[channel.Result] {
	return rapid.Custom(func(t *rapid.T) channel.Result {
		r := channel.Result{
			Conns:   []uint64{rapid.Uint64().Draw(t, "conn")},
			Push:    rapid.Bool().Draw(t, "push"),
			Payload: rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
			Shown:   shown().Draw(t, "shown"),
			Cursors: shown().Draw(t, "cursors"),
			Session: channel.SessionChange(rapid.IntRange(0, 3).Draw(t, "session")),

			CaughtUp: rapid.Bool().Draw(t, "caught up"),
			More:     rapid.Bool().Draw(t, "more"),

			Unsettled: rapid.Bool().Draw(t, "unsettled"),
		}
		if r.More {
			r.Since = rapid.Int64Min(0).Draw(t, "since")
		}
		if r.Push {
			r.Conns = rapid.SliceOfN(rapid.Uint64(), 0, 20).Draw(t, "conns")
			r.Sender = rapid.Int64Min(0).Draw(t, "sender")
		} else {
			r.Request = rapid.Uint32().Draw(t, "request")
		}
		if r.Session == channel.SessionBound {
			p := keys.Proof(rapid.SliceOfN(rapid.Byte(), keys.ProofSize, keys.ProofSize).Draw(t, "proof"))
			r.Proof, r.Confirm = &p, rapid.Bool().Draw(t, "confirm")
			r.Life = time.Duration(rapid.Int64Range(0, 86_400_000).Draw(t, "life")) * time.Millisecond
		}
		return r
	})
}

// keep copies what Decode yields, as whoever keeps it must.
func keep(r *channel.Result) channel.Result {
	out := *r
	out.Conns, out.Payload = append([]uint64{}, r.Conns...), append([]byte{}, r.Payload...)
	out.Shown, out.Cursors = slices.Clone(r.Shown), slices.Clone(r.Cursors)
	return out
}

func decode(entry []byte) (out []channel.Result, err error) {
	err = channel.Decode(entry, func(r *channel.Result) { out = append(out, keep(r)) })
	return out, err
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var entry []byte
		var want []channel.Result
		for _, r := range rapid.SliceOfN(results(), 0, 6).Draw(t, "results") {
			entry = r.Append(entry)
			want = append(want, keep(&r))
		}
		got, err := decode(entry)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first, second := results().Draw(t, "first"), results().Draw(t, "second")
		entry := first.Append(nil)
		whole := len(entry)
		entry = second.Append(entry)
		n := rapid.IntRange(whole+1, len(entry)-1).Draw(t, "length")
		got, err := decode(entry[:n])
		if !errors.Is(err, channel.ErrEntry) {
			t.Fatalf("Decode of %d bytes of %d: %v, want ErrEntry", n, len(entry), err)
		}
		if len(got) != 1 || !reflect.DeepEqual(got[0], keep(&first)) {
			t.Fatalf("before the fault: %+v, want %+v", got, first)
		}
	})
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	// A push that claims 2⁴⁸ connections is refused before memory is asked for.
	entry := append([]byte{1}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 1, 2, 3)
	if got, err := decode(entry); !errors.Is(err, channel.ErrEntry) || got != nil {
		t.Errorf("Decode: %v, %v; want ErrEntry", got, err)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	if got := channel.Key("test.", "edge:0a1b"); got != "test.sponge:edge:edge:0a1b" {
		t.Errorf("key %q", got)
	}
}

func FuzzDecode(f *testing.F) {
	proof := keys.Proof(bytes.Repeat([]byte{0xab}, keys.ProofSize))
	ranges := []envelope.Range{{Conversation: protocol.Pair(6, 8), From: 1, To: 3}}
	for _, r := range []channel.Result{
		{Conns: []uint64{1}, Request: 7, Payload: []byte("{}\n"), Session: channel.SessionBound, Proof: &proof, Confirm: true},
		{Conns: []uint64{1, 300, 1 << 40}, Push: true, Payload: []byte("{}\n"), Shown: ranges},
		{Conns: []uint64{2}, Cursors: ranges},
		{Conns: []uint64{2}, Session: channel.SessionRevoked},
	} {
		f.Add(r.Append(nil))
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		want, err := decode(entry)
		if err != nil {
			if !errors.Is(err, channel.ErrEntry) {
				t.Fatalf("Decode: %v, want ErrEntry", err)
			}
			return
		}
		var again []byte
		for _, r := range want {
			again = r.Append(again)
		}
		if got, err := decode(again); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
	})
}
