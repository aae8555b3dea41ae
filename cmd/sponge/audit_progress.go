package main

import (
	"fmt"
	"io"
	"time"

	"sponge/pkg/audit/view"
)

// auditProgress is one line on a terminal that tells how far reading has come.
type auditProgress struct {
	out     io.Writer
	started time.Time
	shown   time.Time
}

// progressEvery is how often the line changes.
const progressEvery = 200 * time.Millisecond

func newAuditProgress(out io.Writer) *auditProgress {
	now := time.Now()
	return &auditProgress{out: out, started: now, shown: now}
}

func (p *auditProgress) show(at view.Progress) {
	now := time.Now()
	if now.Sub(p.shown) < progressEvery || at.Total == 0 {
		return
	}
	p.shown = now
	rate := float64(at.Read) / now.Sub(p.started).Seconds()
	left := time.Duration(float64(at.Total-at.Read) / max(rate, 1) * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(p.out, "\r\x1b[K%d of %d records, %d %%, %d shown, %.0f/s, %s left",
		at.Read, at.Total, 100*at.Read/at.Total, at.Shown, rate, left)
}

// end leaves the terminal's line empty.
func (p *auditProgress) end() { fmt.Fprint(p.out, "\r\x1b[K") }
