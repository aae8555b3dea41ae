package view

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"sponge/pkg/protocol"
)

// talk is a log in which 6, 8 and 9 say something to each other and to group 7.
func talk(t testing.TB) *fakeLog {
	l := newFakeLog()
	for i, f := range []struct {
		user  int64
		frame string
	}{
		{0, `{"msgType":1,"USERID":6,"password":"sealed:1:x"}`},
		{6, `{"msgType":4,"TOID":8,"msg":"a"}`},
		{8, `{"msgType":4,"TOID":6,"msg":"b"}`},
		{9, `{"msgType":4,"TOID":8,"msg":"c"}`},
		{6, `{"msgType":10,"GROUPID":7}`},
		{6, `{"msgType":9,"GROUPID":7,"msg":"d"}`},
		{8, `{"msgType":9,"GROUPID":17,"msg":"e"}`},
		{8, `{"msgType":5,"TOID":6,"seq":1}`},
		{6, `{"msgType":16,"GROUPID":7}`},
		{0, `{"msgType":4,"FROMID":6,"TOID":8,"msg":"f"}`},
		{6, `{"msgType":6,"U1":6,"U2":8}`},
	} {
		l.frame(t, f.user, day.Add(time.Duration(i)*time.Second), f.frame)
	}
	return l
}

func TestFilter(t *testing.T) {
	t.Parallel()
	conn := func(text string) Conn {
		c, err := ParseConn(text)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	peer := func(text string) Peer {
		p, err := ParsePeer(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"all", Filter{}, "t1 a b c t10 d e t5 t16 f t6"},
		{"user, and who logs in as", Filter{User: 6}, "t1 a t10 d t16 t6"},
		{"pair", Filter{User: 6, With: 8}, "a b"},
		{"pair from the other side", Filter{User: 8, With: 6}, "a b"},
		{"pair, confirmations", Filter{User: 6, With: 8, Types: []protocol.Type{4, 5}}, "a b t5"},
		{"with alone", Filter{With: 8}, "a b c"},
		{"group", Filter{Group: 7}, "t10 d"},
		{"group, what was fetched", Filter{Group: 7, Types: []protocol.Type{16}}, "t16"},
		{"group and user", Filter{Group: 17, User: 8}, "e"},
		{"types", Filter{Types: []protocol.Type{1, 10}}, "t1 t10"},
		{"number", Filter{Conn: conn("18")}, "b e t5"},
		{"node and number", Filter{Conn: conn("edge1/18")}, "b e t5"},
		{"node with nonce", Filter{Conn: conn("edge1:abc/10")}, "t1 f"},
		{"other node", Filter{Conn: conn("edge2/")}, ""},
		{"prefix", Filter{Peer: peer("192.0.2.0/24"), Types: []protocol.Type{6}}, "t6"},
		{"other port", Filter{Peer: peer("192.0.2.7:5001")}, ""},
		{"grep", Filter{Grep: regexp.MustCompile(`"msg":"[ab]"`)}, "a b"},
	} {
		lines, err := read(t, talk(t), Options{Filter: c.filter})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := frameTexts(lines); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestFilterFaults(t *testing.T) {
	t.Parallel()
	for _, f := range []Filter{
		{Group: 7, With: 8},
		{Types: []protocol.Type{0}},
		{Types: []protocol.Type{77}},
		{Group: 7, Types: []protocol.Type{4}},
	} {
		if _, err := read(t, talk(t), Options{Filter: f}); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
	for _, text := range []string{"", "x", "/5", "edge1/x", "-1"} {
		if c, err := ParseConn(text); err == nil {
			t.Errorf("connection %q is %+v", text, c)
		}
	}
	for _, text := range []string{"", "x", "192.0.2", "192.0.2.0/33", "192.0.2.1:0"} {
		if p, err := ParsePeer(text); err == nil {
			t.Errorf("peer %q is %+v", text, p)
		}
	}
}

func TestPeerForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wanted, is string
		want       bool
	}{
		{"192.0.2.7", "192.0.2.7:99", true},
		{"192.0.2.7", "[::ffff:192.0.2.7]:99", true},
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7:99", "192.0.2.7:99", true},
		{"2001:db8::/32", "[2001:db8::1]:99", true},
		{"2001:db8::/32", "192.0.2.7:99", false},
		{"192.0.2.7", "nonsense", false},
	} {
		p, err := ParsePeer(c.wanted)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.match(c.is); got != c.want {
			t.Errorf("%s matches %s: %v", c.wanted, c.is, got)
		}
	}
}

// What is left unread because of its key holds nothing that the filter takes.
func TestPartitionsExact(t *testing.T) {
	t.Parallel()
	l := newFakeLog()
	rnd := rand.New(rand.NewPCG(1, 2))
	types := []string{`{"msgType":1,"USERID":%d,"password":"x"}`, `{"msgType":2,"name":"n%d","password":"x"}`, `{"msgType":3,"USERID":%d}`,
		`{"msgType":4,"TOID":%d,"msg":"x"}`, `{"msgType":5,"TOID":%d,"seq":1}`, `{"msgType":5,"GROUPID":%d,"seq":1}`, `{"msgType":6,"U2":%d}`,
		`{"msgType":8,"FROMID":%d}`, `{"msgType":9,"GROUPID":%d,"msg":"x"}`, `{"msgType":10,"GROUPID":%d}`, `{"msgType":12,"FROMID":%d,"name":"x"}`,
		`{"msgType":14,"FROMID":%d}`, `{"msgType":15,"keyword":"%d"}`, `{"msgType":16,"TOID":%d}`, `{"msgType":16,"GROUPID":%d}`,
		`{"msgType":4,"TOID":"%d"}`, `{"msgType":9,"GROUPID":"%d"}`, `{"msgType":10,"GROUPID":-%d}`}
	for i := range 800 {
		l.frame(t, rnd.Int64N(5), day.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf(types[rnd.IntN(len(types))], 1+rnd.IntN(4)))
	}
	for range 100 {
		f := Filter{User: rnd.Int64N(5)}
		switch rnd.IntN(3) {
		case 0:
			f.With = rnd.Int64N(5)
		case 1:
			f.Group = rnd.Int64N(5)
		}
		for range rnd.IntN(3) {
			f.Types = append(f.Types, allTypes[rnd.IntN(len(allTypes))])
		}
		if f.Validate() != nil {
			continue
		}
		some, err := read(t, l, Options{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		all, err := read(t, l, Options{Filter: f, Window: Window{Everywhere: true, Partition: -1,
			Topics: []string{"sponge.login", "sponge.friend", "sponge.group", "sponge.storage"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := frameTexts(some), frameTexts(all); got != want {
			t.Fatalf("%+v: %d of %d records are found", f, len(some), len(all))
		}
	}
}

func TestPairReadsOnePartition(t *testing.T) {
	t.Parallel()
	l := talk(t)
	if _, err := read(t, l, Options{Filter: Filter{User: 6, With: 8}}); err != nil {
		t.Fatal(err)
	}
	if len(l.read) != 1 {
		t.Fatalf("read: %v", l.read)
	}
}
