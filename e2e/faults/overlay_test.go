package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// edit is one change of the sources as a build sees them; the files themselves
// are never touched.
type edit struct {
	// file is relative to the module, or to GOROOT where it begins with
	// GOROOT/.
	file string
	// old occurs exactly once in file, so that a change of the product which an
	// edit no longer fits is an error; it becomes new.
	old, new string
	// add, instead of old and new, is the test data that a file consists of
	// which does not exist.
	add string
}

// overlayFiles is what the edited files hold, by their absolute paths. Edits of
// the same file are made one after another.
func overlayFiles(ctx context.Context, edits []edit) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range edits {
		path, err := overlayPath(ctx, e.file)
		if err != nil {
			return nil, err
		}
		text, seen := files[path]
		switch {
		case e.add != "":
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("%s is to be added, but exists already (%v)", e.file, err)
			}
			added, err := os.ReadFile(e.add)
			if err != nil {
				return nil, err
			}
			files[path] = string(added)
			continue
		case !seen:
			read, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			text = string(read)
		}
		if n := strings.Count(text, e.old); e.old == "" || n != 1 {
			return nil, fmt.Errorf("%s holds this %d times instead of once; make the edit anew:\n%s", e.file, n, e.old)
		}
		files[path] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

func overlayPath(ctx context.Context, file string) (string, error) {
	if std, ok := strings.CutPrefix(file, "GOROOT/"); ok {
		root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return "", fmt.Errorf("go env GOROOT: %w", err)
		}
		return filepath.Join(strings.TrimSpace(string(root)), std), nil
	}
	return filepath.Abs(filepath.Join("..", "..", file)) // tests run in their package's folder
}
