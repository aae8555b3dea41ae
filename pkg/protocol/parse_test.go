package protocol

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := frameTexts().Draw(t, "frame")
		behind := rapid.SampledFrom([]string{"", "\n", "}", `{"msgType":0}`, "\xff"}).Draw(t, "behind")
		var f Frame
		if n, err := f.Parse([]byte(text + behind)); err != nil || n != len(text) {
			t.Fatalf("Parse(%q): %d, %v; want all %d bytes", text, n, err, len(text))
		}
		check(t, &f, []byte(text+behind))
	})
}

func TestParseOfBrokenFrames(t *testing.T) {
	t.Parallel()
	var f Frame
	rapid.Check(t, func(t *rapid.T) { check(t, &f, broken(t, frameTexts().Draw(t, "frame"))) })
}

func TestParseOfPrefixes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := frameTexts().Draw(t, "frame")
		var f Frame
		for n := range text {
			if _, err := f.Parse([]byte(text[:n])); !errors.Is(err, ErrIncomplete) {
				t.Fatalf("Parse(%q): %v, want ErrIncomplete", text[:n], err)
			}
		}
	})
}

func TestParseForgetsTheFrameBefore(t *testing.T) {
	t.Parallel()
	var f Frame
	for _, text := range []string{
		`{"msgType":4,"id":"a","id":"b","TOID":8,"a":{"token":1},"seq":1}`, `{"msgType":"x`, `{"msgType":0}`, `{}`,
	} {
		check(t, &f, []byte(text))
	}
	if f.Type != NoType || f.Has(FieldTo) || f.ClientID() != nil || len(f.Secrets)+len(f.drop) != 0 {
		t.Errorf("an empty frame still holds something of those before: %+v", f)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		offset     int
		reason     string // a part of it
	}{
		{"a list", `[1]`, 0, "JSON object"},
		{"a newline between tokens", "{\"msgType\":4,\n\"TOID\":8}", 13, "newline"},
		{"a newline in a string", "{\"msg\":\"a\nb\"}", 9, "newline"},
		{"a newline in an escape", "{\"msg\":\"a\\\nb\"}", 10, "escape"},
		{"a newline in a word", "{\"a\":tr\nue}", 7, "unknown word"},
		{"a newline in a number", "{\"a\":1.\n5}", 7, "malformed number"},
		{"a control character in a string", "{\"msg\":\"a\tb\"}", 9, "escapes"},
		{"a form feed between tokens", "{\f}", 1, "quotes"},
		{"a byte order mark", "\ufeff{}", 0, "JSON object"},
		{"a trailing comma", `{"a":1,}`, 7, "quotes"},
		{"a trailing comma in a list", `{"a":[1,]}`, 8, "value is missing"},
		{"a leading comma", `{,"a":1}`, 1, "quotes"},
		{"no colon", `{"a" 1}`, 5, "colon"},
		{"no comma", `{"a":1 "b":2}`, 7, "comma or a closing brace"},
		{"no comma in a list", `{"a":[1 2]}`, 8, "comma or a closing bracket"},
		{"a list closed by a brace", `{"a":[1}}`, 7, "closing bracket"},
		{"an object closed by a bracket", `{]`, 1, "closing brace"},
		{"a comment", `{/**/}`, 1, "quotes"},
		{"single quotes", `{'a':1}`, 1, "quotes"},
		{"a leading zero", `{"a":01}`, 7, "malformed number"},
		{"a plus", `{"a":+1}`, 5, "value is missing"},
		{"a lonely minus", `{"a":-}`, 6, "malformed number"},
		{"no digits behind the point", `{"a":1.}`, 7, "malformed number"},
		{"no digits in the exponent", `{"a":1e+}`, 8, "malformed number"},
		{"a hexadecimal number", `{"a":0x1}`, 6, "comma"},
		{"NaN", `{"a":NaN}`, 5, "value is missing"},
		{"a word with a capital", `{"a":tRue}`, 6, "unknown word"},
		{"an unknown escape", `{"a":"\x"}`, 7, "unknown escape"},
		{"a short \\u", `{"a":"\u12"}`, 10, "hexadecimal"},
		{"invalid UTF-8", "{\"a\":\"\xc3\x28\"}", 6, "UTF-8"},
		{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", 6, "UTF-8"},
		{"an overlong character", "{\"\xc0\xaf\":1}", 2, "UTF-8"},
		{"too deep a list", `{"a":` + strings.Repeat("[", MaxDepth), 5 + MaxDepth - 1, "deeply"},
		{"too deep an object", strings.Repeat(`{"a":`, MaxDepth+1), 5 * MaxDepth, "deeply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var f Frame
			_, err := f.Parse([]byte(tt.text))
			var fault *SyntaxError
			if !errors.As(err, &fault) {
				t.Fatalf("Parse: %v, want a *SyntaxError", err)
			}
			if fault.Offset != tt.offset || !strings.Contains(fault.Reason, tt.reason) {
				t.Errorf("fault %q at %d, want %q at %d", fault.Reason, fault.Offset, tt.reason, tt.offset)
			}
			if fault.Error() != fault.Reason {
				t.Errorf("Error() is %q, want the reason alone", fault.Error())
			}
		})
	}
}

