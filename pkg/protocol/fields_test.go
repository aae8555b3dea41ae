package protocol

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// fault validates a frame and returns the field at fault, "" where none is.
func fault(t testing.TB, text string, read func(v *Validator)) string {
	t.Helper()
	v := mustParse(t, text).Validate()
	if read != nil {
		read(v)
	}
	if err := v.Err(); err != nil {
		if err.Code != Malformed || err.Message == "" {
			t.Errorf("%s: fault %v, want a 400 with a message", text, err)
		}
		return err.Field
	}
	return ""
}

func TestValidate(t *testing.T) {
	t.Parallel()
	id := func(n int) string { return `{"msgType":0,"id":"` + strings.Repeat("x", n) + `"}` }
	for text, want := range map[string]string{
		`{"msgType":4}`:                           "",
		`{"msgType":4,"TOID":8,"TOID":8}`:         "TOID",
		`{"msgType":4,"TOID":8,"TO\u0049D":8}`:    "TOID",
		`{"msgType":4,"msg":{"TOID":8},"TOID":8}`: "",
		`{"msgType":4,"seq":1,"seq":2}`:           "seq",
		`{"msgType":4,"other":1,"other":2}`:       "",
		id(1):                                     "",
		id(MaxID):                                 "",
		id(MaxID + 1):                             "id",
		id(0):                                     "id",
		`{"msgType":0,"id":1}`:                    "id",
		`{"msgType":0,"id":null}`:                 "id",
		`{"msgType":0,"id":"a","id":"a"}`:         "id",
		`{"msgType":4,"password":"6"}`:            "password",
		`{"msgType":4,"token":"6"}`:               "token",
		`{"msgType":2,"token":"6"}`:               "token",
		`{"msgType":2,"password":"6"}`:            "",
		`{"msgType":1,"password":"6"}`:            "",
		`{"msgType":1,"token":"6"}`:               "",
		`{"msgType":4,"Password":"6"}`:            "", // sealed, and passed on as it is
		`{"msgType":4,"a":{"password":"6"}}`:      "",
		`{"msgType":4,"id":"","token":1}`:         "id", // the first fault
	} {
		if got := fault(t, text, nil); got != want {
			t.Errorf("%s: fault in %q, want %q", text, got, want)
		}
	}
}

