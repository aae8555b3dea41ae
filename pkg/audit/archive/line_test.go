package archive

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// same reports whether two records are the same, nil and empty told apart.
func same(a, b *queue.Message) bool { return differ(a, b) == "" }

func roundTrip(t interface{ Fatalf(string, ...any) }, m *queue.Message) []byte {
	line := AppendLine(nil, m)
	if !json.Valid(line) || bytes.ContainsAny(line, "\n\r") {
		t.Fatalf("%q is no line of JSON", line)
	}
	got, err := ParseLine(line)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if !same(&got, m) {
		t.Fatalf("%q: got %+v, want %+v", line, got, *m)
	}
	if offset, err := lineOffset(line); err != nil || offset != m.Offset {
		t.Fatalf("%q: offset %d, %v", line, offset, err)
	}
	return line
}

func someBytes() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.Just[[]byte](nil), rapid.SliceOf(rapid.Byte()),
		rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
		rapid.SampledFrom([][]byte{
			[]byte(`{"msgType":4,"TOID":8,"msg":"你好 8号"}`), []byte(` {"a": [1, 2]} `), []byte("{\n}"), []byte(`"}"`),
			[]byte("{\"a\":\"\xff\"}"), []byte(`null`), {}, []byte("\r1"), []byte("u:6:8"), []byte("\x00\"\\\x1f\x7f\u2028"),
		}),
	)
}

func someEnvelope() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		e := envelope.Envelope{
			Kind: envelope.Kind(rapid.IntRange(0, 5).Draw(t, "kind")),
			Node: rapid.String().Draw(t, "node"), Conn: rapid.Uint64().Draw(t, "conn"), Request: rapid.Uint32().Draw(t, "request"),
			Arrival: rapid.Int64().Draw(t, "arrival"), Peer: string(rapid.SliceOf(rapid.Byte()).Draw(t, "peer")),
			Since: rapid.OneOf(rapid.Just[int64](0), rapid.Int64()).Draw(t, "since"),
		}
		if rapid.Bool().Draw(t, "soon") {
			e.Arrival = rapid.Int64Range(minTime, maxTime).Draw(t, "time")
		}
		copy(e.FrameID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		if rapid.Bool().Draw(t, "proof") {
			e.Proof = (*keys.Proof)(rapid.SliceOfN(rapid.Byte(), keys.ProofSize, keys.ProofSize).Draw(t, "p"))
		}
		for range rapid.IntRange(0, 3).Draw(t, "ranges") {
			n := rapid.SliceOfN(rapid.Int64(), 4, 4).Draw(t, "range")
			e.Ranges = append(e.Ranges, envelope.Range{Conversation: protocol.Conversation{A: n[0], B: n[1]}, From: n[2], To: n[3]})
		}
		b := e.Append(nil)
		if rapid.Bool().Draw(t, "cut") {
			b = b[:rapid.IntRange(0, len(b)).Draw(t, "at")]
		}
		if rapid.Bool().Draw(t, "longer") {
			b = append(b, rapid.SliceOf(rapid.Byte()).Draw(t, "more")...)
		}
		return b
	})
}

func TestLineRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := queue.Message{
			Offset: rapid.Int64().Draw(t, "offset"), Time: time.UnixMilli(rapid.OneOf(rapid.Int64Range(minTime-5, maxTime+5), rapid.Int64Range(1.7e12, 1.8e12)).Draw(t, "time")),
			Key: someBytes().Draw(t, "key"), Value: someBytes().Draw(t, "value"),
			Header: rapid.OneOf(someBytes(), someEnvelope()).Draw(t, "header"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "rest") {
			m.Rest = append(m.Rest, queue.Header{Key: string(someBytes().Draw(t, "name")), Value: someBytes().Draw(t, "header value")})
		}
		roundTrip(t, &m)
	})
}

func FuzzLine(f *testing.F) {
	proof := keys.Proof{7: 6}
	e := envelope.Envelope{Node: "e1:x", Conn: 12, Request: 3, Arrival: 1703078264002, Peer: "10.0.0.1:5", Proof: &proof}
	f.Add(int64(7), int64(1703078264002), []byte("u:6:8"), []byte(`{"msgType":4}`), e.Append(nil), "error", []byte("x"))
	f.Fuzz(func(t *testing.T, offset, at int64, key, value, header []byte, name string, more []byte) {
		m := queue.Message{Offset: offset, Time: time.UnixMilli(at), Key: key, Value: value, Header: header}
		m.Time = time.UnixMilli(m.Time.UnixMilli())
		if name != "" {
			m.Rest = []queue.Header{{Key: name, Value: more}}
		}
		roundTrip(t, &m)
	})
}

// FuzzParseLine holds that no line makes ParseLine panic, and that a record it
// reads is read from its own line again.
func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"offset":7,"time":"2026-11-23T03:22:51.123Z","key":"u:6:8","frame":{"msgType":4}}`))
	f.Add([]byte(`{"offset":7,"time":5,"header":"AQ==","headers":[{"key":"a","value":"b"}],"frameBase64":"AA=="}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if m, err := ParseLine(line); err == nil && json.Valid(line) {
			again, err := ParseLine(AppendLine(nil, &m))
			if err != nil || !same(&again, &m) {
				t.Fatalf("%q: %+v, then %+v, %v", line, m, again, err)
			}
		}
	})
}

func TestLineIsReadable(t *testing.T) {
	t.Parallel()
	proof := keys.Proof{7: 6}
	e := envelope.Envelope{FrameID: protocol.FrameID{0: 0xab}, Node: "e1:x", Conn: 12, Request: 3, Arrival: 1703078264002, Peer: "10.0.0.1:5", Proof: &proof}
	m := queue.Message{Offset: 7, Time: time.UnixMilli(1703078264005), Key: []byte("u:6:8"), Value: []byte(`{"msgType":4,"msg":"你好"}`), Header: e.Append(nil)}
	want := `{"offset":7,"time":"2023-12-20T13:17:44.005Z","arrival":"2023-12-20T13:17:44.002Z","request":3,` +
		`"frameId":"ab000000000000000000000000000000","node":"e1:x","conn":12,"peer":"10.0.0.1:5","user":6,` +
		`"proof":"AAAAAAAAAAYAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","key":"u:6:8","frame":{"msgType":4,"msg":"你好"}}`
	if got := roundTrip(t, &m); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e.Kind, e.Proof, e.Since = envelope.Sync, nil, 5
	e.Ranges = []envelope.Range{{Conversation: protocol.Pair(6, 8), From: 1, To: 5}, {Conversation: protocol.GroupOf(7), From: 2, To: 2}}
	m.Header = e.Append(nil)
	if got := roundTrip(t, &m); !strings.Contains(string(got), `"kind":"sync","since":5,"ranges":[[6,8,1,5],[0,7,2,2]],"node"`) {
		t.Errorf("got %s", got)
	}
}

func TestLinesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		``, `{}`, `null`, `{"offset":1}`, `{"offset":1,"time":2`, `{"offset":1,"time":2,"key":"a}`, `{"offset":x,"time":2}`,
		`{"offset":1,"time":2}x`, `{"offset":1,"time":2,"frame":}`, `{"offset":1,"time":2,"header":"A"}`, `{"offset":1,"time":"2026-13-23T03:22:51.123Z"}`,
	} {
		if m, err := ParseLine([]byte(line)); err == nil {
			t.Errorf("%s: got %+v", line, m)
		}
	}
}
