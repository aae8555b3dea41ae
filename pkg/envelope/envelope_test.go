package envelope_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
)

func ranges() *rapid.Generator[[]envelope.Range] {
	ids := rapid.Int64Range(0, math.MaxInt64)
	one := rapid.Custom(func(t *rapid.T) envelope.Range {
		return envelope.Range{
			Conversation: protocol.Conversation{A: ids.Draw(t, "a"), B: ids.Draw(t, "b")},
			From:         ids.Draw(t, "from"),
			To:           ids.Draw(t, "to"),
		}
	})
	// No ranges at all are read as nil.
	return rapid.OneOf(rapid.Just([]envelope.Range(nil)), rapid.SliceOfN(one, 1, 5))
}

func envelopes() *rapid.Generator[envelope.Envelope] {
	return rapid.Custom(func(t *rapid.T) envelope.Envelope {
		e := envelope.Envelope{
			Kind:    envelope.Kind(rapid.Byte().Draw(t, "kind")),
			Node:    rapid.String().Draw(t, "node"),
			Conn:    rapid.Uint64().Draw(t, "conn"),
			Request: rapid.Uint32().Draw(t, "request"),
			Arrival: rapid.Int64Min(0).Draw(t, "arrival"),
			Peer:    rapid.String().Draw(t, "peer"),
			Ranges:  ranges().Draw(t, "ranges"),
			Since:   rapid.Int64Min(0).Draw(t, "since"),
		}
		copy(e.FrameID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "frame id"))
		if rapid.Bool().Draw(t, "logged in") {
			p := keys.Proof(rapid.SliceOfN(rapid.Byte(), keys.ProofSize, keys.ProofSize).Draw(t, "proof"))
			e.Proof = &p
		}
		return e
	})
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := envelopes().Draw(t, "envelope")
		b := want.Append([]byte("before"))[len("before"):]
		// A later version may add something behind, and b may be used again.
		b = append(b, rapid.SliceOf(rapid.Byte()).Draw(t, "behind")...)
		got := envelope.Envelope{Node: "of before", Ranges: []envelope.Range{{From: 1}}}
		if err := got.Parse(b); err != nil {
			t.Fatalf("Parse: %v", err)
		}
		clear(b)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := envelopes().Draw(t, "envelope")
		b := e.Append(nil)
		n := rapid.IntRange(2, len(b)-1).Draw(t, "length")
		var got envelope.Envelope
		if err := got.Parse(b[:n]); !errors.Is(err, envelope.ErrTruncated) {
			t.Fatalf("Parse of %d bytes of %d: %v, want ErrTruncated", n, len(b), err)
		}
	})
}

func TestOtherVersions(t *testing.T) {
	t.Parallel()
	b := new(envelope.Envelope).Append(nil)
	for version := range 256 {
		b[0] = byte(version)
		var e envelope.Envelope
		if err := e.Parse(b); errors.Is(err, envelope.ErrVersion) == (version == 1) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	for _, b := range [][]byte{nil, {}, {1}} {
		var e envelope.Envelope
		if err := e.Parse(b); !errors.Is(err, envelope.ErrVersion) {
			t.Errorf("Parse of %d bytes: %v, want ErrVersion", len(b), err)
		}
	}
}

// TestVersion1 is how envelopes that are in the topics look. A failure here is
// a fault of the code, never of these bytes.
func TestVersion1(t *testing.T) {
	t.Parallel()
	full, bare := version1()
	for _, tt := range []struct {
		e    envelope.Envelope
		want string
	}{
		{full, "01" + "02" + "000102030405060708090a0b0c0d0e0f" +
			"0b" + hex.EncodeToString([]byte("edge:0a1b2c")) + // node
			"ac02" + "07" + "c2f9ffbac831" + // connection 300, request 7, arrival
			"0e" + hex.EncodeToString([]byte("127.0.0.1:4242")) +
			"01" + strings.Repeat("ab", 48) + // proof
			"c1f9ffbac831" + // since
			"02" + "06080c02" + "00070101"}, // ranges: u:6:8 12 to 14, g:7 1 to 2
		{bare, "01" + "00" + strings.Repeat("00", 16) + "00" + "00" + "00" + "00" + "00" + "00" + "00" + "00"},
	} {
		if got := hex.EncodeToString(tt.e.Append(nil)); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		b, err := hex.DecodeString(tt.want)
		if err != nil {
			t.Fatal(err)
		}
		var e envelope.Envelope
		if err := e.Parse(b); err != nil || !reflect.DeepEqual(e, tt.e) {
			t.Errorf("Parse: %+v, %v", e, err)
		}
	}
}

func version1() (full, bare envelope.Envelope) {
	proof := keys.Proof(bytes.Repeat([]byte{0xab}, keys.ProofSize))
	full = envelope.Envelope{
		Kind: envelope.Sync, Node: "edge:0a1b2c", Conn: 300, Request: 7, Arrival: 1703078264002,
		Peer: "127.0.0.1:4242", Proof: &proof, Since: 1703078264001,
		Ranges: []envelope.Range{
			{Conversation: protocol.Pair(8, 6), From: 12, To: 14},
			{Conversation: protocol.GroupOf(7), From: 1, To: 2},
		},
	}
	for i := range full.FrameID {
		full.FrameID[i] = byte(i)
	}
	return full, envelope.Envelope{}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for k, want := range map[envelope.Kind]string{
		envelope.FromClient: "client", envelope.Report: "report", envelope.Sync: "sync", envelope.Renew: "renew", 200: "unknown",
	} {
		if got := k.String(); got != want {
			t.Errorf("kind %d is %q, want %q", k, got, want)
		}
	}
}

func TestReaderKeepsTheFirstError(t *testing.T) {
	t.Parallel()
	r := envelope.NewReader([]byte{5, 'a', 'b'})
	if s := r.String(); s != "" || !errors.Is(r.Err(), envelope.ErrTruncated) || r.Len() != 0 {
		t.Errorf("a string of 5 bytes read from 2: %q, %v, %d left", s, r.Err(), r.Len())
	}
	if n := r.Uint(); n != 0 {
		t.Errorf("%d was read after an error", n)
	}
	// A number of 64 bits that does not end, and counts beyond what there is.
	for _, b := range [][]byte{bytes.Repeat([]byte{0xff}, 20), {0xff, 0xff, 0x7f, 1, 2, 3, 4}, {2, 1, 1, 1, 1}} {
		r := envelope.NewReader(b)
		if got := r.Ranges(); got != nil || r.Err() == nil {
			t.Errorf("Ranges of %x: %v, %v", b, got, r.Err())
		}
	}
	r = envelope.NewReader(nil)
	if b := r.Bytes(-1); b != nil || r.Err() == nil {
		t.Errorf("Bytes(-1): %v, %v", b, r.Err())
	}
}

func FuzzParse(f *testing.F) {
	full, bare := version1()
	f.Add(full.Append(nil))
	f.Add(bare.Append(nil))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again envelope.Envelope
		if e.Parse(b) != nil {
			return
		}
		if err := again.Parse(e.Append(nil)); err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}
