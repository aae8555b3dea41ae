package protocol

import (
	"slices"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, text := range fuzzSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame Frame
		check(t, &frame, b)
		if frame.Bytes == nil {
			return
		}
		// Whatever was read can be asked for anything.
		v := frame.Validate()
		for field := range numFields {
			v.ID(field)
			v.Int(field, 0, -1, 1)
			v.Bool(field)
			v.Chars(field, 1, MaxName)
			v.NotEmpty(field)
			v.Number(field)
		}
		if echo := frame.Echo(); echo != nil && len(frame.ClientID()) > MaxID {
			t.Fatalf("the id %s is repeated, which is too long", echo)
		}
		frame.AppendKey(nil, 6, "edge:1", 1)
		frame.NewFrameID(6)
	})
}

func FuzzSplitter(f *testing.F) {
	for i, text := range fuzzSeeds {
		f.Add([]byte(text), uint8(i), uint8(3*i))
	}
	f.Fuzz(func(t *testing.T, b []byte, x, y uint8) {
		var bytewise []int
		for i := range min(len(b), 64) {
			bytewise = append(bytewise, i)
		}
		checkSplitter(t, b, bytewise)
		cuts := []int{int(x) % (len(b) + 1), int(y) % (len(b) + 1)}
		slices.Sort(cuts)
		checkSplitter(t, b, cuts)
	})
}

// fuzzSeeds stand beside testdata/fuzz, which holds what fuzzing has found.
var fuzzSeeds = []string{
	chatFrame,
	`{"msgType":1,"USERID":6,"password":"6"}` + "\n",
	`{"msgType":9,"GROUPID":8,"msg":"x","id":"\u0061","seq":1,"a":{"token":[1,{"b":null}]}}{"msgType":0}`,
	`{"msgType":4,"to` + "\u212A" + `en":-1.5e+3,"a":[[],{}],"b":"\ud83d\ude00"}`,
	`[1,"x",true]`, `"a\"b" `, `-1.5e+3 `, "{\"a\":\n1}", "{\"a\":\"\xff\"}", `{"a":01}`, `}`,
}
