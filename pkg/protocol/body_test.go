package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// chatTexts are chat frames with other keys among those that they need.
func chatTexts() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		needed := []string{`"msgType":4`, `"TOID":8`, `"msg":` + blank(t) + `"你好"`}
		if rapid.Bool().Draw(t, "from") {
			needed = append(needed, `"FROMID":6`)
		}
		return object(t, 2, rapid.IntRange(0, 6).Draw(t, "members"), needed...)
	})
}

type rawMember struct{ key, value string }

func rawMembers(t *rapid.T, text string) []rawMember {
	o, ok := ask([]byte(text))
	if !ok {
		t.Fatalf("%s is no frame", text)
	}
	var out []rawMember
	for _, m := range o.members {
		out = append(out, rawMember{m.rawKey, text[m.value.Start:m.value.End]})
	}
	return out
}

func TestPushIsTheFrameAsSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := chatTexts().Draw(t, "frame")
		var f Frame
		if _, err := f.Parse([]byte(text)); err != nil {
			t.Fatalf("Parse(%q): %v", text, err)
		}
		var want []rawMember
		for _, m := range rawMembers(t, text) {
			var key string
			if err := json.Unmarshal([]byte(m.key), &key); err != nil {
				t.Fatal(err)
			}
			switch key {
			case "id", "seq", "msgId", "time", "code", "error":
				continue
			}
			want = append(want, m)
		}
		if !f.Has(FieldFrom) {
			want = append(want, rawMember{`"FROMID"`, "6"})
		}
		want = append(want, rawMember{`"seq"`, "12"}, rawMember{`"msgId"`, `"00ff"`}, rawMember{`"time"`, "1703078264002"})

		body := f.AppendBody([]byte("before"), 6)
		if !bytes.HasPrefix(body, []byte("before{")) {
			t.Fatalf("AppendBody left %q", body)
		}
		push := string(AppendPush(nil, body[len("before"):], 12, "00ff", 1703078264002))
		if got := rawMembers(t, push); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("push of %q:\n%s\nmembers %v\nwant    %v", text, push, got, want)
		}
	})
}

