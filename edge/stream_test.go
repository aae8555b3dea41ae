package edge

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sponge/pkg/protocol"
)

// read passes bytes through a stream as a connection does, at once or in pieces
// of the sizes given and one, and says what was found.
func read(max int, in []byte, sizes ...int) []string {
	var s stream
	var f protocol.Frame
	var out []string
	var carry []byte
	note := func(it item) (goOn bool) {
		switch it.kind {
		case itemFrame:
			out = append(out, string(f.Bytes))
		case itemMalformed:
			out = append(out, fmt.Sprintf("%d %s %s", it.err.Code, it.err.Field, it.echo))
		case itemOversized:
			out = append(out, "413")
			return false
		}
		s.accept(it)
		return true
	}
	for k := 0; len(in) > 0; k++ {
		n := len(in)
		if len(sizes) > 0 {
			n = min(n, 1+sizes[k%len(sizes)])
		}
		carry = append(carry, in[:n]...)
		in = in[n:]
		for len(carry) > 0 {
			it := s.next(carry, max, &f)
			if it.kind == itemPartial {
				carry = carry[it.n:]
				break
			}
			if it.kind != itemNone { // a parked connection asks again
				if again := s.next(bytes.Clone(carry), max, &f); again.kind != it.kind || again.n != it.n {
					panic(fmt.Sprintf("asked twice: %+v, then %+v", it, again))
				}
			}
			if it.kind != itemNone && !note(it) {
				return out
			}
			carry = carry[it.n:]
		}
	}
	note(s.end(carry, &f))
	return out
}

// cuts are ways in which bytes may arrive.
var cuts = [][]int{nil, {0}, {1}, {2}, {7}, {64}, {0, 13, 2}}

func TestStreamRules(t *testing.T) {
	t.Parallel()
	const max = 100
	ping := `{"msgType":0}`
	long := func(n int) string { // a frame of n bytes
		return `{"msgType":0,"x":"` + strings.Repeat("x", n-len(`{"msgType":0,"x":""}`)) + `"}`
	}
	bad, typ := "400  ", "400 msgType "
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"blanks", " \r\n\t ", nil},
		{"one", ping, []string{ping}},
		{"glued", ping + ping + ping, []string{ping, ping, ping}},
		{"lines", ping + "\r\n\n" + ping + "\n", []string{ping, ping}},
		{"newline within a frame", "{\"msgType\":\n" + ping, []string{bad, ping}},
		{"newline within a string", "{\"msgType\":0,\"a\":\"\n" + ping, []string{bad, ping}},
		{"bad JSON skips its line", `{"msgType":0,} ` + ping + "\n" + ping, []string{bad, ping}},
		{"wrong bracket", `{"a":[1}` + ping + "\n" + ping, []string{bad, ping}},
		{"bad escape", `{"a":"\x"}` + "\n" + ping, []string{bad, ping}},
		{"invalid UTF-8", "{\"msgType\":0,\"a\":\"\xff\"}" + ping + "\n" + ping, []string{bad, ping}},
		{"NUL", "\x00" + ping + "\n" + ping, []string{bad, ping}},
		{"closing brace", "}" + ping + "\n" + ping, []string{bad, ping}},
		{"a list goes on right behind it", `[1,{"a":"]"}]` + ping, []string{bad, ping}},
		{"a string", `"x"` + ping, []string{bad, ping}},
		{"a number", `42` + ping, []string{bad, ping}},
		{"null", `null` + ping, []string{bad, ping}},
		{"a number at the end", `42`, []string{bad}},
		{"a word that is none", `hello ` + ping + "\n" + ping, []string{bad, ping}},
		{"a list that is none", `[1,]` + ping + "\n" + ping, []string{bad, ping}},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", []string{bad, bad}},
		{"no msgType", `{"id":"a"}` + ping, []string{typ + `"a"`, ping}},
		{"msgType is a string", `{"msgType":"4"}` + ping, []string{typ, ping}},
		{"msgType is a fraction", `{"msgType":4.0}` + ping, []string{typ, ping}},
		{"unknown msgType", `{"id":"b","msgType":98}` + ping, []string{typ + `"b"`, ping}},
		{"negative msgType", `{"msgType":-4}` + ping, []string{typ, ping}},
		{"huge msgType", `{"msgType":123456789012345678901234567890}` + ping, []string{typ, ping}},
		{"msgType twice", `{"msgType":0,"msgType":0}` + ping, []string{typ, ping}},
		{"half a frame at the end", `{"msgType":0`, []string{bad}},
		{"largest", long(max) + ping, []string{long(max), ping}},
		{"too large", long(max+1) + ping, []string{"413"}},
		{"too large, with a fault in time", `{"a":x` + strings.Repeat("x", max), []string{bad, "413"}},
		{"too large, with a fault too late", `{"a":"` + strings.Repeat("x", max) + `",}` + "\n", []string{"413"}},
		{"no end of a word", strings.Repeat("1", max+1), []string{"413"}},
		{"a skipped line within the limit", "}" + strings.Repeat("x", max-1) + "\n" + ping, []string{bad, ping}},
		{"a skipped line beyond the limit", "}" + strings.Repeat("x", max) + "\n" + ping, []string{bad, "413"}},
		{"too large a list", "[" + strings.Repeat("1,", max) + "1]" + ping, []string{"413"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, sizes := range cuts {
				if got := read(max, []byte(tt.in), sizes...); !slices.Equal(got, tt.want) {
					t.Errorf("in pieces of %v: %q, want %q", sizes, got, tt.want)
				}
			}
		})
	}
}

// FuzzStream: the same bytes give the same items, however they are cut.
func FuzzStream(f *testing.F) {
	for _, s := range []string{
		`{"msgType":0}` + "\n" + `{"msgType":4,"TOID":8,"msg":"你好 \"8\""}{"msgType":9}`,
		"{\"msgType\":\n{\"msgType\":0}",
		`[1] "x" 42 null nul` + "\n" + `{"id":"a"}{"msgType":"1"}`,
		"{\"a\":\"\xff\"}\n{\"msgType\":0,\"a\":[{}]",
		"}" + strings.Repeat("x", 70) + "\n{\"msgType\":0}",
		`{"msgType":0,"x":"` + strings.Repeat("x", 60) + `"}`,
		"\x00\x7f\xef\xbb\xbf",
		"{\"\xff\":0,\"x\":\"" + strings.Repeat("0", 60) + "\"}",
	} {
		f.Add([]byte(s), uint8(3), uint8(11))
	}
	f.Fuzz(func(t *testing.T, in []byte, a, b uint8) {
		const max = 64
		want := read(max, in)
		for _, sizes := range [][]int{{0}, {int(a), int(b)}} {
			if got := read(max, in, sizes...); !slices.Equal(got, want) {
				t.Errorf("%q: at once %q, in pieces of %v %q", in, want, sizes, got)
			}
		}
	})
}

// TestStreamLooksOnce: a frame that comes a byte at a time is not read from its
// begin each time; that would take this test many minutes.
func TestStreamLooksOnce(t *testing.T) {
	t.Parallel()
	var s stream
	var f protocol.Frame
	in := []byte(`{"msgType":4,"msg":"` + strings.Repeat("x", 1<<20))
	for n := 1; n < len(in); n++ {
		if it := s.next(in[:n], 2<<20, &f); it.kind != itemPartial {
			t.Fatalf("after %d bytes: %+v", n, it)
		}
	}
}
