package names_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sponge/workers/names"
)

func TestGrams(t *testing.T) {
	if got, want := names.Grams("张三a"), []string{"张", "张三", "三", "三a", "a"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	if got, want := names.Needed("aab"), []string{"aa", "ab"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

// Whatever part of a name is looked for, the index has all that is needed, and
// no piece is longer than its column.
func TestEveryPartOfANameIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := names.Fold(rapid.StringN(1, 64, -1).Draw(t, "name"))
		grams := names.Grams(name)
		for _, g := range grams {
			if len(g) > 8 {
				t.Fatalf("piece %q takes %d bytes", g, len(g))
			}
		}
		runes := []rune(name)
		from := rapid.IntRange(0, len(runes)-1).Draw(t, "from")
		part := string(runes[from:rapid.IntRange(from+1, len(runes)).Draw(t, "to")])
		for _, g := range names.Needed(part) {
			if !slices.Contains(grams, g) {
				t.Fatalf("%q has %q, which needs %q", name, part, g)
			}
		}
		if !strings.Contains(name, part) {
			t.Fatal("the test is wrong")
		}
	})
}
