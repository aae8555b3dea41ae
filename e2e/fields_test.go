package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Values that a field of the kind must refuse.
var (
	notAnID = []string{
		`"6"`, `6.0`, `6.5`, `-6`, `0`, `-0`, `6e0`, `1E2`, `null`, `true`, `[6]`, `{}`, `9007199254740992`,
		`18446744073709551622`, `99999999999999999999999999999999`, `1e400`, `""`,
	}
	notText     = []string{`5`, `null`, `false`, `["x"]`, `{"x":1}`, `1.5`, `""`}
	notAString  = []string{`5`, `null`, `false`, `["x"]`, `{"x":1}`, `1.5`}
	notAName    = append(slices.Clone(notText), chars(65))
	notAMessage = notText
	notASecret  = append(slices.Clone(notText), js(strings.Repeat("x", 129)), chars(43)) // 43×3 bytes
	notAFrameID = append(slices.Clone(notText), js(strings.Repeat("x", 65)), chars(22))  // 22×3 bytes
	notASeq     = []string{`"1"`, `1.0`, `-1`, `1e1`, `null`, `true`, `[]`, `{}`, `99999999999999999999999999999999`}
	notALimit   = []string{`0`, `-1`, `"5"`, `1.5`, `1e1`, `true`, `[]`, `{}`, `99999999999999999999999999999999`}
	notABool    = []string{`1`, `"true"`, `{}`, `[]`}
	notATime    = []string{`"x"`, `true`, `[]`, `{}`}
)

func chars(n int) string { return js(strings.Repeat("字", n)) }

// complete holds a frame of each type that is right but for what is put at the @.
// In it, $ is the user's own id, # another user's, & a group's that the user
// belongs to.
var complete = map[int]string{
	0:  `"msgType":0,@`,
	1:  `"msgType":1,"USERID":$,"password":"x",@`,
	2:  `"msgType":2,"name":"x","password":"x",@`,
	3:  `"msgType":3,"USERID":$,@`,
	4:  `"msgType":4,"FROMID":$,"TOID":#,"msg":"x","sendTime":1,@`,
	5:  `"msgType":5,"TOID":#,"seq":1,@`,
	6:  `"msgType":6,"U1":$,"U2":#,@`,
	8:  `"msgType":8,"FROMID":$,@`,
	9:  `"msgType":9,"FROMID":$,"GROUPID":&,"msg":"x","sendTime":1,@`,
	10: `"msgType":10,"FROMID":$,"GROUPID":&,@`,
	12: `"msgType":12,"FROMID":$,"name":"x","description":"",@`,
	14: `"msgType":14,"FROMID":$,@`,
	15: `"msgType":15,"keyword":"x","limit":1,@`,
	16: `"msgType":16,"TOID":#,"after":0,"limit":1,@`,
}

// bodies fills complete's frames in for one user.
type bodies struct{ places *strings.Replacer }

func newBodies(own, other, group int64) bodies {
	return bodies{strings.NewReplacer("$", fmt.Sprint(own), "#", fmt.Sprint(other), "&", fmt.Sprint(group))}
}

// fill puts text at the @ of a frame's body and makes an object of it.
func (b bodies) fill(body, text string) string {
	body = b.places.Replace(strings.Replace(body, "@", text, 1))
	return "{" + strings.TrimSuffix(strings.ReplaceAll(body, ",,", ","), ",") + "}\n"
}

