package protocol_test

import (
	"strings"
	"testing"

	"sponge/pkg/protocol"
)

// originalFrames are the first eleven, spelled as the wire has always had them.
var originalFrames = []string{
	`{"msgType":1,"USERID":6,"password":"6"}`,
	`{"msgType":2,"name":"Eric Ling","password":"whatever"}`,
	`{"msgType":3,"USERID":7}`,
	`{"msgType":4,"FROMID":6,"TOID":8,"msg":"你好 8号","sendTime":1703078264002}`,
	`{"msgType":6,"U1":1,"U2":2}`,
	`{"msgType":8,"FROMID":6}`,
	`{"msgType":9,"FROMID":6,"GROUPID":8,"msg":"你好 8号","sendTime":1703078264002}`,
	`{"msgType":10,"FROMID":6,"GROUPID":7}`,
	`{"msgType":12,"FROMID":6,"name":"cpp","description":"cpp group."}`,
	`{"msgType":14,"FROMID":1}`,
	`{"msgType":15,"keyword":"1"}`,
}

func TestOriginalFrames(t *testing.T) {
	t.Parallel()
	all := messages(t)
	for _, text := range originalFrames {
		m, err := validate(all, []byte(text), false)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var f protocol.Frame
		if n, err := f.Parse([]byte(text)); err != nil || n != len(text) || f.Type != m.typ || f.Validate().Err() != nil {
			t.Errorf("%s: %d bytes, %v, type %s, %v", text, n, err, f.Type, f.Validate().Err())
		}
	}
}

// TestFramesOfTheServer holds what this package builds to the schemas.
func TestFramesOfTheServer(t *testing.T) {
	t.Parallel()
	all := messages(t)
	id := protocol.FrameID{15: 1}.String()
	frames := [][]byte{
		protocol.NewReply(nil, protocol.Ping, protocol.OK, []byte(`"a"`)).End(),
		protocol.NewReply(nil, protocol.Chat, protocol.OK, nil).Int("TOID", 8).Int("seq", 1).Text("msgId", id).Int("time", 1).End(),
		protocol.NewNotice(nil, "draining: this server is going away", true, 700),
	}
	for typ := protocol.Type(0); typ < protocol.Notice; typ++ {
		if typ.Known() {
			frames = append(frames,
				protocol.NewFailure(nil, typ, &protocol.Error{Code: protocol.Malformed, Field: "id", Message: "no"}, nil),
				protocol.NewFailure(nil, typ, protocol.Errorf(protocol.Internal, "internal error"), []byte(`"a"`)))
		}
	}
	var f protocol.Frame
	for _, text := range []string{
		`{"id":"x","msgType":4,"TOID":8,"msg":"你好 8号","code":7,"other":[1]}`, `{"msgType":9,"GROUPID":8,"msg":"a","sendTime":1.5}`,
	} {
		if _, err := f.Parse([]byte(text)); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, protocol.AppendPush(nil, f.AppendBody(nil, 6), 12, id, 1703078264002))
	}
	for _, frame := range frames {
		if _, err := validate(all, frame, true); err != nil {
			t.Errorf("%s: %v", frame, err)
		}
	}
}

func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	all := messages(t)
	for _, tt := range []struct {
		fromServer bool
		frame      string
	}{
		{false, `{"msgType":1,"USERID":6}`},
		{false, `{"msgType":1,"USERID":6,"password":"6","token":"x"}`},
		{false, `{"msgType":1,"USERID":0,"password":"6"}`},
		{false, `{"msgType":1,"USERID":9007199254740992,"password":"6"}`},
		{false, `{"msgType":2,"name":"` + strings.Repeat("号", protocol.MaxName+1) + `","password":"6"}`},
		{false, `{"msgType":2,"name":"a","password":"6","token":"x"}`},
		{false, `{"msgType":4,"TOID":8,"msg":""}`},
		{false, `{"msgType":4,"TOID":8,"msg":"a","password":"6"}`},
		{false, `{"msgType":4,"TOID":8,"msg":"a","id":""}`},
		{false, `{"msgType":4,"TOID":8,"msg":"a","sendTime":"now"}`},
		{false, `{"msgType":5,"TOID":8,"GROUPID":8,"seq":1}`},
		{false, `{"msgType":5,"TOID":8}`},
		{false, `{"msgType":15,"keyword":"a","limit":51}`},
		{false, `{"msgType":16}`},
		{false, `{"msgType":16,"TOID":8,"limit":101}`},
		{true, `{"msgType":104,"code":0}`},
		{true, `{"msgType":104,"code":404}`},
		{true, `{"msgType":104,"code":418,"error":"a"}`},
		{true, `{"msgType":105,"code":0}`},
		{true, `{"msgType":101,"code":0,"USERID":6,"name":"6","token":"x","unread":0,"error":"a"}`},
		{true, `{"msgType":114,"code":0,"messages":[]}`},
		{true, `{"msgType":114,"code":0,"messages":[{"msgType":4}],"more":false}`},
		{true, `{"msgType":98,"reason":"idle"}`},
		{true, `{"msgType":4,"FROMID":6,"TOID":8,"msg":"a","seq":1,"msgId":"1","time":1}`},
		{true, `{"msgType":4,"TOID":8,"msg":"a","seq":1,"msgId":"0102030405060708090a0b0c0d0e0f10","time":1}`},
	} {
		if m, err := validate(all, []byte(tt.frame), tt.fromServer); m.name == "" || err == nil {
			t.Errorf("%s passes its schema %q (%v)", tt.frame, m.name, err)
		}
	}
}
