//go:build faults

package faults

import (
	"slices"
	"strings"
	"testing"
)

// chances are how many chapters a mutant is given to show itself.
const chances = 5

// exposedBy names the fault that shows what a mutant lacks, and how the check
// begins that fails for it.
func exposedBy() map[string][2]string {
	return map[string][2]string{
		"no-partition-row":       {"the link to MySQL is cut when it has committed", "JOURNAL: "},
		"announce-before-commit": {"a COMMIT takes 0.5 s", "TOO EARLY: "},
		"start-at-committed":     {"kill -9 of a storage worker at COMMIT, which MySQL does not get", "JOURNAL: "},
		"no-resync":              {"kill -9 of Redis, empty restart", "NOT PUSHED: "},
		"no-idempotency":         {"kill -9 of an edge between produce and its answer", "TWICE: "},
		"writer":                 {"connections cut for 1 s on edge–Kafka", "ORDER: "},
	}
}

// TestMutants shows that the harness can fail: it plays with builds that lack
// one safeguard each. Without a fault they do well; then the fault that the
// safeguard is for must show what is missing.
func TestMutants(t *testing.T) {
	seed := runSeed(t)
	all := append([]*fault(nil), allFaults()...)
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			by := exposedBy()[m.name]
			i := slices.IndexFunc(all, func(f *fault) bool { return f.name == by[0] })
			if i < 0 {
				t.Fatalf("no fault %q", by[0])
			}
			binary, err := buildOverlay(t.Context(), t.TempDir(), m.name, m.edits)
			if err != nil {
				t.Fatal(err)
			}
			s := newStage(t, m.name, clusterOptions{binary: binary}, seed)
			s.spoilt = true
			caught := &catch{mutant: m, fault: all[i].name}
			catches = append(catches, caught)
			for range chances {
				r := s.play(all[i], *rounds, seed)
				caught.chapters++
				if i := slices.IndexFunc(r.wrong, func(w string) bool { return strings.Contains(w, by[1]) }); i >= 0 {
					caught.by = r.wrong[i]
					t.Logf("caught: %v", r.wrong)
					break
				}
			}
			if err := writeTable(); err != nil {
				t.Fatal(err)
			}
			if caught.by == "" {
				t.Fatalf("not caught: %s", m.safeguard)
			}
		})
	}
}

// catch is how a mutant was caught.
type catch struct {
	mutant   mutant
	fault    string
	chapters int
	by       string // empty: it was not
}
