package client

import (
	"encoding/json"
	"strings"
	"testing"

	"sponge/pkg/protocol"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		line string
		want Frame
		id   string
		text string
	}{
		{line: `{"msgType":104,"code":0,"id":"a\"b","TOID":8,"seq":3,"msgId":"x","time":17}`,
			want: Frame{Type: 104, To: 8, Seq: 3, Time: 17}, id: `a\"b`},
		{line: ` { "msgType" : 9 , "GROUPID" : 7 , "msg" : "\\" , "FROMID" : 6 , "seq" : 9007199254740991 } `,
			want: Frame{Type: 9, Group: 7, From: 6, Seq: 9007199254740991}, text: `\`},
		{line: `{"x":{"seq":5,"msg":"}","a":[1,{"b":"]"}]},"msgType":4,"y":[],"z":null,"w":-1.5e3,"v":true,"msg":"a\u4f60\"","seq":2}`,
			want: Frame{Type: 4, Seq: 2}, text: `a你"`},
		{line: `{"msgType":101,"code":401,"error":"no"}`, want: Frame{Type: 101, Code: 401}},
		{line: `{"msgType":98}`, want: Frame{Type: 98}},
	} {
		var f Frame
		if err := f.parse([]byte(strings.TrimSpace(c.line))); err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if string(f.id) != c.id || f.Text() != c.text {
			t.Errorf("%s: id %q, text %q", c.line, f.id, f.Text())
		}
		f.Raw, f.id, f.msg = nil, nil, nil
		if c.want.Raw, c.want.id, c.want.msg = nil, nil, nil; !equal(f, c.want) {
			t.Errorf("%s: %+v, wanted %+v", c.line, f, c.want)
		}
	}
}

func equal(a, b Frame) bool {
	return a.Type == b.Type && a.Code == b.Code && a.From == b.From && a.To == b.To && a.Group == b.Group && a.Seq == b.Seq && a.Time == b.Time
}

func TestParseRefusesWhatIsNoFrame(t *testing.T) {
	for _, line := range []string{``, `{`, `{}`, `[]`, `{"msgType":4`, `{"msgType"}`, `{"msgType":4,"msg":"x}`, `{"msgType":4}}`,
		`{"seq":1}`, `{"msgType":4,"a":[1}`, `{"msgType":4,"a":{"b":1}`, `null`, `{"msgType:4}`, `{"msgType":}`} {
		var f Frame
		if err := f.parse([]byte(line)); err == nil {
			t.Errorf("%s was taken for %+v", line, f)
		}
	}
}

// FuzzParse checks that no input breaks the parser, and that it reads what is
// a frame as encoding/json does.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"msgType":4,"FROMID":6,"msg":"x\\","a":[{}],"seq":3}`))
	f.Add(somePush)
	f.Fuzz(func(t *testing.T, line []byte) {
		var got Frame
		err := got.parse(line)
		var want struct {
			Type *int64 `json:"msgType"`
			Seq  *int64 `json:"seq"`
		}
		var keys map[string]json.RawMessage
		if json.Unmarshal(line, &keys) != nil || json.Unmarshal(line, &want) != nil || keys["msgType"] == nil || keys["seq"] == nil ||
			want.Type == nil || want.Seq == nil || *want.Type < 0 || *want.Seq < 0 || strings.Contains(string(line), `\u`) ||
			line[0] != '{' || line[len(line)-1] != '}' || strings.Count(strings.ToLower(string(line)), `"msgtype"`) > 1 ||
			strings.Count(strings.ToLower(string(line)), `"seq"`) > 1 {
			return
		}
		if err != nil || got.Type != protocol.Type(*want.Type) || got.Seq != *want.Seq {
			t.Errorf("%q: %+v %v, wanted type %d seq %d", line, got, err, *want.Type, *want.Seq)
		}
	})
}
