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
// begins that fails for it. Where clients repeat what was answered, and batches
// are rolled back, as they are without any fault, some show themselves before.
func exposedBy() map[string][]string {
	return map[string][]string{
		"no-partition-row":       {"the link to MySQL is cut when it has committed", "JOURNAL: "},
		"announce-before-commit": {"a COMMIT takes 0.5 s", "TOO EARLY: ", "RENUMBERED: "},
		"start-at-committed":     {"kill -9 of a storage worker at COMMIT, which MySQL does not get", "JOURNAL: "},
		"no-resync":              {"the edges' streams vanish with what is in them", "NOT PUSHED: "},
		"no-idempotency":         {"kill -9 of an edge between produce and its answer", "TWICE: "},
		"writer":                 {"connections cut for 1 s on edge–Kafka", "ORDER: "},
	}
}

// TestMutants shows that the harness can fail: it plays with builds that lack
// one safeguard each, first without a fault, then with the one that the safeguard
// is for. What is missing must show.
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
			s := raise(t, m.name, clusterOptions{binary: binary}, seed)
			s.spoilt = true
			caught := &catch{mutant: m, fault: all[i].name}
			catches = append(catches, caught)
			for n := range 1 + chances {
				f, times := all[i], *rounds
				if n == 0 {
					f, times = none(), 1
				}
				r := s.play(f, times, seed)
				caught.chapters++
				if i := slices.IndexFunc(r.wrong, func(w string) bool {
					return slices.ContainsFunc(by[1:], func(sign string) bool { return strings.Contains(w, sign) })
				}); i >= 0 {
					caught.fault, caught.by = r.fault.name, r.wrong[i]
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
