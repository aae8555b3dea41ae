package e2e

import (
	"strings"
	"testing"
)

// TestMalformed sends what is no frame, and then a frame on the same connection.
func TestMalformed(t *testing.T) {
	deep := strings.Repeat("[", 25000) + strings.Repeat("]", 25000)
	const pong = `{"msgType":0}`
	both(t, func(t *testing.T, c *cluster) {
		a := dial(t, c.edge(2))
		user := users(t, c, 1)[0]
		for _, tt := range []struct {
			name, text string
			faults     int // answers before the pong
		}{
			{"words", "hello there\n" + pong, 1},
			{"words before a frame in the same line", "hello {\"msgType\":0}\n" + pong, 1},
			{"unclosed object", "{\"msgType\":0\n" + pong, 1},
			{"unclosed string", "{\"msgType\":0,\"a\":\"b\n" + pong, 1},
			{"stray bracket", "}\n" + pong, 1},
			{"stray comma", ",\n" + pong, 1},
			{"bad literal", "{\"msgType\":tru}\n" + pong, 1},
			{"bad number", "{\"msgType\":01}\n" + pong, 1},
			{"bad escape", "{\"msgType\":0,\"a\":\"\\x\"}\n" + pong, 1},
			{"bad unicode escape", "{\"msgType\":0,\"a\":\"\\u12G4\"}\n" + pong, 1},
			{"control character in a string", "{\"msgType\":0,\"a\":\"\x01\"}\n" + pong, 1},
			{"trailing comma", "{\"msgType\":0,}\n" + pong, 1},
			{"single quotes", "{'msgType':0}\n" + pong, 1},
			{"key that is no string", "{0:0}\n" + pong, 1},
			{"raw newline within an object", "{\"msgType\":0,\n" + pong, 1},
			{"NUL", "\x00\n" + pong, 1},
			{"NUL within an object", "{\"msgType\":0,\x00}\n" + pong, 1},
			{"NUL within a string", "{\"msgType\":0,\"a\":\"\x00\"}\n" + pong, 1},
			{"invalid UTF-8", "\xff\xfe\n" + pong, 1},
			{"invalid UTF-8 in a string", "{\"msgType\":0,\"a\":\"\xc3\x28\"}\n" + pong, 1},
			{"overlong UTF-8", "{\"msgType\":0,\"a\":\"\xc0\xaf\"}\n" + pong, 1},
			{"surrogate in UTF-8", "{\"msgType\":0,\"a\":\"\xed\xa0\x80\"}\n" + pong, 1},
			{"cut UTF-8", "{\"msgType\":0,\"a\":\"\xe4\xbd\"}\n" + pong, 1},

			{"list", "[1]" + pong, 1},
			{"list of frames", `[{"msgType":0},{"msgType":0}]` + pong, 1},
			{"string", `"x"` + pong, 1},
			{"string with braces", `"{\"msgType\":0}"` + pong, 1},
			{"number", "42 " + pong, 1},
			{"number with an exponent", "-1.5e+3\n" + pong, 1},
			{"null", "null" + pong, 1},
			{"true", "true" + pong, 1},
			{"false", "false\n" + pong, 1},
			{"three values in a line", `1 "2" [3]` + pong, 3},

			{"no msgType", `{}` + pong, 1},
			{"msgtype", `{"msgtype":0}` + pong, 1},
			{"msgType in an inner object", `{"a":{"msgType":0}}` + pong, 1},
			{"msgType a string", `{"msgType":"0"}` + pong, 1},
			{"msgType null", `{"msgType":null}` + pong, 1},
			{"msgType an object", `{"msgType":{}}` + pong, 1},
			{"msgType a fraction", `{"msgType":0.5}` + pong, 1},
			{"msgType huge", `{"msgType":99999999999999999999999999}` + pong, 1},
			{"msgType negative", `{"msgType":-4}` + pong, 1},
			{"nested too deep", `{"msgType":0,"a":` + deep + "}\n" + pong, 1},
		} {
			for _, conn := range []*client{a, user} {
				conn.seen = append(conn.seen, "-- "+tt.name)
				conn.write(tt.text)
				for range tt.faults {
					conn.wantNotAFrame()
				}
				conn.must(conn.next(), `{"msgType":100,"code":0}`)
				conn.write("\n")
			}
		}
	})
}

// TestUnknownTypes are those of replies and pushes, and those reserved until built.
func TestUnknownTypes(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		for _, a := range []*client{dial(t, c.edge(0)), users(t, c, 1)[0]} {
			for _, n := range []int{
				7, 11, 13, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
				34, 97, 98, 99, 100, 101, 104, 116, 198, 255, 256, 260, 65540,
			} {
				a.send(`{"msgType":%d,"FROMID":1,"TOID":1,"GROUPID":1,"msg":"x"}`, n)
				a.wantNotAFrame()
			}
			a.ping()
		}
	})
}
