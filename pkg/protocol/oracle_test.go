package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// oracle is what encoding/json says of an object, in the parser's terms.
type oracle struct {
	members []member // of the top level, doubled ones, too
	secrets []Span
	depth   int
}

type member struct {
	key, rawKey string
	value       Span
}

// ask returns false unless b is one object that the wire takes.
func ask(b []byte) (o oracle, ok bool) {
	if len(b) == 0 || b[0] != '{' || b[len(b)-1] != '}' || !json.Valid(b) || !utf8.Valid(b) || bytes.IndexByte(b, '\n') >= 0 {
		return oracle{}, false
	}
	o.walk(b, 0, 1, false)
	return o, o.depth <= MaxDepth
}

// walk looks at the object or list b, which begins at base.
func (o *oracle) walk(b []byte, base, depth int, secret bool) {
	if o.depth = max(o.depth, depth); depth > MaxDepth {
		return
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	token := func() (t json.Token, end int) {
		t, err := dec.Token()
		if err != nil {
			panic(err) // b is valid
		}
		return t, int(dec.InputOffset())
	}
	open, _ := token()
	for dec.More() {
		var m member
		hidden := secret
		if open == json.Delim('{') {
			before := int(dec.InputOffset())
			t, end := token()
			m.key = t.(string)
			m.rawKey = string(b[before+bytes.IndexByte(b[before:], '"') : end])
			hidden = secret || strings.EqualFold(m.key, "password") || strings.EqualFold(m.key, "token")
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			panic(err)
		}
		end := base + int(dec.InputOffset())
		m.value = Span{int32(end - len(raw)), int32(end)}
		if hidden && !secret {
			o.secrets = append(o.secrets, m.value)
		}
		if depth == 1 {
			o.members = append(o.members, m)
		}
		if raw[0] == '{' || raw[0] == '[' {
			o.walk(raw, end-len(raw), depth+1, hidden)
		}
	}
}

// fataler is a test, rapid's or Go's.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check holds Parse to the oracle, whatever b is.
func check(t fataler, f *Frame, b []byte) {
	t.Helper()
	n, err := f.Parse(b)
	if err != nil {
		var first json.RawMessage
		dec := json.NewDecoder(bytes.NewReader(b))
		if dec.Decode(&first) == nil {
			if _, ok := ask(b[:dec.InputOffset()]); ok {
				t.Fatalf("Parse(%q): %v, but it begins with the frame %s", b, err, first)
			}
		}
		checkFault(t, b, err)
		return
	}
	o, ok := ask(b[:n])
	if !ok {
		t.Fatalf("Parse(%q) took %q, which is no frame", b, b[:n])
	}
	if !bytes.Equal(f.Bytes, b[:n]) {
		t.Fatalf("Parse(%q): Bytes %q, want %q", b, f.Bytes, b[:n])
	}
	var values [numFields]Span
	var drops []string
	twice := NoField
	for _, m := range o.members {
		if field := fieldOf([]byte(m.key)); field != NoField {
			if values[field].End != 0 && twice == NoField {
				twice = field
			}
			values[field] = m.value
		}
		switch m.key {
		case "id", "seq", "msgId", "time", "code", "error":
			drops = append(drops, m.rawKey)
		}
	}
	if f.values != values || f.twice != twice {
		t.Fatalf("Parse(%q): values %v, twice %d; want %v, %d", b, f.values, f.twice, values, twice)
	}
	if len(f.drop) != len(drops) {
		t.Fatalf("Parse(%q): %d members are left out of pushes, want %d", b, len(f.drop), len(drops))
	}
	for i, s := range f.drop {
		if !strings.HasPrefix(string(f.bytes(s)), drops[i]) {
			t.Fatalf("Parse(%q): %q is left out of pushes, want the member %s", b, f.bytes(s), drops[i])
		}
	}
	if len(f.Secrets) != len(o.secrets) {
		t.Fatalf("Parse(%q): secrets %v, want %v", b, f.Secrets, o.secrets)
	}
	for i, s := range f.Secrets {
		if s != o.secrets[i] {
			t.Fatalf("Parse(%q): secret %q, want %q", b, f.bytes(s), f.bytes(o.secrets[i]))
		}
	}
}

// checkFault holds an error of Parse to what encoding/json says of the bytes up
// to and with the offending one.
func checkFault(t fataler, b []byte, err error) {
	t.Helper()
	var fault *SyntaxError
	if !errors.As(err, &fault) {
		if !errors.Is(err, ErrIncomplete) {
			t.Fatalf("Parse(%q): error %v is none of the two kinds", b, err)
		}
		return
	}
	if fault.Offset < 0 || fault.Offset >= len(b) {
		t.Fatalf("Parse(%q): fault at %d, which is no byte of it", b, fault.Offset)
	}
	upTo := b[:fault.Offset+1]
	if newline := bytes.IndexByte(upTo, '\n'); newline >= 0 && newline < fault.Offset {
		t.Fatalf("Parse(%q): fault at %d, in another line than the frame's begin", b, fault.Offset)
	}
	decode := json.NewDecoder(bytes.NewReader(upTo)).Decode(new(json.RawMessage))
	definite := decode != nil && !errors.Is(decode, io.ErrUnexpectedEOF) && !errors.Is(decode, io.EOF)
	ours := upTo[0] != '{' || upTo[fault.Offset] == '\n' || // in a string, a definite fault for both
		bytes.Count(upTo, []byte("{"))+bytes.Count(upTo, []byte("[")) > MaxDepth ||
		!utf8.Valid(b)
	if !definite && !ours {
		t.Fatalf("Parse(%q): %v at %d, but encoding/json reads on there", b, err, fault.Offset)
	}
}

// mustParse parses a whole frame.
func mustParse(t testing.TB, text string) *Frame {
	t.Helper()
	var f Frame
	n, err := f.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	if n != len(text) {
		t.Fatalf("Parse(%s) took %d bytes of %d", text, n, len(text))
	}
	return &f
}
