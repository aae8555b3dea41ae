package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// parentVar makes the test binary a small program that starts the services
// below the named folder, says so, and then waits to be killed.
const parentVar = "SPONGE_LOCAL_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVar); dir != "" {
		if err := runParent(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	_, errKafka := testKafkaConfig(os.Getenv(testServicesVar))
	_, errStore := testStore(os.Getenv(testStoreVar))
	if err := errors.Join(errKafka, errStore); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// options are those of a service of its own for a test, small in memory.
func options(t *testing.T) Options {
	t.Helper()
	return Options{
		Dir:        t.TempDir(),
		BufferPool: 16 << 20,
		Progress:   func(step string) { t.Log(step) },
	}
}

// limit bounds what must not take long.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// stopAtEnd kills a server that the test left running, before its directory
// is removed.
func stopAtEnd(t *testing.T, p *process) {
	t.Helper()
	t.Cleanup(p.Kill)
}

func mustMariaDB(t *testing.T, o Options) *MariaDB {
	t.Helper()
	m, err := StartMariaDB(limit(t), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, m.process)
	return m
}

func mustRedis(t *testing.T, o Options) *Redis {
	t.Helper()
	r, err := StartRedis(limit(t), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, r.process)
	return r
}

// writeFile writes a file and the folders above it.
func writeFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

// eventually polls where there is no signal to wait for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := limit(t); !ok(); {
		select {
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}
