package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Result is what a run found; as JSON, what `sponge bench --json` prints.
//
// Sent, Acked, Delivered and Expected count the messages that were sent in the
// measured time, whenever their answers came. Lost, Duplicated, OutOfOrder and
// Errors count those of the warm-up, too.
type Result struct {
	Case               string           `json:"case"`
	Sent               int64            `json:"sent"`
	Acked              int64            `json:"acked"`      // told to be stored
	Delivered          int64            `json:"delivered"`  // acknowledged ones that reached a recipient, once for each
	Expected           int64            `json:"expected"`   // what Delivered should be
	Lost               int64            `json:"lost"`       // acknowledged, and never seen by a recipient
	Duplicated         int64            `json:"duplicated"` // pushes of what the recipient had already
	OutOfOrder         int64            `json:"outOfOrder"` // pushes below one that was seen before, and numbers against the sender's order
	Errors             map[string]int64 `json:"errors"`     // by code; "unanswered", "renumbered" and "closed" where there is none
	Began              int64            `json:"began"`      // when the measured time did, in Unix milliseconds
	Seconds            float64          `json:"seconds"`    // measured
	AckedPerSecond     float64          `json:"ackedPerSecond"`
	DeliveredPerSecond float64          `json:"deliveredPerSecond"`
	AckMs              Quantiles        `json:"ackMs"`
	EndToEndMs         Quantiles        `json:"endToEndMs"`
	BytesPerConnection int64            `json:"bytesPerConnection"` // resident; of idle only
	LoadCPU            float64          `json:"loadCPU"`            // share of all cores that this process used, 0 to 1
}

// Quantiles of a latency, in milliseconds.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Err is not nil where the accounting does not come out even.
func (r *Result) Err() error {
	if r.Lost+r.Duplicated+r.OutOfOrder+r.Errors[renumbered] > 0 {
		return fmt.Errorf("the accounts do not balance: %d lost, %d duplicated, %d out of order, %d renumbered",
			r.Lost, r.Duplicated, r.OutOfOrder, r.Errors[renumbered])
	}
	return nil
}

// Table writes the result for people.
func (r *Result) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	row("case", "%s, %.1f s measured", r.Case, r.Seconds)
	row("sent / acked", "%d / %d", r.Sent, r.Acked)
	if r.Expected > 0 {
		row("delivered / expected", "%d / %d", r.Delivered, r.Expected)
		row("lost, duplicated, out of order", "%d, %d, %d", r.Lost, r.Duplicated, r.OutOfOrder)
	}
	row("acked a second", "%.0f", r.AckedPerSecond)
	if r.Expected > 0 {
		row("delivered a second", "%.0f", r.DeliveredPerSecond)
	}
	latency := func(name string, q Quantiles) {
		if q.Max > 0 {
			row(name, "p50 %.2f  p99 %.2f  p99.9 %.2f  max %.2f", q.P50, q.P99, q.P999, q.Max)
		}
	}
	latency("acknowledged after, ms", r.AckMs)
	latency("end to end, ms", r.EndToEndMs)
	if r.BytesPerConnection != 0 {
		row("bytes a connection", "%d", r.BytesPerConnection)
	}
	var errs []string
	for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
		errs = append(errs, fmt.Sprintf("%s: %d", code, r.Errors[code]))
	}
	if len(errs) > 0 {
		row("errors", "%s", strings.Join(errs, ", "))
	}
	row("CPU of this client", "%.0f %% of all cores", 100*r.LoadCPU)
	return t.Flush()
}
