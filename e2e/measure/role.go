package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	readyPatience = time.Minute
	stopPatience  = 40 * time.Second
)

// role is a process of Sponge's.
type role struct {
	name  string
	log   string // path
	cmd   *exec.Cmd
	ready chan struct{} // closed when it has said so
	done  chan struct{} // closed when it has ended
	err   error         // how; valid after done
}

// startRole starts a role without waiting for it. Its log is dir's, where an
// earlier process of that name may have begun it.
func startRole(dir, name, binary string, env []string, args ...string) (*role, error) {
	r := &role{name: name, log: filepath.Join(dir, name+".log"), cmd: exec.Command(binary, args...),
		ready: make(chan struct{}), done: make(chan struct{})}
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	r.cmd.Env, r.cmd.Stderr, r.cmd.SysProcAttr = env, log, childAttr()
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	started := make(chan error)
	go func() {
		defer log.Close() //nolint:errcheck // the role writes to it, not this process
		// The kernel kills a child when the thread that started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			r.own(out)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return r, nil
}

func (r *role) own(out io.Reader) {
	defer close(r.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "ready") {
			close(r.ready)
			break
		}
	}
	_, _ = io.Copy(io.Discard, out)
	r.err = r.cmd.Wait()
}

func (r *role) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	select {
	case <-r.ready:
		return nil
	case <-r.done:
		return r.dead()
	case <-ctx.Done():
		return fmt.Errorf("%s is not ready: %w\n%s", r.name, ctx.Err(), tail(r.log))
	}
}

// dead is an error if the role has ended by itself.
func (r *role) dead() error {
	select {
	case <-r.done:
		err := r.err
		if err == nil {
			err = errors.New("nobody told it to")
		}
		return fmt.Errorf("%s has ended: %w\n%s", r.name, err, tail(r.log))
	default:
		return nil
	}
}

// stop ends the role as a deployment would.
func (r *role) stop() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", r.name, err)
	}
	select {
	case <-r.done:
	case <-time.After(stopPatience):
		_ = r.cmd.Process.Kill() // fails only if it is gone
		<-r.done
		return fmt.Errorf("%s still ran %s after it was told to stop", r.name, stopPatience)
	}
	if r.err != nil {
		return fmt.Errorf("stop %s: %w\n%s", r.name, r.err, tail(r.log))
	}
	return nil
}

func stopAll(roles []*role) error {
	ended := make(chan error)
	for _, r := range roles {
		go func() { ended <- r.stop() }()
	}
	var errs []error
	for range roles {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// tail is the end of a log.
func tail(path string) string {
	const lines = 15
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
