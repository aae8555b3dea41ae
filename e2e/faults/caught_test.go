//go:build faults

package faults

import (
	"slices"
	"testing"
)

// chances are how many chapters a mutant is given to show itself.
const chances = 5

// exposedBy names the fault that shows what a mutant lacks.
func exposedBy() map[string]string {
	return map[string]string{
		"no-partition-row":       "the link to MySQL is cut when it has committed",
		"announce-before-commit": "a COMMIT takes 0.5 s",
		"start-at-committed":     "kill -9 of a storage worker at COMMIT, which MySQL does not get",
		"no-resync":              "kill -9 of Redis, empty restart",
		"no-idempotency":         "kill -9 of an edge between produce and its answer",
		"writer":                 "connections cut for 1 s on edge–Kafka",
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
			i := slices.IndexFunc(all, func(f *fault) bool { return f.name == exposedBy()[m.name] })
			if i < 0 {
				t.Fatalf("no fault %q", exposedBy()[m.name])
			}
			binary, err := buildOverlay(t.Context(), t.TempDir(), m.name, m.edits)
			if err != nil {
				t.Fatal(err)
			}
			s := newStage(t, m.name, clusterOptions{binary: binary}, seed)
			s.spoilt = true
			if r := s.play(none(), 1, seed); len(r.wrong) > 0 {
				t.Fatalf("without a fault: %v", r.wrong)
			}
			caught := &catch{mutant: m, fault: all[i].name}
			catches = append(catches, caught)
			for range chances {
				r := s.play(all[i], *rounds, seed)
				caught.chapters++
				if len(r.wrong) > 0 {
					caught.by = r.wrong[0]
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
