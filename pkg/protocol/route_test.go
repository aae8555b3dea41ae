package protocol

import (
	"fmt"
	"math"
	"testing"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

// TestMurmur2 uses the vectors of Kafka's own UtilsTest.
func TestMurmur2(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) is %d, want %d", key, got, want)
		}
	}
}

func TestPartitionIsKafkasChoice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOf(rapid.Byte()).Draw(t, "key")
		partitions := make([]int, rapid.IntRange(1, 64).Draw(t, "partitions"))
		for i := range partitions {
			partitions[i] = i
		}
		if key == nil {
			key = []byte{}
		}
		want := kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: key}, partitions...)
		if got := Partition(key, len(partitions)); got != want {
			t.Fatalf("Partition(%q, %d) is %d, want %d", key, len(partitions), got, want)
		}
	})
}

// TestFrameIDsNeverChange: they are stored with every message. A failure here
// is a fault of the code, never of this table.
func TestFrameIDsNeverChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		user       int64
		text, want string
	}{
		{6, `{"msgType":4,"TOID":8,"msg":"a","id":"a-1"}`, "0c0868f3d8e445dd2bcf30dce26c27c3"},
		{8, `{"msgType":4,"TOID":6,"msg":"a","id":"a-1"}`, "762fd9bbdfeba793effa85ad139139e8"},
		{6, `{"msgType":4,"TOID":6,"msg":"a","id":"a-1"}`, "e6206597f228bf0462aeccf9e6784e4c"},
		{6, `{"msgType":9,"GROUPID":8,"msg":"a","id":"a-1"}`, "7df385578877d36cc457cc763f35ca56"},
		{6, `{"msgType":6,"U1":6,"U2":8,"id":"a-1"}`, "785fd23365d11d0f191f695bbd3b0cae"},
		{6, `{"msgType":10,"GROUPID":8,"id":"a-1"}`, "f539d7534d6cab17568a93eb99fcb116"},
		{6, `{"msgType":12,"name":"cpp","id":"a-1"}`, "b84fee4d9d7f891b7070b78c92d62cac"},
		{MaxInt, `{"msgType":4,"TOID":8,"msg":"a","id":"号"}`, "b71a97735bd572d45efaa463b06d07d3"},
	} {
		if got := mustParse(t, tt.text).NewFrameID(tt.user).String(); got != tt.want {
			t.Errorf("frame id of %s by %d is %s, want %s", tt.text, tt.user, got, tt.want)
		}
	}
}