// TestFields gives each field of each type what it must refuse, and leaves out
// those that must be there.
func TestFields(t *testing.T) {
	type field struct {
		msgType  int
		body     string
		name     string
		bad      []string
		required bool
	}
	tests := []field{
		{1, `"msgType":1,@,"password":"x"`, "USERID", notAnID, true},
		{1, `"msgType":1,"USERID":$,@`, "password", notASecret, false},
		{1, `"msgType":1,"USERID":$,@`, "token", notText, false},
		{1, `"msgType":1,"USERID":$,"password":"x",@`, "confirm", notABool, false},
		{2, `"msgType":2,@,"password":"x"`, "name", notAName, true},
		{2, `"msgType":2,"name":"x",@`, "password", notASecret, true},
		{3, `"msgType":3,@`, "USERID", notAnID, false},
		{4, `"msgType":4,@,"TOID":#,"msg":"x"`, "FROMID", notAnID, false},
		{4, `"msgType":4,"FROMID":$,@,"msg":"x"`, "TOID", notAnID, true},
		{4, `"msgType":4,"TOID":#,@`, "msg", notAMessage, true},
		{4, `"msgType":4,"TOID":#,"msg":"x",@`, "sendTime", notATime, false},
		{5, `"msgType":5,"TOID":#,@`, "seq", notASeq, true},
		{5, `"msgType":5,@,"seq":1`, "TOID", notAnID, false},
		{5, `"msgType":5,@,"seq":1`, "GROUPID", notAnID, false},
		{6, `"msgType":6,@,"U2":#`, "U1", notAnID, false},
		{6, `"msgType":6,"U1":$,@`, "U2", append(slices.Clone(notAnID), `$`), true}, // $: oneself
		{8, `"msgType":8,@`, "FROMID", notAnID, false},
		{9, `"msgType":9,@,"GROUPID":&,"msg":"x"`, "FROMID", notAnID, false},
		{9, `"msgType":9,"FROMID":$,@,"msg":"x"`, "GROUPID", notAnID, true},
		{9, `"msgType":9,"GROUPID":&,@`, "msg", notAMessage, true},
		{9, `"msgType":9,"GROUPID":&,"msg":"x",@`, "sendTime", notATime, false},
		{10, `"msgType":10,@,"GROUPID":&`, "FROMID", notAnID, false},
		{10, `"msgType":10,"FROMID":$,@`, "GROUPID", notAnID, true},
		{12, `"msgType":12,@,"name":"x","description":""`, "FROMID", notAnID, false},
		{12, `"msgType":12,@,"description":""`, "name", notAName, true},
		{12, `"msgType":12,"name":"x",@`, "description", append(slices.Clone(notAString), chars(1025)), false},
		{14, `"msgType":14,@`, "FROMID", notAnID, false},
		{15, `"msgType":15,@`, "keyword", notText, true},
		{15, `"msgType":15,"keyword":"x",@`, "limit", append(slices.Clone(notALimit), `51`), false},
		{16, `"msgType":16,@,"after":0`, "TOID", notAnID, false},
		{16, `"msgType":16,@,"after":0`, "GROUPID", notAnID, false},
		{16, `"msgType":16,"TOID":#,@`, "after", notASeq, false},
		{16, `"msgType":16,"TOID":#,@`, "before", notASeq, false},
		{16, `"msgType":16,"TOID":#,"after":0,@`, "limit", append(slices.Clone(notALimit), `101`), false},
	}
	for _, n := range slices.Sorted(maps.Keys(complete)) {
		tests = append(tests, field{n, complete[n], "id", notAFrameID, false})
		if n != 1 && n != 2 { // a secret where none belongs
			tests = append(tests, field{n, complete[n], "password", []string{`"x"`, `5`}, false})
		}
		if n != 1 {
			tests = append(tests, field{n, complete[n], "token", []string{`"x"`, `5`}, false})
		}
	}
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		group := createGroup(a)
		frames := newBodies(a.id, b.id, group)
		for _, tt := range tests {
			for _, value := range tt.bad {
				a.write(frames.fill(tt.body, js(tt.name)+":"+value))
				a.wantFault(tt.msgType, 400, tt.name)
			}
			if tt.required {
				a.write(frames.fill(tt.body, ""))
				a.wantFault(tt.msgType, 400, tt.name)
			}
		}
		t.Log("nothing of it had an effect")
		const nothing = `{"msgType":116,"code":0,"messages":[],"more":false,"lastSeq":0}`
		a.match(a.call(`{"msgType":16,"TOID":%d}`, b.id), nothing)
		a.match(a.call(`{"msgType":16,"GROUPID":%d}`, group), nothing)
		a.match(a.call(`{"msgType":8}`), `{"msgType":108,"code":0,"friends":[]}`)
	})
}

