package floor

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"sponge/pkg/bench"
)

// Result is what a run found; as JSON, what `sponge bench floor --json` prints.
type Result struct {
	Case   string  `json:"case"`
	Stages []Stage `json:"stages"`
	Rate   float64 `json:"rate"` // items a second of the hops

	Slowest          string  `json:"slowest"`          // stage at saturation
	SlowestPerSecond float64 `json:"slowestPerSecond"` // items
	HopsP50Ms        float64 `json:"hopsP50Ms"`        // sum of the hops' p50

	// Sponge itself in the same run; null without addresses.
	Chat       *bench.Result `json:"chat"`
	Paced      *bench.Result `json:"rateResult"`
	ChatRatio  float64       `json:"chatRatio"`  // acknowledged a second ÷ SlowestPerSecond
	AddedP50Ms float64       `json:"addedP50Ms"` // end to end at the rate, less HopsP50Ms
}

// Stage is what was measured of one.
type Stage struct {
	Name string     `json:"stage"`
	Flow bench.Flow `json:"saturated"`
	Hop  bench.Hop  `json:"hop"`

	stage bench.Stage
}

// compare fills in what follows from the rest.
func (r *Result) compare() {
	slowest := slices.MinFunc(r.Stages, func(a, b Stage) int {
		switch {
		case a.Flow.PerSecond < b.Flow.PerSecond:
			return -1
		case a.Flow.PerSecond > b.Flow.PerSecond:
			return 1
		}
		return 0
	})
	r.Slowest, r.SlowestPerSecond = slowest.Name, slowest.Flow.PerSecond
	for _, s := range r.Stages {
		r.HopsP50Ms += s.Hop.Ms.P50
	}
	if r.Chat != nil {
		r.ChatRatio = r.Chat.AckedPerSecond / r.SlowestPerSecond
	}
	if r.Paced != nil {
		r.AddedP50Ms = r.Paced.EndToEndMs.P50 - r.HopsP50Ms
	}
}

// Err is not nil where Sponge's accounting does not come out even.
func (r *Result) Err() error {
	var errs []error
	for _, one := range []*bench.Result{r.Chat, r.Paced} {
		if one != nil {
			errs = append(errs, one.Err())
		}
	}
	return errors.Join(errs...)
}

// means says what an item of a stage has done.
var means = map[string]string{
	"echo":    "there and back over TCP",
	"produce": "in Kafka; at the rate, fetched again",
	"store":   "in a row, committed; at saturation, fetched before",
	"stream":  "through a Redis stream",
}

// Table writes the result for people.
func (r *Result) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "stage\titems/s\tCPU\tat %.0f/s: p50 ms\tp99\tp99.9\tCPU\t\n", r.Rate)
	for _, s := range r.Stages {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f %%\t%.2f\t%.2f\t%.2f\t%.0f %%\t\n", s.Name, s.Flow.PerSecond, 100*s.Flow.CPU,
			s.Hop.Ms.P50, s.Hop.Ms.P99, s.Hop.Ms.P999, 100*s.Hop.CPU)
	}
	fmt.Fprintf(t, "slowest, sum\t%.0f\t\t%.2f\t\t\t\t\n", r.SlowestPerSecond, r.HopsP50Ms)
	if r.Chat != nil && r.Paced != nil {
		fmt.Fprintf(t, "Sponge\t%.0f\t%.0f %%\t%.2f\t%.2f\t%.2f\t%.0f %%\t\n", r.Chat.AckedPerSecond, 100*r.Chat.LoadCPU,
			r.Paced.EndToEndMs.P50, r.Paced.EndToEndMs.P99, r.Paced.EndToEndMs.P999, 100*r.Paced.LoadCPU)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, s := range r.Stages {
		fmt.Fprintf(w, "%-8s %s\n", s.Name, means[s.Name])
	}
	fmt.Fprintln(w, "CPU is this process's share of all cores.")
	if r.Chat != nil && r.Paced != nil {
		fmt.Fprintf(w, "\nchat stores %.0f %% of what the slowest stage (%s) carries; at %.0f/s Sponge adds %.2f ms to the hops' p50.\n",
			100*r.ChatRatio, r.Slowest, r.Rate, r.AddedP50Ms)
	}
	return nil
}
