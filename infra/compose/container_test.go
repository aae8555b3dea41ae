package compose_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take on a busy machine.
const patience = 2 * time.Minute

// container is one process in the place of one.
type container struct {
	name string
	ip   string // in its place, on this machine
	cmd  *exec.Cmd
	log  string // the file with all that it prints
	done chan struct{}
	err  error // how it ended; valid after done
}

// start runs a command until the end of the test, with no variable of Sponge but
// those in env.
func start(t *testing.T, name, ip string, env []string, program string, args ...string) *container {
	t.Helper()
	c := &container{name: name, ip: ip, log: filepath.Join(t.TempDir(), name+".log"), cmd: exec.Command(program, args...), done: make(chan struct{})}
	out, err := os.Create(c.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SPONGE_") {
			c.cmd.Env = append(c.cmd.Env, v)
		}
	}
	c.cmd.Env = append(c.cmd.Env, env...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		defer out.Close()
		// Pdeathsig fires when the starting thread ends, so that thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // fails only when it is gone already
		<-c.done
		if t.Failed() {
			text, _ := os.ReadFile(c.log)
			t.Logf("--- %s:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	return c
}

// signal is what a container engine does to stop one.
func (c *container) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
}

// end waits for a clean end within its grace period.
func (c *container) end(t *testing.T, grace time.Duration) {
	t.Helper()
	select {
	case <-c.done:
		if c.err != nil {
			t.Fatalf("%s: %v", c.name, c.err)
		}
	case <-time.After(grace):
		t.Fatalf("%s would have been killed after %s", c.name, grace)
	}
}

// until polls what cannot tell by itself that it has come.
func until(t *testing.T, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		last := try(ctx)
		if last == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(errors.Join(fmt.Errorf("%s: %w", what, ctx.Err()), last))
		}
	}
}
