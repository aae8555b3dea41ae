package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sponge/pkg/bench"
)

func TestRoleRunsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	r, err := startRole(t.TempDir(), "sh", "/bin/sh", os.Environ(), "-c", `trap 'kill $!; exit 0' TERM; echo preparing; tail -f /dev/null & echo ready sh; wait`)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.waitReady(t.Context()), r.dead()); err != nil {
		t.Error(err)
	}
	if err := stopAll([]*role{r}); err != nil {
		t.Error(err)
	}
	if r.dead() == nil {
		t.Error("it is gone, and does not look so")
	}
}

func TestRoleThatEndsSaysWhy(t *testing.T) {
	t.Parallel()
	r, err := startRole(t.TempDir(), "sh", "/bin/sh", os.Environ(), "-c", "echo no such key >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{r.waitReady(t.Context()), r.stop()} {
		if err == nil || !strings.Contains(err.Error(), "no such key") || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("%v", err)
		}
	}
}

// program is a script in place of sponge.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBenchRunsBesideEachOther(t *testing.T) {
	t.Parallel()
	// Each waits for the other, then prints its options' last as a count.
	dir := t.TempDir()
	script := program(t, `for n; do :; done; touch `+dir+`/$n; until [ -e `+dir+`/1 ] && [ -e `+dir+`/2 ]; do :; done
echo "{\"case\":\"$2\",\"sent\":$n,\"acked\":$n,\"began\":$(date +%s)000,\"seconds\":0.001,\"errors\":{\"503\":$n},\"ackedPerSecond\":$n,\"bytesPerConnection\":$n,\"ackMs\":{\"p99\":$n}}"`)
	loads := []*load{{args: []string{"idle"}, addr: "1"}, {args: []string{"idle"}, addr: "2"}}
	r, err := runBench(t.Context(), script, loads, []*process{{name: "edge", pid: os.Getpid()}})
	if err != nil || r.Error != "" {
		t.Fatalf("%v, %s", err, r.Error)
	}
	if b := r.Bench; b.Case != "idle" || b.Sent != 3 || b.Acked != 3 || b.Errors["503"] != 3 || b.AckedPerSecond != 3 || b.BytesPerConnection != 1 || b.AckMs.P99 != 2 {
		t.Errorf("%+v", b)
	}
	if r.Resident["edge"] == 0 || len(r.Cores) != 3 {
		t.Errorf("%v, %v", r.Resident, r.Cores)
	}
}

func TestBenchThatDoesNotBalanceKeepsItsResult(t *testing.T) {
	t.Parallel()
	script := program(t, `echo "{\"case\":\"chat\",\"lost\":4,\"began\":1,\"seconds\":1}"; echo 4 lost >&2; exit 1`)
	r, err := runBench(t.Context(), script, []*load{{args: []string{"chat"}}}, nil)
	if err != nil || r.Bench.Lost != 4 || !strings.Contains(r.Error, "4 lost") {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestBenchThatFails(t *testing.T) {
	t.Parallel()
	script := program(t, `echo no edge there >&2; exit 1`)
	if _, err := runBench(t.Context(), script, []*load{{args: []string{"chat"}}}, nil); err == nil || !strings.Contains(err.Error(), "no edge there") {
		t.Errorf("%v", err)
	}
	if _, err := runBench(t.Context(), filepath.Join(t.TempDir(), "none"), []*load{{}}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestMergeOfOneIsItself(t *testing.T) {
	t.Parallel()
	one := bench.Result{Case: "chat", Sent: 5, Began: 7, AckMs: bench.Quantiles{P50: 3}}
	if got := merge([]bench.Result{one}); got.Sent != 5 || got.Began != 7 || got.AckMs.P50 != 3 {
		t.Errorf("%+v", got)
	}
}

func TestCommitIsBuiltAside(t *testing.T) {
	t.Parallel()
	root, dir := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		t.Helper()
		if _, err := output(t.Context(), root, "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	main := func(says string) {
		write("cmd/sponge/main.go", "package main\n\nfunc main() { print(\""+says+"\") }\n")
	}
	write("go.mod", "module sponge\n")
	main("old")
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "old")
	main("new")
	worktree, binary := filepath.Join(dir, "tree"), filepath.Join(dir, "sponge")
	if err := compileCommit(t.Context(), root, worktree, "HEAD", binary); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(binary).CombinedOutput(); err != nil || string(said) != "old" {
		t.Errorf("the commit says %q, %v", said, err)
	}
	if _, err := os.Stat(worktree); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the work tree is still there: %v", err)
	}
	if err := compileCommit(t.Context(), root, worktree, "nothing", binary); err == nil {
		t.Error("there is no such commit")
	}
}
