package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// suite is what all tests share: one folder, one binary, and the clusters.
var suite struct {
	dir string

	mu sync.Mutex
	// mu guards the following.
	processes []*process     // all that were started, in order
	closers   []func() error // services to stop after the processes, last one first
	ports     map[int]bool   // those handed out by freePorts
	verified  []*roles       // whose rows must be what their log gives, in the end
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	// The tests wait for the program far more than they compute; but a few cores
	// that hash passwords for too many at once don't answer within 10 s.
	if parallel := flag.Lookup("test.parallel"); !isSet(parallel.Name) {
		at := "8"
		if raceEnabled {
			at = "4"
		}
		_ = parallel.Value.Set(at)
	}
	dir, err := os.MkdirTemp("", "sponge-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	suite.dir = dir
	suite.ports = make(map[int]bool)

	code := m.Run()
	if code == 0 {
		if err := verifyAll(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: after the tests:", err)
			code = 1
		}
	}
	if code != 0 {
		showLogs(40)
	}
	if err := shutDown(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: after the tests:", err)
		return 1
	}
	return code
}

// dependOnSources looks at the program's sources. The tests don't import them, so
// that "go test" would give a cached result for a program that has changed since;
// it does not for files and folders that the tests looked at. (What TestMain looks
// at before the tests does not count.)
func dependOnSources() error {
	return filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another package's tests have removed what they made
		} else if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != ".." && (name == "data" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		_, _ = os.Stat(path) // which "go test" sees
		return nil
	})
}

func isSet(name string) bool {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	if err := dependOnSources(); err != nil {
		return "", err
	}
	path := filepath.Join(suite.dir, "sponge")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "sponge/cmd/sponge")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go %v: %w\n%s", args, err, out)
	}
	return path, nil
})

// both runs a test against the two clusters: everything in one process ("up"),
// and each role in its own ("roles"), so that nothing passes by sharing memory.
func both(t *testing.T, test func(t *testing.T, c *cluster)) {
	t.Helper()
	t.Parallel()
	t.Run("up", func(t *testing.T) {
		t.Parallel()
		test(t, get(t, sharedUp))
	})
	t.Run("roles", func(t *testing.T) {
		t.Parallel()
		test(t, get(t, sharedRoles))
	})
}

// get unwraps a fixture that is made once.
func get[T any](t *testing.T, fixture func() (T, error)) T {
	t.Helper()
	v, err := fixture()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// shutDown stops everything that still runs, and fails for a process that did not
// end cleanly or whose log tells of a fault that no client saw.
func shutDown() error {
	suite.mu.Lock()
	processes, closers := suite.processes, suite.closers
	suite.mu.Unlock()

	errs := make([]error, len(processes))
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() { errs[i] = p.finish() })
	}
	wg.Wait()
	for i := len(closers) - 1; i >= 0; i-- {
		errs = append(errs, closers[i]())
	}
	for _, p := range processes {
		errs = append(errs, p.faults())
	}
	return errors.Join(errs...)
}

func showLogs(lines int) {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	for _, p := range suite.processes {
		fmt.Fprintf(os.Stderr, "--- %s: last lines\n%s\n", p.name, p.tail(lines))
	}
}