func TestDeepestFrame(t *testing.T) {
	t.Parallel()
	n := MaxDepth - 1
	f := mustParse(t, `{"msgType":4,"a":`+strings.Repeat("[", n)+strings.Repeat("]", n)+`}`)
	if f.Type != Chat {
		t.Errorf("type %s, want 4", f.Type)
	}
	f = mustParse(t, strings.Repeat(`{"a":`, n)+`{"token":1}`+strings.Repeat("}", n))
	if len(f.Secrets) != 1 {
		t.Errorf("%d secrets at the lowest level, want 1", len(f.Secrets))
	}
}

func TestType(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Type{
		`{"msgType":0}`:                    Ping,
		`{"msgType":-0}`:                   Ping,
		`{"msgType":16}`:                   History,
		`{"msgType":99}`:                   99,
		`{"msgType":-4}`:                   -4,
		`{"msgTyp\u0065":4}`:               Chat,
		`{}`:                               NoType,
		`{"msgtype":4}`:                    NoType,
		`{"a":{"msgType":4}}`:              NoType,
		`{"msgType":4,"msgType":4}`:        NoType,
		`{"msgType":"4"}`:                  NoType,
		`{"msgType":4.0}`:                  NoType,
		`{"msgType":4e0}`:                  NoType,
		`{"msgType":null}`:                 NoType,
		`{"msgType":[4]}`:                  NoType,
		`{"msgType":4294967300}`:           NoType,
		`{"msgType":18446744073709551620}`: NoType,
	} {
		if got := mustParse(t, text).Type; got != want {
			t.Errorf("type of %s is %d, want %d", text, got, want)
		}
	}
	for n := Type(-10); n < 300; n++ {
		if n.Known() && (n.Topic() >= NumTopics || n.Reply() != 100+n) {
			t.Errorf("type %d: topic %d, reply %d", n, n.Topic(), n.Reply())
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"password":"a"}`:                             `"a"`,
		`{"PassWord" : "a" }`:                          `"a"`,
		`{"p\u0061ssword":"a"}`:                        `"a"`,
		`{"\u0054OKEN":42}`:                            `42`,
		`{"to` + "\u212A" + `en":1}`:                   `1`,
		`{"token":{"a":[1,{"token":2}]},"b":1}`:        `{"a":[1,{"token":2}]}`,
		`{"a":[{"b":{"Token":null}},{"password":[]}]}`: `null []`,
		`{"password":{"password":1},"password":2}`:     `{"password":1} 2`,
		`{"passwords":1,"tokens":2,"a":"password"}`:    ``,
		`{"a":["token","password"]}`:                   ``,
	} {
		f := mustParse(t, text)
		var got []string
		for _, s := range f.Secrets {
			got = append(got, string(f.bytes(s)))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("secrets of %s: %s, want %s", text, s, want)
		}
	}
}

const chatFrame = `{"msgType":4,"FROMID":6,"TOID":8,"msg":"你好 8号","sendTime":1703078264002,"id":"a-1"}`

func TestHotPathDoesNotAllocate(t *testing.T) {
	b, key := []byte(chatFrame), make([]byte, 0, 64)
	var f Frame
	if _, err := f.Parse(b); err != nil { // makes the list of dropped members once
		t.Fatal(err)
	}
	for name, run := range map[string]func(){
		"Parse":     func() { f.Parse(b) },
		"AppendKey": func() { key = f.AppendKey(key[:0], 6, "edge:1", 1) },
		"Partition": func() { Partition(key, 64) },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s of a chat frame allocates %v times, want none", name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(chatFrame)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var f Frame
	for b.Loop() {
		if _, err := f.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
