package bench

import (
	"fmt"
	"sync"
	"time"
)

// progress shows that a run is alive: on a terminal one line that changes,
// elsewhere a line every few seconds.
type progress struct {
	r *run

	mu    sync.Mutex // guards the following
	lines bool
	shown time.Time
}

const lineEvery = 5 * time.Second

func newProgress(r *run) *progress { return &progress{r: r, shown: time.Now()} }

func (p *progress) rates(now, last marks, warm bool) {
	phase := "warm-up"
	if warm {
		phase = "measured"
	}
	seconds := now.at.Sub(last.at).Seconds()
	delivered := ""
	if now.delivered > 0 {
		delivered = fmt.Sprintf(", %.0f delivered/s", float64(now.delivered-last.delivered)/seconds)
	}
	p.say("%s %s %2.0f/%.0f s: %.0f acked/s%s, client's CPU %.0f %%", p.r.name, phase,
		now.at.Sub(p.r.begin).Seconds(), p.r.to.Seconds(), float64(now.acked-last.acked)/seconds, delivered,
		100*(now.cpu-last.cpu).Seconds()/seconds/cores())
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.r.Progress == nil:
	case p.r.Terminal:
		p.lines = true
		fmt.Fprintf(p.r.Progress, "\r\x1b[K"+format, args...)
	case time.Since(p.shown) >= lineEvery:
		p.shown = time.Now()
		fmt.Fprintf(p.r.Progress, format+"\n", args...)
	}
}

// end leaves the terminal's line empty.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lines {
		fmt.Fprint(p.r.Progress, "\r\x1b[K")
	}
}
