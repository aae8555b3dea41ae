package floor

import (
	"bytes"
	"testing"
	"time"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

func someFrames(t *testing.T) *frames {
	t.Helper()
	f, err := newFrames(100, [16]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What the stages carry must be what Sponge would: frames that parse, in the
// conversation that their record's key names, with headers that decode.
func TestFramesAreSpongesOwn(t *testing.T) {
	t.Parallel()
	f := someFrames(t)
	ids := map[protocol.FrameID]bool{}
	for _, n := range []int64{0, 1, pairs - 1, pairs, 123_456, firstBulk + 7, firstRow + 7} {
		text := f.append([]byte("before"), n)[len("before"):]
		var frame protocol.Frame
		if got, err := frame.Parse(text); err != nil || got != len(text) || frame.Type != protocol.Chat {
			t.Fatalf("%s: %d, %v", text, got, err)
		}
		conv := conversation(pairOf(n))
		if got := frame.Conversation(conv.A); got != conv || string(f.key[pairOf(n)]) != conv.String() {
			t.Errorf("item %d is in %v, not %v", n, got, conv)
		}
		if conv.B > protocol.MaxInt {
			t.Errorf("user %d is beyond the wire", conv.B)
		}
		if back, ok := numberIn(text); !ok || back != n {
			t.Errorf("item %d says that it is %d, %v", n, back, ok)
		}
		var e envelope.Envelope
		if err := e.Parse(f.appendHeader(nil, n, time.Now())); err != nil || e.FrameID != f.id(n) || e.Proof == nil {
			t.Errorf("header of item %d: %+v, %v", n, e, err)
		}
		if ids[f.id(n)] {
			t.Errorf("item %d has another's id", n)
		}
		ids[f.id(n)] = true
	}
	if _, ok := numberIn([]byte(`{"msgType":4,"msg":"short"}`)); ok {
		t.Error("a number where there is none")
	}
}

func TestEntriesDecodeToRepliesAndPushes(t *testing.T) {
	t.Parallel()
	s := &stream{frames: someFrames(t)}
	replies, pushed := 0, []int64{}
	err := channel.Decode(s.entry(nil, []int64{5, 77}, 1), func(r *channel.Result) {
		if !r.Push {
			replies++
		} else if n, ok := numberIn(r.Payload); ok && bytes.HasSuffix(r.Payload, []byte("}\n")) {
			pushed = append(pushed, n)
		}
	})
	if err != nil || replies != 2 || len(pushed) != 2 || pushed[0] != 5 || pushed[1] != 77 {
		t.Errorf("%d replies, pushes of %v, %v", replies, pushed, err)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, stampSize - 1, protocol.MaxFrame} {
		if _, err := newFrames(size, [16]byte{}); err == nil {
			t.Errorf("messages of %d bytes", size)
		}
	}
}
