package protocol

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// splitAt gives a Splitter what has arrived at each cut, and then all of b.
func splitAt(b []byte, cuts []int) (n int, outcome Split) {
	var s Splitter
	for _, cut := range append(cuts, len(b)) {
		if n, outcome = s.Next(b[:cut]); outcome != More {
			break
		}
	}
	return n, outcome
}

// checkSplitter holds a Splitter to itself, however the bytes are cut, and to
// Parse and encoding/json.
func checkSplitter(t fataler, b []byte, cuts []int) {
	t.Helper()
	n, outcome := splitAt(b, nil)
	if m, o := splitAt(b, cuts); m != n || o != outcome {
		t.Fatalf("Splitter of %q cut at %v: %d, %d; at once %d, %d", b, cuts, m, o, n, outcome)
	}
	if len(b) == 0 {
		return
	}
	var f Frame
	switch m, err := f.Parse(b); {
	case err == nil && (outcome != Whole || n != m):
		t.Fatalf("Splitter of %q: %d, %d; Parse takes %d bytes", b, n, outcome, m)
	case errors.Is(err, ErrIncomplete) && outcome != More:
		t.Fatalf("Splitter of %q: %d, %d; Parse finds it incomplete", b, n, outcome)
	}
	if outcome == More && n != len(b) {
		t.Fatalf("Splitter of %q: more, behind %d bytes", b, n)
	}
	if outcome == Garbage && n < len(b) && n > 0 && b[n] != '\n' {
		t.Fatalf("Splitter of %q: garbage at %d, which is no newline", b, n)
	}
}

func TestSplitterInChunks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(frameTexts(), texts(3)).Draw(t, "value")
		behind := rapid.SampledFrom([]string{"", " ", "\n", `{"a":1}`, "]", "x"}).Draw(t, "behind")
		b := broken(t, text+behind)
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(b)), 0, 8).Draw(t, "cuts")
		slices.Sort(cuts)
		checkSplitter(t, b, cuts)
	})
}

// TestSplitterFindsTheEnd of any value that is no broken one.
func TestSplitterFindsTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := texts(3).Draw(t, "value")
		behind := rapid.SampledFrom([]string{" ", "\n", `{"a":1}`, `"b"`, "[", "\x00"}).Draw(t, "behind")
		n, outcome := splitAt([]byte(text+behind), nil)
		if n != len(text) || outcome != Whole {
			t.Fatalf("Splitter of %q: %d, %d; want all %d bytes of the value", text+behind, n, outcome, len(text))
		}
		if !Valid([]byte(text)) {
			t.Fatalf("Valid(%q) is false", text)
		}
	})
}

func TestSplitter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		n       int
		outcome Split
	}{
		{``, 0, More},
		{`{`, 1, More},
		{`{}`, 2, Whole},
		{`{} `, 2, Whole},
		{`[{"a":"]}"}]{`, 12, Whole},
		{`{"a":"\"}"}`, 11, Whole},
		{`{"a":"\\"}"`, 10, Whole},
		{`"a\"b"c`, 6, Whole},
		{`"a`, 2, More},
		{"\"a\nb\"", 2, Garbage},
		{"[1,\n2]", 3, Garbage},
		{`42`, 2, More},
		{"42\n", 2, Whole},
		{`null{`, 4, Whole},
		{`hello there`, 5, Whole}, // Valid refuses it
		{`}`, 0, Garbage},
		{"\x00", 0, Garbage},
		{"Hello", 0, Garbage},
		{"{]", 2, Whole}, // Parse refuses it
	} {
		if n, outcome := splitAt([]byte(tt.text), nil); n != tt.n || outcome != tt.outcome {
			t.Errorf("Splitter of %q: %d, %d; want %d, %d", tt.text, n, outcome, tt.n, tt.outcome)
		}
	}
}

func TestBlank(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		if want := json.Valid([]byte{byte(c), '1'}) && (c < '0' || c > '9') && c != '-'; Blank(byte(c)) != want {
			t.Errorf("Blank(%q) is %t, and JSON says %t", rune(c), !want, want)
		}
	}
}
