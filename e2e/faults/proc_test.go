//go:build faults

package faults

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	readyPatience = time.Minute
	stopPatience  = 40 * time.Second
)

// proc is one role's place in the cluster: a process, and the next one after
// its end. Only the test's goroutine and hooks of taps touch it.
type proc struct {
	name    string
	binary  string
	args    []string
	env     []string
	log     string // path; all its processes write to it
	metrics string // host:port
	listens string // of an edge: its own address, without a link

	links map[string]*link

	cmd   *exec.Cmd
	ready chan struct{}
	done  chan struct{} // closed at the exit
	err   error         // how it ended; valid after done
	kept  vitals        // what it was like when nothing was wrong
	http  *http.Client
}

// start starts the process without waiting for it.
func (p *proc) start() error {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	p.ready, p.done = make(chan struct{}), make(chan struct{})
	p.http = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	p.kept = vitals{}
	cmd := exec.Command(p.binary, p.args...)
	cmd.Env = p.env
	cmd.Stderr = out
	cmd.Stdout = &readyWriter{to: out, ready: p.ready}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	done := p.done
	go func() {
		defer out.Close()
		// Pdeathsig fires when the starting thread ends, so that thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd = cmd
	return nil
}

func (p *proc) waitReady() error {
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		return fmt.Errorf("%s ended before it was ready: %w\n%s", p.name, p.err, p.tail(30))
	case <-time.After(readyPatience):
		return fmt.Errorf("%s is not ready after %s\n%s", p.name, readyPatience, p.tail(30))
	}
}

// kill is kill -9. It does not wait, so that a tap may call it.
func (p *proc) kill() { _ = p.cmd.Process.Kill() }

// signal is for SIGSTOP and SIGCONT, SIGUSR1 and SIGUSR2.
func (p *proc) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// stop ends the process as a deployment would.
func (p *proc) stop() error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		p.kill()
		<-p.done
		return fmt.Errorf("%s still ran %s after SIGTERM\n%s", p.name, stopPatience, p.tail(30))
	}
	if p.err != nil {
		return fmt.Errorf("%s did not end cleanly: %w\n%s", p.name, p.err, p.tail(30))
	}
	return nil
}

// restart starts the process again once the old one is gone, and waits until
// it serves.
func (p *proc) restart() error {
	<-p.done
	if err := p.start(); err != nil {
		return err
	}
	return p.waitReady()
}

func (p *proc) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *proc) tail(lines int) string {
	text, _ := os.ReadFile(p.log)
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "\t" + strings.Join(all[max(0, len(all)-lines):], "\n\t")
}

// crashes looks in the log for what must never be there.
func (p *proc) crashes() error {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	for _, mark := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
		if i := bytes.Index(text, []byte(mark)); i >= 0 {
			return fmt.Errorf("%s: in its log: %s", p.name, text[i:min(len(text), i+3000)])
		}
	}
	return nil
}

// vitals are what must come back to where it was after every fault.
type vitals struct {
	goroutines int
	heap       int64 // bytes of what is alive after a collection
}

// vitals collects the garbage and looks.
func (p *proc) vitals() (v vitals, err error) {
	if _, err := p.get("/debug/pprof/heap?gc=1"); err != nil {
		return v, err
	}
	text, err := p.get("/metrics")
	if err != nil {
		return v, err
	}
	profile, err := p.get("/debug/pprof/goroutine?debug=1")
	if err != nil {
		return v, err
	}
	v.goroutines = goroutines(profile)
	v.heap = int64(metric(text, "go_memstats_heap_alloc_bytes"))
	return v, nil
}

// compare says what p has more of than it was known to need. Fewer goroutines
// than that, or the first count, are believed if the look before saw as many.
func (p *proc) compare(now vitals, before int) error {
	first := p.kept == (vitals{})
	switch {
	case !first && now.goroutines > p.kept.goroutines:
		return fmt.Errorf("%s has %d goroutines, and had %d", p.name, now.goroutines, p.kept.goroutines)
	case !first && now.heap > p.kept.heap+p.kept.heap/5+2<<20:
		return fmt.Errorf("%s keeps %d bytes, and kept %d", p.name, now.heap, p.kept.heap)
	case now.goroutines != p.kept.goroutines && now.goroutines != before:
		return fmt.Errorf("%s has not come to rest: %d goroutines, then %d", p.name, before, now.goroutines)
	case first:
		p.kept = now
	}
	p.kept.goroutines = now.goroutines
	return nil
}

// goroutines counts those of a profile that do not belong to a connection of a
// pool: pools hold as many as were needed at once within the last minutes.
func goroutines(profile string) (n int) {
	pooled := []string{"kafka-go.(*conn).run", "net/http.(*conn).", "go-sql-driver/mysql.(*mysqlConn).startWatcher", "database/sql.(*DB).connectionCleaner", "net/http.(*connReader)"}
	for block := range strings.SplitSeq(profile, "\n\n") {
		count, _, ok := strings.Cut(strings.TrimSpace(block), " @ ")
		if lines := strings.Split(count, "\n"); ok && !slices.ContainsFunc(pooled, func(f string) bool { return strings.Contains(block, f) }) {
			k, _ := strconv.Atoi(lines[len(lines)-1])
			n += k
		}
	}
	return n
}

func (p *proc) get(path string) (string, error) {
	r, err := p.http.Get("http://" + p.metrics + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return string(text), err
}

// metric is the sum over a metric's labels.
func metric(text, name string) (sum float64) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
		if err == nil {
			sum += v
		}
	}
	return sum
}

// readyWriter copies lines to a log and closes ready at the one that begins so.
type readyWriter struct {
	to    io.Writer
	ready chan struct{}
	line  []byte
	seen  bool
}

func (w *readyWriter) Write(b []byte) (int, error) {
	for _, c := range b {
		if c != '\n' {
			w.line = append(w.line, c)
			continue
		}
		if !w.seen && bytes.HasPrefix(w.line, []byte("ready")) {
			w.seen = true
			close(w.ready)
		}
		w.line = w.line[:0]
	}
	return w.to.Write(b)
}
