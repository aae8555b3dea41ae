package main

import (
	"strings"
	"testing"

	"sponge/pkg/bench"
)

func TestCasesCanBeChosen(t *testing.T) {
	t.Parallel()
	all := cases()
	for list, want := range map[string]string{"": names(all), "rate1000,chat": "chat,rate1000"} {
		if got, err := choose(all, list); err != nil || names(got) != want {
			t.Errorf("%q: %s, %v", list, names(got), err)
		}
	}
	for _, list := range []string{"chat,tea", "chat,chat", ","} {
		if got, err := choose(all, list); err == nil {
			t.Errorf("%q: %s", list, names(got))
		}
	}
}

// Rows and plots know a point by its case and value.
func TestCasesAreToldApart(t *testing.T) {
	t.Parallel()
	labels, points := map[string]bool{}, map[string]bool{}
	for _, c := range cases() {
		if len(c.points) == 0 && labels[c.name] || len(c.shows) == 0 || (len(c.points) > 0) != (c.option != "") {
			t.Errorf("%+v", c)
		}
		labels[c.name] = true
		for _, p := range c.points {
			label, point := c.label(p), c.args[0]+number(float64(p))
			if len(c.points) > 1 && labels[label] || points[point] {
				t.Errorf("%s is there twice", label)
			}
			labels[label], points[point] = true, true
		}
	}
}

func TestLadderEndsWhereItIsTooMuch(t *testing.T) {
	t.Parallel()
	good := record{Point: 5000, Bench: bench.Result{AckedPerSecond: 4990, EndToEndMs: bench.Quantiles{P99: 99}}}
	behind, late, failed := good, good, good
	behind.Bench.AckedPerSecond = 4800
	late.Bench.EndToEndMs.P99 = 101
	failed.Error = "it broke"
	if tooMuch(&good) || !tooMuch(&behind) || !tooMuch(&late) || !tooMuch(&failed) {
		t.Errorf("%v %v %v %v", tooMuch(&good), tooMuch(&behind), tooMuch(&late), tooMuch(&failed))
	}
}

func TestConnectionsAreSpreadBelowTheLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		connections int
		limit       uint64
		parts       int
	}{{10_000, 20_000, 1}, {50_000, 20_000, 3}, {50_000, 4096, 14}, {1, 20_000, 1}, {19_500, 20_000, 1}, {19_501, 20_000, 2}, {70_000, 1<<64 - 1, 1}} {
		parts, sum := spreadOver(c.connections, c.limit), 0
		for _, n := range parts {
			sum += n
			if uint64(n)+500 > c.limit || n < c.connections/c.parts {
				t.Errorf("%d below %d: %v", c.connections, c.limit, parts)
			}
		}
		if sum != c.connections || len(parts) != c.parts {
			t.Errorf("%d below %d: %v", c.connections, c.limit, parts)
		}
	}
}

func TestLoadsOfACase(t *testing.T) {
	t.Parallel()
	all := map[string]benchCase{}
	for _, c := range cases() {
		all[c.name] = c
	}
	for _, c := range []struct {
		name  string
		point int
		want  string
	}{
		{"chat", 0, "chat --pairs 50 --window 16 --duration 10s"},
		{"rate1000", 1000, "rate --duration 10s --rate 1000"},
		{"idle", 100, "idle --duration 10s --connections 100"},
	} {
		one := all[c.name]
		loads, err := loadsOf(&one, c.point, 10e9)
		if err != nil || len(loads) != 1 || strings.Join(loads[0].args, " ") != c.want {
			t.Errorf("%s: %+v, %v", c.name, loads, err)
		}
	}
}
