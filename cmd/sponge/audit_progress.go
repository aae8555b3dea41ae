package main

import (
	"fmt"
	"os"
	"time"
)

// progressLine is one line on the terminal that tells how far a command has come.
type progressLine struct {
	on      bool
	stage   string
	started time.Time // the stage
	shown   time.Time
}

// progressEvery is how often the line changes.
const progressEvery = 200 * time.Millisecond

// newProgressLine shows nothing where standard error is no terminal.
func newProgressLine() *progressLine {
	now := time.Now()
	return &progressLine{on: isTerminal(os.Stderr), started: now, shown: now}
}

// show says how many of a total, 0 where nobody knows it, are done; unit and note,
// which may be empty, begin with a blank.
func (p *progressLine) show(stage string, done, total int64, unit, note string) {
	now := time.Now()
	if !p.on || total == 0 && done == 0 || now.Sub(p.shown) < progressEvery {
		return
	}
	if stage != p.stage {
		p.stage, p.started = stage, now
	}
	p.shown = now
	fmt.Fprintf(os.Stderr, "\r\x1b[K%s: %d", stage, done)
	if total > 0 {
		rate := float64(done) / max(now.Sub(p.started).Seconds(), 0.001)
		left := time.Duration(float64(total-done) / max(rate, 1) * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(os.Stderr, " of %d%s, %d %%,%s %.0f/s, %s left", total, unit, 100*done/total, note, rate, left)
	}
}

// end leaves the terminal's line empty.
func (p *progressLine) end() {
	if p.on {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
