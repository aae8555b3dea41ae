package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"
)

// WriteHoldings writes holdings as jsonl, an object a topic, or as a table, a
// line a partition with times in zone.
func WriteHoldings(out io.Writer, format string, holdings []Holding, zone *time.Location) error {
	switch format {
	case "jsonl":
		enc := json.NewEncoder(out)
		for i := range holdings {
			if err := enc.Encode(&holdings[i]); err != nil {
				return err
			}
		}
		return nil
	case "table":
		return writeTables(out, holdings, zone)
	}
	return fmt.Errorf("no format %q: jsonl and table are", format)
}

func writeTables(out io.Writer, holdings []Holding, zone *time.Location) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "TOPIC\tPARTITION\tFIRST\tLAST\tRECORDS\tFIRST TIME\tLAST TIME\tGROUP LAG\tLAG\t")
	days := 0
	for _, h := range holdings {
		for _, p := range h.Parts {
			last := "-"
			if p.Last >= p.First {
				last = strconv.FormatInt(p.Last, 10)
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%s\t%s\t%s\t%s\t\n", h.Topic, p.ID, p.First, last, p.Records,
				clock(p.FirstTime, zone), clock(p.LastTime, zone), known64(p.GroupLag), known64(p.Lag))
		}
		days = max(days, len(h.Days))
	}
	if err := w.Flush(); err != nil || days == 0 {
		return err
	}
	fmt.Fprintln(w, "\nTOPIC\tDAY\tRECORDS\t")
	for _, h := range holdings {
		for _, d := range h.Days {
			fmt.Fprintf(w, "%s\t%s\t%d\t\n", h.Topic, d.Date, d.Records)
		}
	}
	return w.Flush()
}

func clock(t *time.Time, zone *time.Location) string {
	if t == nil {
		return "-"
	}
	return t.In(zone).Format("2006-01-02 15:04:05")
}

func known64(n *int64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatInt(*n, 10)
}
