package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// benchCase is one case of the stand: a case of `sponge bench` with its
// options, at one point or several.
type benchCase struct {
	name   string
	args   []string
	option string // takes the point; empty where there is none
	points []int
	ladder bool // its points end with the second in a row that is too much
	fresh  bool // on edges of its own, just started, whose memory is looked at
	hashes bool // passwords are hashed as in production
	shows  []figure
}

// cases is everything that is measured. Plots take the rates and the idle
// connections of all cases together, so none repeats another's point.
func cases() []benchCase {
	stored := []figure{acked, endP50, endP99, ackP50, ackP99}
	fanned := []figure{delivered, endP50, endP99, ackP50, ackP99}
	timed := []figure{endP50, endP99, ackP50, ackP99, acked}
	resident := []figure{perConnection}
	logins := []figure{acked, ackP50, ackP99}
	return []benchCase{
		{name: "chat", args: []string{"chat", "--pairs", "50", "--window", "16"}, shows: stored},
		{name: "chat1000", args: []string{"chat", "--pairs", "1000", "--window", "2"}, shows: stored},
		{name: "rate200", args: []string{"rate"}, option: "--rate", points: []int{200}, shows: timed},
		{name: "rate1000", args: []string{"rate"}, option: "--rate", points: []int{1000}, shows: timed},
		{name: "latency", args: []string{"rate"}, option: "--rate", ladder: true, shows: []figure{endP50, endP99, acked},
			points: []int{2000, 5000, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 80_000, 90_000, 100_000}},
		{name: "group1", args: []string{"group", "--window", "1"}, shows: fanned},
		{name: "group16", args: []string{"group", "--window", "16"}, shows: fanned},
		{name: "group10000", args: []string{"group", "--members", "1000", "--absent", "9000", "--window", "16"}, shows: fanned},
		{name: "memory", args: []string{"idle"}, option: "--connections", points: []int{1000, 2000, 5000}, fresh: true, shows: resident},
		{name: "idle", args: []string{"idle"}, option: "--connections", points: []int{10_000}, fresh: true, shows: resident},
		{name: "idle50000", args: []string{"idle"}, option: "--connections", points: []int{50_000}, fresh: true, shows: resident},
		{name: "login", args: []string{"login"}, hashes: true, shows: logins},
		{name: "token", args: []string{"login", "--token"}, hashes: true, shows: logins},
	}
}

// label names one point of a case.
func (c *benchCase) label(point int) string {
	if len(c.points) < 2 {
		return c.name
	}
	return c.name + " " + strconv.Itoa(point)
}

func names(all []benchCase) string {
	var out []string
	for _, c := range all {
		out = append(out, c.name)
	}
	return strings.Join(out, ",")
}

// choose finds the cases of a list, in the table's order; all for an empty one.
func choose(all []benchCase, list string) (chosen []benchCase, err error) {
	if list == "" {
		return all, nil
	}
	wanted := strings.Split(list, ",")
	for _, c := range all {
		if i := slices.Index(wanted, c.name); i >= 0 {
			chosen, wanted = append(chosen, c), slices.Delete(wanted, i, i+1)
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("-cases: no %q, there are %s", wanted[0], names(all))
	}
	return chosen, nil
}

// tooMuch reports whether a rate was more than the cluster bears: messages
// were refused, were not answered in time, or came too late to be of use.
func tooMuch(r *record) bool {
	const late = 100 // ms
	kept := 0.98 * float64(r.Point)
	return r.Error != "" || r.Bench.AckedPerSecond < kept || r.Bench.EndToEndMs.P99 > late
}