func TestAppendBody(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"msgType":4,"FROMID":6,"TOID":8,"msg":"a"}`: `{"msgType":4,"FROMID":6,"TOID":8,"msg":"a"`,
		`{"msgType":4}`:                                      `{"msgType":4,"FROMID":6`,
		`{"id":"x","msgType":4,"FROMID":6}`:                  `{"msgType":4,"FROMID":6`,
		`{"msgType":4,"FROMID":6,"id":"x"}`:                  `{"msgType":4,"FROMID":6`,
		`{"msgType":4,"id":"x","FROMID":6}`:                  `{"msgType":4,"FROMID":6`,
		`{"seq":1,"id":"x","msgType":4,"time":[1,{"a":2}]}`:  `{"msgType":4,"FROMID":6`,
		`{"code":{},"msgType":4,"error":"","msgId":null}`:    `{"msgType":4,"FROMID":6`,
		"{ \"id\" : \"x\" ,\t\"msgType\":4 , \"time\":1 \t}": "{ \t\"msgType\":4,\"FROMID\":6",
		`{"i\u0064":"x","msgType":4}`:                        `{"msgType":4,"FROMID":6`,
		`{"msgType":4,"a":{"id":1,"seq":2}}`:                 `{"msgType":4,"a":{"id":1,"seq":2},"FROMID":6`,
		`{"msgType":4,"msg":"a,","id":"x"}`:                  `{"msgType":4,"msg":"a,","FROMID":6`,
	} {
		if got := mustParse(t, text).AppendBody(nil, 6); string(got) != want {
			t.Errorf("body of %s:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestReplaceSecrets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := frameTexts().Draw(t, "frame")
		var f, sealed Frame
		if _, err := f.Parse([]byte(text)); err != nil {
			t.Fatal(err)
		}
		var raws []string
		out, err := f.ReplaceSecrets(nil, func(raw []byte) ([]byte, error) {
			raws = append(raws, string(raw))
			return []byte(`"sealed"`), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := sealed.Parse(out); err != nil || n != len(out) {
			t.Fatalf("sealed frame %q: %d, %v", out, n, err)
		}
		if len(sealed.Secrets) != len(raws) || len(raws) != len(f.Secrets) {
			t.Fatalf("%d secrets, %d were sealed, %d are in the sealed frame %q", len(f.Secrets), len(raws), len(sealed.Secrets), out)
		}
		for _, s := range sealed.Secrets {
			if got := string(sealed.bytes(s)); got != `"sealed"` {
				t.Fatalf("secret %s in the sealed frame %q", got, out)
			}
		}
		if sealed.ContentHash() != f.ContentHash() {
			t.Fatal("sealing has changed the content's hash")
		}
	})
	f := mustParse(t, `{"password":1}`)
	if _, err := f.ReplaceSecrets(nil, func([]byte) ([]byte, error) { return nil, ErrIncomplete }); err != ErrIncomplete {
		t.Errorf("error %v, want what seal returned", err)
	}
}

func TestContentHash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{`{"msg":"a","id":"1"}`, `{"msg":"a","id":"1"}`, true},
		{`{"msg":"a"}`, `{"msg":"b"}`, false},
		{`{"name":"a","password":"1"}`, `{"name":"a","password":"2"}`, true}, // the outcome's id tells them apart
		{`{"name":"a","password":"1"}`, `{"name":"b","password":"1"}`, false},
	} {
		if same := mustParse(t, tt.a).ContentHash() == mustParse(t, tt.b).ContentHash(); same != tt.same {
			t.Errorf("%s and %s: same hash %t, want %t", tt.a, tt.b, same, tt.same)
		}
	}
}

func TestAppendTextIsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		var got string
		text := AppendText(nil, s)
		if err := json.Unmarshal(text, &got); err != nil || got != string([]rune(s)) {
			t.Fatalf("AppendText(%q) is %s, which reads as %q, %v", s, text, got, err)
		}
		if bytes.ContainsAny(text, "\n\r\x00\x7f") {
			t.Fatalf("AppendText(%q) holds control characters", s)
		}
	})
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		string(NewReply(nil, Chat, OK, nil).End()): `{"msgType":104,"code":0}`,
		string(NewReply(nil, Ping, OK, []byte(`"\u0061"`)).Int("a", -1).Bool("b", true).Text("c", "\"\n").Raw("d", []byte("[]")).End()): `{"msgType":100,"code":0,"id":"\u0061","a":-1,"b":true,"c":"\"\n","d":[]}`,
		string(NewFailure(nil, Chat, Errorf(NotFound, "no user %d", 8), []byte(`"a"`))):                                                 `{"msgType":104,"code":404,"id":"a","error":"no user 8"}`,
		string(NewFailure(nil, Chat, &Error{Malformed, "TOID", "a"}, nil)):                                                              `{"msgType":104,"code":400,"error":"a","field":"TOID"}`,
		string(NewNotice(nil, "draining", true, 2000)):                                                                                  `{"msgType":98,"reason":"draining","reconnect":true,"after":2000}`,
		string(Object("{").Int("a", 1).End()):                                                                                           `{"a":1}`,
		string(Object(nil).Int("a", 1).Int("b", 2)):                                                                                     `"a":1,"b":2`,
	} {
		if strings.TrimSuffix(got, "\n") != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]*Error{
		"404: there is no user 8":   Errorf(NotFound, "there is no user %d", 8),
		"400 TOID: an id is needed": {Malformed, "TOID", "an id is needed"},
		"500: sorry":                Errorf(Internal, "sorry"),
	} {
		if err.Error() != want {
			t.Errorf("Error() is %q, want %q", err.Error(), want)
		}
	}
}
