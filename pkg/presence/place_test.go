package presence

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPlaceAsField(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := Place{Node: rapid.String().Draw(t, "node"), Conn: rapid.Uint64().Draw(t, "conn")}
		if got, ok := parseField(want.Field()); !ok || got != want {
			t.Fatalf("%+v became %+v, %t", want, got, ok)
		}
	})
	if got := (Place{"edge-1:0a1b2c3d", 42}).Field(); got != "edge-1:0a1b2c3d/42" {
		t.Errorf("field %q", got)
	}
}

func TestFieldsThatAreNoPlace(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"", "edge:1", "edge:1/", "edge:1/x", "edge:1/-1", "edge:1/1.0", "edge:1/18446744073709551616", "edge:1/ 1"} {
		if got, ok := parseField(field); ok {
			t.Errorf("parseField(%q) is %+v", field, got)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	if got := NodeKey("x.", "edge:1"); got != "x.sponge:node:edge:1" {
		t.Errorf("node key %q", got)
	}
	if got := UserKey("x.", 6); got != "x.sponge:user:6" {
		t.Errorf("user key %q", got)
	}
}
