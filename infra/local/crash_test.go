package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// runParent starts the services, prints their process ids and the addresses of
// two, and waits for its end. (See TestMain.)
func runParent(dir string) error {
	ctx := context.Background()
	o := func(name string) Options {
		return Options{Dir: filepath.Join(dir, name), BufferPool: 16 << 20}
	}
	m, err := StartMariaDB(ctx, o("mariadb"))
	if err != nil {
		return err
	}
	r, err := StartRedis(ctx, o("redis"))
	if err != nil {
		return err
	}
	k, err := StartTestKafka(ctx, o("kafka"))
	if err != nil {
		return err
	}
	b, err := StartBalancer(ctx, o("balancer"), BalancerConfig{Backends: []string{k.Addr()}})
	if err != nil {
		return err
	}
	fmt.Println(m.PID(), r.PID(), k.PID(), b.PID(), m.DSN(""), k.Addr())
	select {}
}

// running reports whether a process runs. One that ended and that nobody has
// waited for, as happens where process 1 does not care, does not.
func running(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(state, []byte("Z"))
}

func TestKilledParentLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentVar+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()         //nolint:errcheck // it was killed, and waited for unless a test failed
	defer cmd.Process.Kill() //nolint:errcheck // or is already
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids [4]int
	var dsn, kafka string
	if _, err := fmt.Sscan(line, &pids[0], &pids[1], &pids[2], &pids[3], &dsn, &kafka); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	for _, pid := range pids {
		if !running(pid) {
			t.Fatalf("process %d of %v does not run", pid, pids)
		}
	}
	db := openDSN(t, dsn)
	execSQL(t, db, "create database kept", "create table kept.t (v int)", "insert into kept.t values (1)")
	createTopic(t, kafka, "kept")
	produce(t, kafka, "kept", "v")

	o := options(t)
	o.Dir = filepath.Join(dir, "mariadb")
	_, err = StartMariaDB(limit(t), o)
	if !errors.Is(err, ErrInUse) {
		t.Errorf("start beside another process: %v", err)
	}
	wantText(t, err, fmt.Sprintf("process %d", cmd.Process.Pid))

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// At once: whatever still shuts down is waited for.
	m := mustMariaDB(t, o)
	var v int
	if err := openDB(t, m, "kept").QueryRow("select v from t").Scan(&v); err != nil || v != 1 {
		t.Errorf("committed row after a kill: %d, %v", v, err)
	}
	o.Dir = filepath.Join(dir, "redis")
	mustRedis(t, o)
	o.Dir = filepath.Join(dir, "kafka")
	if got := consumeFirst(t, mustTestKafka(t, o).Addr(), "kept"); got != "v" {
		t.Errorf("acknowledged record after a kill: %q", got)
	}
	_ = cmd.Wait() // an embedded Kafka's process is the parent
	eventually(t, "the killed parent's servers are gone", func() bool {
		return !slices.ContainsFunc(pids[:], running)
	})
}

// The system tables are made by a child, too: its parent's death must leave a
// directory that the next start can use.
func TestKilledDuringBootstrap(t *testing.T) {
	t.Parallel()
	o := options(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(step string) {
		if strings.HasPrefix(step, "creating") {
			cancel()
		}
	}
	if _, err := StartMariaDB(ctx, o); !isCancelled(err) {
		t.Fatalf("start: %v", err)
	}
	o.Progress = nil
	mustMariaDB(t, o)
}