// TestTwice gives each known key of each type twice, also escaped in another way.
func TestTwice(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a := pair[0]
		frames := newBodies(a.id, pair[1].id, createGroup(a))
		for _, n := range slices.Sorted(maps.Keys(complete)) {
			body := frames.fill(complete[n], `"id":"twice"`)
			f, err := decode([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range slices.Sorted(maps.Keys(f)) {
				value := js(f[key])
				escaped := fmt.Sprintf(`"\u%04x%s"`, key[0], key[1:])
				for _, again := range []string{js(key), escaped} {
					a.write(strings.Replace(body, "}", ","+again+":"+value+"}", 1))
					f := a.reply()
					if key == "msgType" && f.int("msgType") == 100 {
						a.must(f, `{"msgType":100,"code":400,"error":"$text","field?":"msgType","id?":"twice"}`)
						continue
					}
					a.must(f, `{"msgType":%d,"code":400,"error":"$text","field":%s,"id?":"twice"}`, 100+n, js(key))
				}
			}
		}
	})
}

// TestLimits sends the longest and the shortest that fields may be.
func TestLimits(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		for _, tt := range []struct{ name, password string }{
			{"x", "x"},
			{strings.Repeat("字", 64), strings.Repeat("字", 42) + "xx"}, // 128 bytes
			{strings.Repeat("😀", 64), strings.Repeat("x", 128)},
			{` "\'%_;--`, "\u0000\n\" "},
		} {
			a := dial(t, c.edge(0))
			a.account = account{name: tt.name, password: tt.password}
			f := a.call(`{"msgType":2,"name":%s,"password":%s}`, js(tt.name), js(tt.password))
			a.id = a.must(f, `{"msgType":102,"code":0,"USERID":"$id","name":%s}`, js(tt.name)).int("USERID")
			a.sendLogin(a.account, "")
			a.wantLogin(a.account, `0`)

			description := strings.Repeat("字", 1024)
			a.must(a.call(`{"msgType":12,"name":%s,"description":%s}`, js(tt.name), js(description)),
				`{"msgType":112,"code":0,"GROUPID":"$id","name":%s,"description":%s}`, js(tt.name), js(description))
			a.must(a.call(`{"msgType":12,"name":"x","description":""}`),
				`{"msgType":112,"code":0,"GROUPID":"$id","name":"x","description":""}`)
			for _, id := range []string{"x", strings.Repeat("字", 21) + "x"} { // 1 and 64 bytes
				a.must(a.call(`{"msgType":4,"TOID":%d,"msg":"x","id":%s}`, a.id, js(id)),
					`{"msgType":104,"code":0,"id":%s,"TOID":%d,"seq":"$id","msgId":"$text","time":"$time"}`, js(id), a.id)
			}
		}
	})
}

// TestAddressees are two where one is needed, or none.
func TestAddressees(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		a := users(t, c, 1)[0]
		group := createGroup(a)
		for _, which := range []string{"", fmt.Sprintf(`"TOID":%d,"GROUPID":%d,`, a.id, group)} {
			a.must(a.call(`{"msgType":5,%s"seq":1}`, which), `{"msgType":105,"code":400,"error":"$text","field":"$text"}`)
			a.must(a.call(`{"msgType":16,%s"after":0}`, which), `{"msgType":116,"code":400,"error":"$text","field":"$text"}`)
		}
		t.Log("a login with both secrets, or none")
		a.must(a.call(`{"msgType":1,"USERID":%d}`, a.id), `{"msgType":101,"code":400,"error":"$text","field":"$text"}`)
		a.must(a.call(`{"msgType":1,"USERID":%d,"password":"x","token":"x"}`, a.id),
			`{"msgType":101,"code":400,"error":"$text","field":"$text"}`)
	})
}
