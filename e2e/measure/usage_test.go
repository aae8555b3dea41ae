package main

import (
	"maps"
	"os"
	"strings"
	"testing"
	"time"
)

const statOf = ` S 1 42 42 0 -1 4194560 9381 0 12 0 1234 66 0 0 20 0 9 0 100500 1277952000 2500 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0`

func TestParseStat(t *testing.T) {
	t.Parallel()
	want := usage{cpu: 13 * time.Second, resident: 2500 * 4096}
	for _, name := range []string{"(java)", "(a (b) S 1 2)", "() )", "(tmux: server)"} {
		if got, err := parseStat("42 "+name+statOf, 4096); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "42 (java", "42 (java) S 1 42", strings.Replace("42 (java)"+statOf, "1234", "x", 1), strings.Replace("42 (java)"+statOf, "2500", "x", 1)} {
		if got, err := parseStat(text, 4096); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestParseMachine(t *testing.T) {
	t.Parallel()
	const text = "cpu  100 20 300 99999 99999 4 5 1000 7 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
	if got, err := parseMachine(text); err != nil || got.cpu != 14290*time.Millisecond {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7 8 9", strings.Replace(text, "300", "x", 1)} {
		if got, err := parseMachine(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestReadUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	if u, err := readUsage(machine); err != nil || u.cpu <= 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := readUsage(os.Getpid()); err != nil || u.resident < 1<<20 || u.cpu < 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestBetweenTakesTheMeasuredTimeOnly(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	see := func(s float64, cpu time.Duration, resident int64) sighting {
		return sighting{at(s), usage{cpu, resident}}
	}
	all := []*process{
		{name: "steady", seen: []sighting{see(0, 0, 1), see(1, time.Second, 2), see(2, 2*time.Second, 3), see(3, 3*time.Second, 4)}},
		{name: "setup", seen: []sighting{see(0, 0, 1), see(1, 9*time.Second, 1), see(3, 9*time.Second, 1)}},
		{name: "gone", seen: []sighting{see(0, 0, 7), see(2, time.Second, 7)}},
		{name: "edge", seen: []sighting{see(0, 0, 10), see(3, 3*time.Second, 20)}},
		{name: "edge", seen: []sighting{see(0, 0, 100), see(3, 3*time.Second, 200)}},
	}
	cores, resident, err := between(named(all), at(1.5), at(2.5))
	if err != nil || !maps.Equal(cores, map[string]float64{"steady": 1, "setup": 0, "gone": 0.25, "edge": 2}) ||
		!maps.Equal(resident, map[string]int64{"steady": 3, "setup": 1, "gone": 7, "edge": 110}) {
		t.Errorf("%v, %v, %v", cores, resident, err)
	}
	for busy, want := range map[time.Duration]float64{15 * time.Second: 1.75, 9 * time.Second: 0} { // of 3.25 cores of ours
		whole := &process{name: others, pid: machine, seen: []sighting{see(0, 0, 0), see(3, busy, 0)}}
		cores, resident, err := between(append([]*process{whole}, all...), at(1.5), at(2.5))
		if err != nil || cores[others] != want || len(resident) != 4 {
			t.Errorf("%v, %v, %v", cores, resident, err)
		}
	}
	if _, _, err := between([]*process{{name: "never seen"}}, at(0), at(1)); err == nil {
		t.Error("who was never seen has used nothing")
	}
}

// named gives processes an id that is not the machine's.
func named(all []*process) []*process {
	for i, p := range all {
		p.pid = i + 1
	}
	return all
}
