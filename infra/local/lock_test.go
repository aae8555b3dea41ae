package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// leftover holds the lock that a server keeps when its parent is gone.
func leftover(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := openLock(filepath.Join(dir, serverLock))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if ok, err := tryLock(f); err != nil || !ok {
		t.Fatalf("lock: %t, %v", ok, err)
	}
	if err := writeHolder(f, 4711); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLockDirNamesLeftover(t *testing.T) {
	t.Parallel()
	o := options(t)
	leftover(t, o.Dir)
	synctest.Test(t, func(t *testing.T) {
		_, err := lockDir(t.Context(), o, leftoverWait)
		if !errors.Is(err, ErrInUse) {
			t.Error(err)
		}
		wantText(t, err, o.Dir, "process 4711", "left behind")
	})
}

func TestLockDirWaitsForLeftover(t *testing.T) {
	t.Parallel()
	o := options(t)
	f := leftover(t, o.Dir)
	synctest.Test(t, func(t *testing.T) {
		locked := make(chan error, 1)
		go func() {
			l, err := lockDir(t.Context(), o, leftoverWait)
			if err == nil {
				l.release()
			}
			locked <- err
		}()
		synctest.Wait()
		select {
		case err := <-locked:
			t.Fatalf("no wait: %v", err)
		default:
		}
		_ = f.Close()
		if err := <-locked; err != nil {
			t.Error(err)
		}
	})
}

func TestLockDirCancelled(t *testing.T) {
	t.Parallel()
	o := options(t)
	f := leftover(t, o.Dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockDir(ctx, o, leftoverWait); !isCancelled(err) || errors.Is(err, ErrInUse) {
		t.Errorf("cancelled: %v", err)
	}
	_ = f.Close()
	l, err := lockDir(t.Context(), o, 0)
	if err != nil {
		t.Fatalf("a cancelled wait keeps a lock: %v", err)
	}
	l.release()
}
