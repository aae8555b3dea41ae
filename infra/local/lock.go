package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The lock files of a service's directory. The kernel releases a lock with the
// last descriptor, so neither outlives the processes that it stands for.
const (
	ownerLock  = "owner.lock"  // held by the process that started the service
	serverLock = "server.lock" // inherited by the server: held until both are gone
)

// leftoverWait bounds the wait for a server whose parent died to finish.
const leftoverWait = 30 * time.Second

// dirLock is the exclusive hold on a service's directory.
type dirLock struct {
	dir    string
	owner  *os.File
	server *os.File
}

// lockDir takes o.Dir for this process. A server that an earlier run left
// behind gets until wait to end. It fails with ErrInUse.
func lockDir(ctx context.Context, o Options, wait time.Duration) (*dirLock, error) {
	dir := o.Dir
	owner, err := openLock(filepath.Join(dir, ownerLock))
	if err != nil {
		return nil, err
	}
	switch ok, err := tryLock(owner); {
	case err != nil:
		_ = owner.Close()
		return nil, err
	case !ok:
		pid := lockHolder(owner)
		_ = owner.Close()
		return nil, fmt.Errorf("%w: %s is held by process %s", ErrInUse, dir, pid)
	}
	server, err := openLock(filepath.Join(dir, serverLock))
	if err != nil {
		_ = owner.Close()
		return nil, err
	}
	l := &dirLock{dir: dir, owner: owner, server: server}
	err = writeHolder(owner, os.Getpid())
	if err == nil {
		err = l.awaitLeftover(ctx, o, wait)
	}
	if err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// awaitLeftover takes the server's lock, which a server of an earlier run may
// still hold while it shuts down.
func (l *dirLock) awaitLeftover(ctx context.Context, o Options, wait time.Duration) error {
	if ok, err := tryLock(l.server); ok || err != nil {
		return err
	}
	o.Progress("waiting for the server of an earlier run to end")
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := waitLock(limited, l.server)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %s is still held by process %s, a server that an earlier run left behind",
			ErrInUse, l.dir, lockHolder(l.server))
	}
	return err
}

// release gives the directory back. A server that still runs keeps its part.
func (l *dirLock) release() {
	_ = l.server.Close()
	// Unlocked, not only closed: a child that is being forked at this moment
	// has the descriptor until it executes its program.
	_ = syscall.Flock(int(l.owner.Fd()), syscall.LOCK_UN)
	_ = l.owner.Close()
}

func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// tryLock reports whether it got the exclusive lock.
func tryLock(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, syscall.EINTR):
			continue
		default:
			return false, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// waitLock polls for the exclusive lock: a blocking flock cannot be cancelled.
func waitLock(ctx context.Context, f *os.File) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := tryLock(f); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock %s: %w", f.Name(), ctx.Err())
		case <-tick.C:
		}
	}
}

// writeHolder notes who holds the lock, for the error text of others only.
func writeHolder(f *os.File, pid int) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
	return err
}

func lockHolder(f *os.File) string {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	if s := strings.TrimSpace(string(b[:n])); s != "" {
		return s
	}
	return "unknown"
}
