// Command measure is the measuring stand: it runs the cases of `sponge bench`
// against real services (Apache Kafka, MariaDB, Redis), one edge and one
// worker of each handler group, each a process of its own, and says what came
// out and what each process took.
//
// With -against it does so for another commit, too, in turn: the first run of
// this tree, the first of the other, the second of this tree, and so on. Both
// use the same services; of the roles only those that are being measured run.
// With -grown, this tree is measured in turn on an empty store and on one that
// `sponge bench load` has filled.
// The load always comes from this tree's `sponge bench`.
//
// One line of JSON a run goes to -json, Markdown to the standard output,
// progress to the standard error. Data are kept in a folder under TMPDIR, so
// that says which disk is measured, and removed at the end.
//
// The command knows services, processes and `sponge bench`. It must not know
// anything of the wire.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the command line's.
type options struct {
	against  string
	runs     int
	cases    string
	duration time.Duration
	json     string
	from     string
	plots    string
	grown    bool
	floor    bool
}

func main() {
	var o options
	flag.StringVar(&o.against, "against", "", "a `commit` that is measured beside this tree")
	flag.BoolVar(&o.grown, "grown", false, "measure this tree on a store of ten million messages, too")
	flag.BoolVar(&o.floor, "floor", false, "print what sponge bench floor says of the same services, at the end")
	flag.IntVar(&o.runs, "runs", 3, "runs of each case")
	flag.StringVar(&o.cases, "cases", "", "cases, separated by commas: "+names(cases())+" (default all)")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long is measured in a run")
	flag.StringVar(&o.json, "json", "", "a `file` that gets one line of JSON a run")
	flag.StringVar(&o.from, "from", "", "a `file` that -json has written: nothing is measured, its table is printed again")
	flag.StringVar(&o.plots, "plot", "", "a `folder` that gets latency.svg and memory.svg")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

// run measures, or reads what was measured, and reports it. What was measured
// before a failure is reported, too.
func (o *options) run(ctx context.Context) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no option", flag.Arg(0))
	}
	if o.runs < 1 || o.duration <= 0 {
		return errors.New("-runs and -duration are above 0")
	}
	var records []record
	var err error
	if o.from != "" {
		records, err = readRecords(o.from)
	} else {
		records, err = o.measure(ctx)
	}
	if len(records) > 0 {
		err = errors.Join(err, report(os.Stdout, records))
	}
	if o.plots != "" && err == nil {
		err = plotAll(o.plots, records)
	}
	return errors.Join(err, wrong(records))
}
