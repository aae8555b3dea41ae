package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startPatience covers a first start that fetches MariaDB and Redis.
	startPatience = 3 * time.Minute
	stopPatience  = 30 * time.Second
	runPatience   = time.Minute
)

// process is one running sponge. All it prints goes to a log file.
type process struct {
	name  string
	log   string // path
	cmd   *exec.Cmd
	ready chan struct{} // closed by the first line on stdout that begins with "ready"
	done  chan struct{} // closed at the exit
	err   error         // how it ended; valid after done

	mu      sync.Mutex
	excused bool // killed on purpose: how it ended says nothing
}

// launch starts the program. The environment is this process's without any
// SPONGE_ variable, plus env.
func launch(name string, env []string, args ...string) (*process, error) {
	path, err := binary()
	if err != nil {
		return nil, err
	}
	suite.mu.Lock()
	defer suite.mu.Unlock()
	p := &process{
		name:  name,
		log:   filepath.Join(suite.dir, fmt.Sprintf("%03d-%s.log", len(suite.processes), name)),
		cmd:   exec.Command(path, args...),
		ready: make(chan struct{}),
		done:  make(chan struct{}),
	}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	p.cmd.Env = append(environment(), env...)
	p.cmd.Dir = suite.dir
	p.cmd.Stderr = out
	p.cmd.Stdout = &readyWriter{to: out, ready: p.ready}
	// What the program leaves behind when it is killed must not hold up Wait.
	p.cmd.WaitDelay = time.Second
	// A group of its own, as a shell gives it; gone with the tests, however they end.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	started := make(chan error)
	go func() {
		defer out.Close()
		// Pdeathsig fires when the starting thread ends, so that thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	suite.processes = append(suite.processes, p)
	return p, nil
}

// environment is the tests' own, without Sponge's variables, and with passwords
// that cost little: dozens at once, by an instrumented binary, on cores that run
// other tests beside, would not be hashed within the 10 s of an answer.
func environment() []string {
	env := []string{"SPONGE_ARGON2_MEMORY=1024", "SPONGE_ARGON2_ITERATIONS=1"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SPONGE_") {
			env = append(env, v)
		}
	}
	return env
}

// waitReady waits for the line that says that the role serves.
func (p *process) waitReady() error {
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		return fmt.Errorf("%s ended before it was ready: %v\n%s", p.name, p.err, p.tail(40))
	case <-time.After(startPatience):
		return fmt.Errorf("%s is not ready after %v\n%s", p.name, startPatience, p.tail(40))
	}
}

// signal sends sig to the process's group, as a terminal does.
func (p *process) signal(sig syscall.Signal) error {
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		return fmt.Errorf("%v to %s: %w", sig, p.name, err)
	}
	return nil
}

// wait waits for a clean exit.
func (p *process) wait() error {
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		p.kill()
		return fmt.Errorf("%s still ran after %v\n%s", p.name, stopPatience, p.tail(40))
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", p.name, p.err, p.tail(40))
	}
	return nil
}

// stop is signal and wait.
func (p *process) stop(sig syscall.Signal) error {
	if err := p.signal(sig); err != nil {
		return err
	}
	return p.wait()
}

// kill is kill -9 of this one process.
func (p *process) kill() {
	p.mu.Lock()
	p.excused = true
	p.mu.Unlock()
	_ = p.cmd.Process.Kill()
	<-p.done
}

// finish ends a process that may have ended already.
func (p *process) finish() error {
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.err != nil && !p.excused {
			return fmt.Errorf("%s: %w", p.name, p.err)
		}
		return nil
	default:
		return p.stop(syscall.SIGTERM)
	}
}

// faults looks in the log for what must never be there.
func (p *process) faults() error {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	for _, mark := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: ", "goroutine stack exceeds"} {
		if i := bytes.Index(text, []byte(mark)); i >= 0 {
			return fmt.Errorf("%s: in its log: %s", p.name, text[i:min(len(text), i+4000)])
		}
	}
	return nil
}

func (p *process) tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "\t" + strings.Join(all[max(0, len(all)-lines):], "\n\t")
}

// runToEnd runs the program until it ends by itself and returns what it printed.
func runToEnd(env []string, args ...string) (stdout, stderr string, err error) {
	path, err := binary()
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(environment(), env...)
	cmd.Dir = suite.dir
	cmd.WaitDelay = time.Second
	runtime.LockOSThread() // for Pdeathsig
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
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
