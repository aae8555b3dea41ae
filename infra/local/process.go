package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// startWait bounds the time from a server's start to its first answer; crash
// recovery is part of it.
const startWait = 2 * time.Minute

// service is what all services can do.
type service interface {
	// PID returns the id of the service's process.
	PID() int

	// Done is closed when the service has ended, for whatever reason, and its
	// directory is free again.
	Done() <-chan struct{}

	// Err returns why the service ended by itself. It is nil while the service
	// runs and after Stop or Kill.
	Err() error

	// Stop ends the service cleanly and waits for that, at most until ctx ends.
	// Calling it again, also at the same time or after the end, is fine.
	Stop(ctx context.Context) error

	// Kill ends the service as a crash would, and waits for its end.
	Kill()
}

// process is a running server: one child, the goroutine that owns it, and the
// lock on its directory, which ends with it.
type process struct {
	name     string
	cmd      *exec.Cmd
	socket   string
	log      *logFile
	lock     *dirLock
	stopping atomic.Bool   // set before we signal: the end is then ours
	done     chan struct{} // closed when the child is gone and the lock released
	err      error         // set before done is closed
}

// startProcess starts the server and takes over the lock, also on failure. The
// socket, if there is one, is removed with the server's end. deathSignal is what the kernel
// sends to the child when this process dies.
func startProcess(name string, cmd *exec.Cmd, socket string, deathSignal syscall.Signal, lock *dirLock) (*process, error) {
	log, err := openLog(filepath.Join(lock.dir, name+".log"))
	if err != nil {
		lock.release()
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log.file, log.file
	cmd.ExtraFiles = []*os.File{lock.server}
	cmd.SysProcAttr = childAttr(deathSignal)
	p := &process{name: name, cmd: cmd, socket: socket, log: log, lock: lock, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.own(started)
	if err := <-started; err != nil {
		<-p.done
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// own starts the child and waits for its end on one OS thread: the kernel
// sends the death signal when the thread that started a child ends, so that
// thread must be ours alone for as long as the child lives.
func (p *process) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	defer p.lock.release()
	defer removeSocket(p.socket, p.lock.dir) // while the lock is held: the next server may make it again
	defer p.log.close()
	err := p.cmd.Start()
	if err == nil {
		err = writeHolder(p.lock.server, p.cmd.Process.Pid)
		if err != nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	}
	started <- err
	if err != nil {
		return
	}
	err = p.cmd.Wait()
	switch {
	case p.stopping.Load():
	case err == nil:
		p.err = fmt.Errorf("%s ended by itself; its log says:\n%s", p.name, p.log.tail())
	default:
		p.err = fmt.Errorf("%s died: %w; its log says:\n%s", p.name, err, p.log.tail())
	}
}

// awaitReady polls probe until it succeeds. When that does not happen, the
// child is killed and the error carries the end of its log.
func (p *process) awaitReady(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		last := probe(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			tail := p.log.tail()
			p.Kill()
			return fmt.Errorf("%s does not answer: %w (%w); its log says:\n%s", p.name, ctx.Err(), last, tail)
		case <-tick.C:
		}
	}
}

// Socket returns the path of the server's unix socket.
func (p *process) Socket() string { return p.socket }

// PID returns the server's process id.
func (p *process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the server has ended, for whatever reason, and its
// directory is free again.
func (p *process) Done() <-chan struct{} { return p.done }

// Err returns why the server ended by itself. It is nil while the server runs
// and after Stop or Kill.
func (p *process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop ends the server cleanly and waits for that. When ctx ends first, the
// server is killed and the error wraps ctx's. Calling it again, also at the
// same time or after the server's end, is fine.
func (p *process) Stop(ctx context.Context) error {
	p.stopping.Store(true)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stop %s: killed, as it did not end in time: %w", p.name, ctx.Err())
	}
}

// Kill ends the server as a crash would, with SIGKILL, and waits for its end.
func (p *process) Kill() {
	p.stopping.Store(true)
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.done
}

// runCommand runs a short-lived helper command to its end. It dies with this
// process, and with ctx, together with its own children.
func runCommand(ctx context.Context, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = childAttr(syscall.SIGKILL)
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !stop() && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// makeData makes a server's data directory, unless it is there, with the
// command that the server has for that. It is made aside and renamed when
// complete, so a half-made one never counts.
func makeData(ctx context.Context, name, data string, o Options, lock *dirLock, command func(made string) (*exec.Cmd, error)) error {
	if _, err := os.Stat(data); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	o.Progress("creating the " + name + " data directory")
	made := data + ".new"
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	cmd, err := command(made)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.ExtraFiles = append(cmd.ExtraFiles, lock.server) // the next start waits for this one's end
	if err := runCommand(ctx, cmd); err != nil {
		return fmt.Errorf("create the %s data directory: %w; it says:\n%s", name, err, lastLines(out.Bytes(), logTailLines))
	}
	return os.Rename(made, data)
}