func TestFrameIDsTellFramesApart(t *testing.T) {
	t.Parallel()
	same := func(user int64, a, b string) bool {
		return mustParse(t, a).NewFrameID(user) == mustParse(t, b).NewFrameID(user)
	}
	const frame = `{"msgType":4,"TOID":8,"msg":"a","id":"x"}`
	for text, want := range map[string]bool{
		frame: true,
		`{"id":"\u0078","msg":"other","msgType":4,"TOID":8}`:    true, // the content's hash tells that
		`{"msgType":4,"TOID":9,"msg":"a","id":"x"}`:             false,
		`{"msgType":9,"GROUPID":8,"msg":"a","id":"x"}`:          false,
		`{"msgType":4,"TOID":8,"msg":"a","id":"X"}`:             false,
		`{"msgType":4,"TOID":8,"GROUPID":9,"msg":"a","id":"x"}`: true,
	} {
		if got := same(6, frame, text); got != want {
			t.Errorf("%s has the frame id of %s: %t, want %t", text, frame, got, want)
		}
	}
	if mustParse(t, frame).NewFrameID(6) == mustParse(t, frame).NewFrameID(8) {
		t.Error("two users' frames have the same frame id")
	}
	// Nothing to be told by: each is a frame of its own, of version 7.
	for _, tt := range []struct {
		user int64
		text string
	}{{6, `{"msgType":4,"TOID":8}`}, {0, frame}, {6, `{"msgType":4,"TOID":8,"id":7}`}} {
		a, b := mustParse(t, tt.text).NewFrameID(tt.user), mustParse(t, tt.text).NewFrameID(tt.user)
		if a == b || a[6]>>4 != 7 {
			t.Errorf("frame ids of %s by %d: %s and %s", tt.text, tt.user, a, b)
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		user             int64
		text, topic, key string
	}{
		{0, `{"msgType":1,"USERID":6,"password":"6"}`, "sponge.login", "c:edge:17"},
		{6, `{"msgType":1,"USERID":6,"password":"6"}`, "sponge.login", "u:6"},
		{0, `{"msgType":2}`, "sponge.login", "c:edge:17"},
		{6, `{"msgType":3}`, "sponge.login", "u:6"},
		{6, `{"msgType":4,"TOID":8}`, "sponge.storage", "u:6:8"},
		{8, `{"msgType":4,"FROMID":1,"TOID":6}`, "sponge.storage", "u:6:8"},
		{6, `{"msgType":4,"TOID":6}`, "sponge.storage", "u:6:6"},
		{6, `{"msgType":4,"TOID":"8"}`, "sponge.storage", "u:6"},
		{6, `{"msgType":4,"GROUPID":7}`, "sponge.storage", "u:6"},
		{0, `{"msgType":4,"TOID":8}`, "sponge.storage", "c:edge:17"},
		{6, `{"msgType":9,"GROUPID":7,"TOID":8}`, "sponge.storage", "g:7"},
		{0, `{"msgType":9,"GROUPID":7}`, "sponge.storage", "g:7"},
		{6, `{"msgType":9,"TOID":8}`, "sponge.storage", "u:6"},
		{6, `{"msgType":5,"TOID":8,"seq":1}`, "sponge.storage", "u:6"},
		{6, `{"msgType":14}`, "sponge.storage", "u:6"},
		{6, `{"msgType":16,"GROUPID":7}`, "sponge.storage", "u:6"},
		{6, `{"msgType":6,"U2":8}`, "sponge.friend", "u:6"},
		{6, `{"msgType":8}`, "sponge.friend", "u:6"},
		{6, `{"msgType":15}`, "sponge.friend", "u:6"},
		{6, `{"msgType":10,"GROUPID":7}`, "sponge.group", "g:7"},
		{6, `{"msgType":10}`, "sponge.group", "u:6"},
		{6, `{"msgType":12}`, "sponge.group", "u:6"},
	} {
		f := mustParse(t, tt.text)
		if got := f.Type.Topic().Name(); got != tt.topic {
			t.Errorf("topic of %s is %s, want %s", tt.text, got, tt.topic)
		}
		if got := string(f.AppendKey(nil, tt.user, "edge", 17)); got != tt.key {
			t.Errorf("key of %s by %d is %s, want %s", tt.text, tt.user, got, tt.key)
		}
	}
}

func TestTopicOf(t *testing.T) {
	t.Parallel()
	for topic := range NumTopics {
		if got, err := TopicOf(topic.Group()); err != nil || got != topic {
			t.Errorf("TopicOf(%q) is %d, %v; want %d", topic.Group(), got, err, topic)
		}
	}
	if _, err := TopicOf("logins"); err == nil {
		t.Error("TopicOf takes an unknown group")
	}
}

func TestConversation(t *testing.T) {
	t.Parallel()
	ids := rapid.Int64Range(1, math.MaxInt64)
	rapid.Check(t, func(t *rapid.T) {
		u, v, w := ids.Draw(t, "u"), ids.Draw(t, "v"), ids.Draw(t, "w")
		pair, group := Pair(u, v), GroupOf(w)
		switch {
		case pair != Pair(v, u), pair.A > pair.B, pair.IsGroup(), pair.Group() != 0:
			t.Fatalf("pair %v of %d and %d", pair, u, v)
		case pair.Other(u) != v, pair.Other(v) != u, !pair.Has(u), !pair.Has(v), pair.Has(w) != (w == u || w == v):
			t.Fatalf("pair %v does not know its two, %d and %d", pair, u, v)
		case !group.IsGroup(), group.Group() != w, group.Has(w), group.Has(0):
			t.Fatalf("group %v of %d", group, w)
		case group.Compare(pair) >= 0, pair.Compare(group) <= 0, pair.Compare(pair) != 0:
			t.Fatalf("%v and %v are out of order", group, pair)
		}
		x := Pair(u, w)
		if pair.Compare(x) != -x.Compare(pair) || (pair.Compare(x) == 0) != (pair == x) {
			t.Fatalf("%v and %v: %d, %d", pair, x, pair.Compare(x), x.Compare(pair))
		}
		if want := fmt.Sprintf("u:%d:%d g:%d", min(u, v), max(u, v), w); pair.String()+" "+group.String() != want {
			t.Fatalf("keys %s and %s, want %s", pair, group, want)
		}
	})
}
