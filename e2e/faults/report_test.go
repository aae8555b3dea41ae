//go:build faults

package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// markdown is the table of a run.
func markdown(results []*result) string {
	var b strings.Builder
	b.WriteString("| fault | rounds | in flight | acknowledged | lost | renumbered | twice on a connection | again after reconnecting | acknowledged again (median, worst) | bar | presence right |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	var total verdict
	n := 0
	order := map[string]int{}
	for i, f := range allFaults() {
		order[f.name] = i + 1 - len(allFaults())
	}
	results = slices.Clone(results)
	slices.SortStableFunc(results, func(a, b *result) int { return order[a.fault.name] - order[b.fault.name] })
	for _, r := range results {
		bar, presence := "–", "–"
		if r.fault.bar > 0 {
			bar = seconds(r.fault.bar)
			if len(r.again) > 0 && slices.Max(r.again) > r.fault.bar {
				bar += " **over**"
			}
		}
		if r.presence > 0 {
			presence = seconds(r.presence)
		}
		again := "–"
		if len(r.again) > 0 && r.fault.doubles {
			sorted := slices.Sorted(slices.Values(r.again))
			again = seconds(sorted[len(sorted)/2]) + ", " + seconds(sorted[len(sorted)-1])
		}
		name := r.fault.name
		if len(r.wrong) > 0 {
			name += " **FAILED**"
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %s | %s | %s |\n", name, len(r.again), r.flying, r.acknowledged, r.lost, r.renumbered, r.doubles, r.repeats, again, bar, presence)
		total.acknowledged += r.acknowledged
		total.lost += r.lost
		total.renumbered += r.renumbered
		total.doubles += r.doubles
		total.repeats += r.repeats
		n += len(r.again)
	}
	fmt.Fprintf(&b, "| **all** | %d | | %d | %d | %d | %d | %d | | | |\n", n, total.acknowledged, total.lost, total.renumbered, total.doubles, total.repeats)
	return b.String()
}

// caughtTable tells what showed that a safeguard was missing.
func caughtTable(catches []*catch) string {
	if len(catches) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n| build without a safeguard | fault | shown by |\n|---|---|---|\n")
	for _, c := range catches {
		by := c.by
		if by == "" {
			by = "**NOT CAUGHT**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.mutant.name, c.fault, strings.ReplaceAll(strings.SplitN(by, "\n", 2)[0], "|", "/"))
	}
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
