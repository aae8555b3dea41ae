package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogTailIsOfThisRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "server.log")
	writeFile(t, path, "an earlier run\n", 0o600)
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if got := l.tail(); got != "(nothing)" {
		t.Errorf("tail of nothing: %q", got)
	}
	for i := range 1000 {
		if _, err := fmt.Fprintf(l.file, "line %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(l.tail(), "\n")
	if len(lines) != logTailLines || lines[0] != "line 988" || lines[len(lines)-1] != "line 999" {
		t.Errorf("tail: %q", lines)
	}
}

func TestLongLogIsPutAside(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "server.log")
	writeFile(t, path, "", 0o600)
	if err := os.Truncate(path, logKeep+1); err != nil {
		t.Fatal(err)
	}
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if old, err := os.Stat(path + ".old"); err != nil || old.Size() != logKeep+1 || l.start != 0 {
		t.Errorf("old log: %v, new one begins at %d", err, l.start)
	}
}
