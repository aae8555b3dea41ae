package load

import (
	"testing"

	"pgregory.net/rapid"
)

// Counted through, the items of all targets are as many as each of them has.
func TestSpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := spread{rapid.Int64Range(0, 300).Draw(t, "items"), rapid.Int64Range(1, 50).Draw(t, "targets")}
		item, least, most := int64(0), s.items, int64(0)
		for target := range s.targets {
			n := s.count(target)
			least, most = min(least, n), max(most, n)
			for k := range n {
				if got, at := s.locate(item); got != target || at != k+1 {
					t.Fatalf("item %d is %d of target %d, not %d of %d", item, at, got, k+1, target)
				}
				item++
			}
		}
		if item != s.items || most-least > 1 {
			t.Fatalf("%d items, from %d to %d a target", item, least, most)
		}
	})
}

func TestNamesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	const n = 100_000
	for i := range int64(n) {
		seen[name(i)] = true
	}
	if len(seen) < n*99/100 || len(name(0)) != 9 {
		t.Errorf("%d names among %d accounts, such as %q", len(seen), n, name(0))
	}
}
