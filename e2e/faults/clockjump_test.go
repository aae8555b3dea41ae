//go:build faults

package faults

import (
	"bufio"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildClock builds the program with a wall clock that jumps on signals. A line
// of the program's stderr that holds clockLine says that it has. Processes that
// the program starts keep their time. The first build takes minutes, since all
// of the standard library is compiled anew.
func buildClock(ctx context.Context, dir string) (binary string, err error) {
	return buildOverlay(ctx, dir, "clock", clockEdits())
}

// clockLine is what the program writes when its clock was set.
const clockLine = `msg="wall clock set"`

// An edge that waits for Redis needs nothing to run, and has its log and its
// timers: it tries again and again, and says so.
func TestClockJumps(t *testing.T) {
	binary, err := buildClock(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := exec.CommandContext(t.Context(), binary, "keys").Output()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	edge := exec.CommandContext(ctx, binary, "edge")
	edge.Env = append(strings.Fields(string(keys)), "SPONGE_EDGE_LISTEN=127.0.0.1:0", "SPONGE_REDIS=redis://127.0.0.1:1/0")
	stderr, err := edge.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := edge.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = edge.Process.Kill()
		_ = edge.Wait()
	}()
	lines := bufio.NewScanner(stderr)
	line := func(with string) string {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), with) {
				return lines.Text()
			}
		}
		t.Fatalf("the program ended without %q", with)
		return ""
	}
	set := func(s syscall.Signal, jump time.Duration) {
		t.Helper()
		if err := edge.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		said := line(clockLine)
		if got := clockField[time.Duration](t, said, "jumped", time.ParseDuration); (got - jump).Abs() > time.Minute {
			t.Errorf("the wall clock jumped by %s, not %s: %s", got, jump, said)
		}
		for _, name := range []string{"elapsed", "since", "until"} {
			if got := clockField[time.Duration](t, said, name, time.ParseDuration); got < 0 || got > time.Minute {
				t.Errorf("the monotonic clock jumped: %s", said)
			}
		}
	}
	// What the program tells by itself, and that its timers go on.
	ahead := func(want time.Duration) {
		t.Helper()
		said := line("not yet able to reach Redis")
		at := clockField[time.Time](t, said, "time", func(s string) (time.Time, error) { return time.Parse(time.RFC3339, s) })
		if got := time.Until(at); (got - want).Abs() > time.Minute {
			t.Errorf("the log is %s ahead, not %s: %s", got, want, said)
		}
	}
	ahead(0)
	set(syscall.SIGUSR1, time.Hour)
	ahead(time.Hour)
	set(syscall.SIGUSR2, -time.Hour)
	ahead(0)
}

// clockField reads a field of a log line.
func clockField[T any](t *testing.T, line, name string, parse func(string) (T, error)) T {
	t.Helper()
	found := regexp.MustCompile(`(?:^|\s)` + name + `=(\S+)`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("no field %s: %s", name, line)
	}
	v, err := parse(found[1])
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return v
}
