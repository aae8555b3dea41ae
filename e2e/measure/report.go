package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// place is a row's: a point of a case.
type place struct {
	name  string
	point int
}

// report writes Markdown: the figures, with ratios where there are two builds;
// the processes' shares; and what was refused.
func report(w io.Writer, records []record) error {
	builds, _ := groupBy(records, func(r *record) string { return r.Build })
	known := map[string]benchCase{}
	for _, c := range cases() {
		known[c.name] = c
	}
	places, at := groupBy(records, func(r *record) place { return place{r.Case, r.Point} })
	slices.SortStableFunc(places, func(a, b place) int {
		if a.name != b.name {
			return 0 // as measured
		}
		return a.point - b.point
	})
	var out strings.Builder
	figures(&out, builds, places, at, known)
	shares(&out, builds, places, at, known)
	refusals(&out, records)
	_, err := io.WriteString(w, out.String())
	return err
}

func row(out *strings.Builder, cells ...string) {
	out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func header(out *strings.Builder, texts int, cells ...string) {
	row(out, cells...)
	for i := range cells {
		if i < texts {
			out.WriteString("|---")
		} else {
			out.WriteString("|--:")
		}
	}
	out.WriteString("|\n")
}

func figures(out *strings.Builder, builds []string, places []place, at map[place][]record, known map[string]benchCase) {
	head := []string{"case", "figure"}
	for _, b := range builds {
		if len(builds) > 1 {
			b += ": "
		} else {
			b = ""
		}
		head = append(head, b+"min", "median", "max")
	}
	if len(builds) == 2 {
		head = append(head, "ratio of medians, "+builds[0]+" ÷ "+builds[1])
	}
	header(out, 2, head...)
	for _, p := range places {
		c := known[p.name]
		label := c.label(p.point)
		for _, f := range c.shows {
			cells := []string{label, f.String()}
			label = ""
			var medians []float64
			for _, b := range builds {
				s := spreadIn(of(at[p], b), func(r *record) float64 { return f.of(&r.Bench) })
				cells = append(cells, number(s.min), number(s.median), number(s.max))
				medians = append(medians, s.median)
			}
			if len(builds) == 2 {
				cells = append(cells, ratio(medians[0], medians[1]))
			}
			row(out, cells...)
		}
	}
}

// of are a build's records that count.
func of(records []record, build string) (own []record) {
	for _, r := range records {
		if r.Build == build && r.Error == "" {
			own = append(own, r)
		}
	}
	return own
}

// shares are medians, in cores.
func shares(out *strings.Builder, builds []string, places []place, at map[place][]record, known map[string]benchCase) {
	fmt.Fprintf(out, "\nCores that each process kept busy, medians; \"others\" is the rest of the machine, which should be idle:\n\n")
	header(out, 2, append(append([]string{"case", "build"}, watched()...), "all", others)...)
	for _, p := range places {
		c := known[p.name]
		for _, b := range builds {
			cells := []string{c.label(p.point), b}
			for _, name := range watched() {
				cells = append(cells, number(spreadIn(of(at[p], b), func(r *record) float64 { return r.Cores[name] }).median))
			}
			all := spreadIn(of(at[p], b), func(r *record) (sum float64) {
				for _, name := range watched() {
					sum += r.Cores[name]
				}
				return sum
			})
			rest := spreadIn(of(at[p], b), func(r *record) float64 { return r.Cores[others] })
			row(out, append(cells, number(all.median), number(rest.median))...)
		}
	}
}

// refusals lists the codes that `sponge bench` counted.
func refusals(out *strings.Builder, records []record) {
	first := true
	for _, r := range records {
		if len(r.Bench.Errors) == 0 {
			continue
		}
		if first {
			out.WriteString("\nRefused or unanswered, warm-up included:\n\n")
			first = false
		}
		fmt.Fprintf(out, "- %s %d of %s, run %d:", r.Case, r.Point, r.Build, r.Run)
		for _, code := range slices.Sorted(maps.Keys(r.Bench.Errors)) {
			fmt.Fprintf(out, " %s %d times", code, r.Bench.Errors[code])
		}
		out.WriteString("\n")
	}
}
