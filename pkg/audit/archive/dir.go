package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tempPrefix begins the name of a file that is being written. No name of an
// archive begins with it.
const tempPrefix = ".unfinished-"

// tempAge is after what time such a file is taken for that of a process that
// died. A blob is written in minutes.
const tempAge = 24 * time.Hour

// dir is a Store in a directory. A blob is written under a temporary name in
// the directory itself, and gets its own by a hard link: unlike a rename, that
// never takes another's place.
type dir struct{ root string }

func openDir(root string, create bool) (*dir, error) {
	if create {
		if err := os.MkdirAll(root, 0o750); err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("archive: %s is no directory", root)
	}
	d := &dir{root: filepath.Clean(root)}
	if create {
		d.sweep(time.Now())
	}
	return d, nil
}

// sweep removes what processes left that died. What it cannot remove does no
// harm.
func (d *dir) sweep(now time.Time) {
	left, _ := filepath.Glob(filepath.Join(d.root, tempPrefix+"*"))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && now.Sub(info.ModTime()) > tempAge {
			os.Remove(path)
		}
	}
}

func (d *dir) String() string { return d.root }

func (d *dir) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// Create implements Store.
func (d *dir) Create(context.Context) (Blob, error) {
	f, err := os.CreateTemp(d.root, tempPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return &dirBlob{d: d, f: f}, nil
}

// Open implements Store.
func (d *dir) Open(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, notFound(name, err)
	}
	return f, nil
}

// Size implements Store.
func (d *dir) Size(_ context.Context, name string) (int64, error) {
	info, err := os.Stat(d.path(name))
	if err != nil {
		return 0, notFound(name, err)
	}
	return info.Size(), nil
}

func notFound(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return fmt.Errorf("archive: %w", err)
}

// Names implements Store.
func (d *dir) Names(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var names []string
		at, _, _ := cutLast(prefix)
		err := filepath.WalkDir(d.path(at), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					return nil // nothing there yet, or a temporary file that went
				}
				return err
			}
			name, err := filepath.Rel(d.root, path)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			if !entry.IsDir() && strings.HasPrefix(name, prefix) && !strings.HasPrefix(entry.Name(), tempPrefix) {
				names = append(names, name)
			}
			return ctx.Err()
		})
		if err != nil {
			yield("", fmt.Errorf("archive: list %s: %w", d.root, err))
			return
		}
		slices.Sort(names) // the walk puts a/b behind a.b, unlike a bucket
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// cutLast splits a name at its last slash.
func cutLast(name string) (before, after string, found bool) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:], true
	}
	return "", name, false
}

type dirBlob struct {
	d    *dir
	f    *os.File
	done bool
}

// Write implements io.Writer.
func (b *dirBlob) Write(p []byte) (int, error) { return b.f.Write(p) }

// Abort implements Blob.
func (b *dirBlob) Abort() {
	if !b.done {
		b.done = true
		b.f.Close()
		os.Remove(b.f.Name())
	}
}

// Commit implements Blob.
func (b *dirBlob) Commit(_ context.Context, name string) error {
	defer b.Abort()
	if err := b.f.Sync(); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if err := b.f.Chmod(0o440); err != nil { // never to be written again
		return fmt.Errorf("archive: %w", err)
	}
	path := b.d.path(name)
	if err := b.d.makeParent(path); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if err := os.Link(b.f.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %s", ErrExists, name)
		}
		return fmt.Errorf("archive: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		os.Remove(path) // nobody knows whether it would survive
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// makeParent makes the directories above path, and each durable in its own.
func (d *dir) makeParent(path string) error {
	parent := filepath.Dir(path)
	if parent == d.root || len(parent) <= len(d.root) {
		return nil
	}
	if err := d.makeParent(parent); err != nil {
		return err
	}
	if err := os.Mkdir(parent, 0o750); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(parent))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readAll reads a small blob whole. One that is larger than most is cut, which
// no hash forgives.
func readAll(ctx context.Context, s Store, name string, most int64) ([]byte, error) {
	r, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(bufio.NewReader(r), most))
	if err != nil {
		return nil, fmt.Errorf("archive: read %s: %w", name, err)
	}
	return b, nil
}
