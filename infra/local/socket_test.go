package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketPathRemovesStaleSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, dir := range []string{dir, filepath.Join(dir, strings.Repeat("d", 100))} {
		for range 2 { // the folder of the second time is the first's leftover
			path, err := socketPath(dir, "s.sock")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(path); err == nil {
				t.Error("stale socket still there")
			}
			writeFile(t, path, "", 0o600)
			defer removeSocket(path, dir)
		}
	}
}

func TestSocketPathPerDirectory(t *testing.T) {
	t.Parallel()
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	seen := make(map[string]bool)
	for _, dir := range []string{long + "1", long + "2", long + "("} {
		path, err := socketPath(dir, "s.sock")
		if err != nil {
			t.Fatal(err)
		}
		defer removeSocket(path, dir)
		if seen[path] || len(path) > socketMax {
			t.Errorf("path %q", path)
		}
		seen[path] = true
	}
}

// The system's temporary folder may itself be too deep.
func TestSocketPathInLongTemporaryFolder(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("t", 100))
	t.Setenv("TMPDIR", deep)
	path, err := socketPath(filepath.Join(deep, "dir"), "s.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer removeSocket(path, deep)
	if !strings.HasPrefix(path, "/tmp/sponge-") || len(path) > socketMax {
		t.Errorf("path %q", path)
	}
}

// Anyone may have made a folder of that name below the temporary one.
func TestPrivateDirRefusesOthers(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	open, link, file := filepath.Join(base, "open"), filepath.Join(base, "link"), filepath.Join(base, "file")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, "", 0o600)
	if err := privateDir(open); err != nil {
		t.Errorf("own private folder: %v", err)
	}
	wantText(t, privateDir(link), link)
	wantText(t, privateDir(file), file)
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	wantText(t, privateDir(open), open)
}