func TestClientID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{ // decoded, echo
		`{"id":"a"}`:          {"a", `"a"`},
		`{"id":"\u0061\n"}`:   {"a\n", `"\u0061\n"`},
		`{"id":"号"}`:          {"号", `"号"`},
		`{"id":""}`:           {},
		`{"id":7}`:            {},
		`{}`:                  {},
		`{"id":"a","id":"b"}`: {},
		`{"ID":"a"}`:          {},
		`{"a":{"id":"a"}}`:    {},
		`{"id":"` + strings.Repeat("号", 21) + `"}`:         {strings.Repeat("号", 21), `"` + strings.Repeat("号", 21) + `"`}, // 63 bytes
		`{"id":"` + strings.Repeat("号", 22) + `"}`:         {},
		`{"id":"` + strings.Repeat(`\u0061`, MaxID) + `"}`: {strings.Repeat("a", MaxID), `"` + strings.Repeat(`\u0061`, MaxID) + `"`},
	} {
		f := mustParse(t, text)
		if got := [2]string{string(f.ClientID()), string(f.Echo())}; got != want {
			t.Errorf("id of %s: %q, want %q", text, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int64{
		"1": 1, "8": 8, strconv.Itoa(MaxInt): MaxInt,
		"0": 0, "-0": 0, "-1": 0, "9007199254740992": 0, "18446744073709551617": 0,
		"99999999999999999999999999": 0, "1.0": 0, "1e3": 0, `"8"`: 0, "null": 0, "true": 0, "[8]": 0, "{}": 0,
	} {
		text := `{"msgType":4,"TOID":` + raw + `}`
		f := mustParse(t, text)
		var read int64
		bad := fault(t, text, func(v *Validator) { read = v.ID(FieldTo) })
		if f.UserID(FieldTo) != want || read != want || (bad == "TOID") != (want == 0) {
			t.Errorf("id %s: %d and %d, want %d; fault in %q", raw, f.UserID(FieldTo), read, want, bad)
		}
	}
	if got := fault(t, `{}`, func(v *Validator) { v.ID(FieldTo) }); got != "TOID" {
		t.Errorf("fault in %q where TOID is missing", got)
	}
}

func TestOwnID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{`{}`: 6, `{"FROMID":7}`: 7, `{"FROMID":null}`: 0, `{"FROMID":"6"}`: 0} {
		var got int64
		bad := fault(t, text, func(v *Validator) { got = v.OwnID(FieldFrom, 6) })
		if got != want || (bad != "") != (want == 0) {
			t.Errorf("%s: %d, fault in %q; want %d", text, got, bad, want)
		}
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	number := func(v *Validator) { v.Number(FieldSendTime) }
	msg := func(v *Validator) { v.NotEmpty(FieldMsg) }
	name := func(v *Validator) { v.Chars(FieldName, 1, 4) }
	about := func(v *Validator) { v.OptionalChars(FieldDescription, 4) }
	limit := func(v *Validator) { v.Int(FieldLimit, 20, 1, 50) }
	confirm := func(v *Validator) { v.Bool(FieldConfirm) }
	for _, tt := range []struct {
		member string
		read   func(*Validator)
		ok     bool
	}{
		{`"sendTime":0`, number, true},
		{`"sendTime":-1.5e3`, number, true},
		{`"a":0`, number, true},
		{`"sendTime":"0"`, number, false},
		{`"sendTime":null`, number, false},
		{`"sendTime":[]`, number, false},
		{`"msg":"a"`, msg, true},
		{`"msg":"\u0000"`, msg, true},
		{`"msg":""`, msg, false},
		{`"msg":12345`, msg, false},
		{`"msg":null`, msg, false},
		{`"a":"a"`, msg, false},
		{`"name":"a"`, name, true},
		{`"name":"号号号号"`, name, true},
		{`"name":"\u53f7\u53f7\u53f7\u53f7"`, name, true},
		{`"name":"\ud83d\ude00\ud83d\ude00\ud83d\ude00\ud83d\ude00"`, name, true},
		{`"name":"abcde"`, name, false},
		{`"name":""`, name, false},
		{`"name":1`, name, false},
		{`"a":1`, name, false},
		{`"description":""`, about, true},
		{`"description":"abcd"`, about, true},
		{`"a":1`, about, true},
		{`"description":"abcde"`, about, false},
		{`"description":null`, about, false},
		{`"limit":1`, limit, true},
		{`"limit":50`, limit, true},
		{`"a":1`, limit, true},
		{`"limit":0`, limit, false},
		{`"limit":51`, limit, false},
		{`"limit":-1`, limit, false},
		{`"limit":5.0`, limit, false},
		{`"limit":"5"`, limit, false},
		{`"limit":null`, limit, false},
		{`"confirm":true`, confirm, true},
		{`"confirm":false`, confirm, true},
		{`"a":1`, confirm, true},
		{`"confirm":null`, confirm, false},
		{`"confirm":1`, confirm, false},
		{`"confirm":"true"`, confirm, false},
	} {
		if bad := fault(t, "{"+tt.member+"}", tt.read); (bad == "") != tt.ok {
			t.Errorf("%s: fault in %q, want one: %t", tt.member, bad, !tt.ok)
		}
	}
}

func TestFieldValues(t *testing.T) {
	t.Parallel()
	v := mustParse(t, `{"limit":7,"confirm":true,"name":"\u0061b","after":0}`).Validate()
	if n := v.Int(FieldLimit, 20, 1, 50); n != 7 {
		t.Errorf("limit is %d, want 7", n)
	}
	if n := v.Int(FieldBefore, 20, 1, 50); n != 20 {
		t.Errorf("before is %d, want 20, as it is left out", n)
	}
	if !v.Bool(FieldConfirm) {
		t.Error("confirm is false")
	}
	if s := v.Chars(FieldName, 1, 2); s != "ab" {
		t.Errorf("name is %q, want ab", s)
	}
	if v.Err() != nil {
		t.Errorf("fault %v", v.Err())
	}
	v.Fail(FieldName, "the first")
	v.Fail(FieldLimit, "the second")
	if err := v.Err(); err == nil || err.Field != "name" || err.Message != "the first" {
		t.Errorf("fault %v, want the first", err)
	}
}

func TestTextDecodes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		if got, ok := Text([]byte(quote(s))); !ok || string(got) != s {
			t.Fatalf("Text(%s) is %q, %t", quote(s), got, ok)
		}
		if got, ok := Text(AppendText(nil, s)); !ok || string(got) != s {
			t.Fatalf("Text(%s) is %q, %t", AppendText(nil, s), got, ok)
		}
	})
	for _, raw := range []string{``, `"`, `1`, `null`, `[]`} {
		if _, ok := Text([]byte(raw)); ok {
			t.Errorf("Text(%s) is a string", raw)
		}
	}
}
