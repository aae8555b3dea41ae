package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// manifest marks a complete tree and lists what is in it, one a line.
const manifest = ".packages"

// treeCache is a folder of trees that are slow to make. Each is made once,
// also by several processes at a time.
type treeCache struct {
	dir      string
	progress func(string)
}

// cache returns the cache with this name.
func (o Options) cache(name string) (treeCache, error) {
	dir := o.Cache
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return treeCache{}, err
		}
		dir = filepath.Join(base, "sponge")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return treeCache{}, err
	}
	return treeCache{dir: filepath.Join(dir, name), progress: o.Progress}, nil
}

// tree returns the folder of a tree. valid tells whether such a folder is of
// use: it is asked on each start, and a tree that fails is made anew, once.
// fill makes one in the empty folder root, and lists what it put there; tmp,
// the folder around it, is fill's to use, too.
func (c treeCache) tree(ctx context.Context, name string, valid func(root string) error,
	fill func(ctx context.Context, tmp, root string) ([]string, error)) (string, error) {
	root := filepath.Join(c.dir, name)
	usable := func() bool {
		_, err := os.Stat(filepath.Join(root, manifest))
		return err == nil && valid(root) == nil
	}
	if usable() {
		return root, nil
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", err
	}
	lock, err := openLock(filepath.Join(c.dir, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close() //nolint:errcheck // closing releases the lock
	if ok, err := tryLock(lock); err != nil {
		return "", err
	} else if !ok {
		c.progress("waiting for another process that fetches packages")
		if err := waitLock(ctx, lock); err != nil {
			return "", err
		}
	}
	if usable() { // another process was faster
		return root, nil
	}
	return root, c.make(ctx, name, valid, fill)
}

// make makes the tree in a folder of its own, which takes the tree's place when
// it is complete and valid. The caller holds the cache's lock.
func (c treeCache) make(ctx context.Context, name string, valid func(string) error,
	fill func(ctx context.Context, tmp, root string) ([]string, error)) error {
	if err := removeAll(filepath.Join(c.dir, name+".tmp-*")); err != nil { // of runs that were killed
		return err
	}
	tmp, err := os.MkdirTemp(c.dir, name+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // the next one tries again
	made := filepath.Join(tmp, "root")
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	list, err := fill(ctx, tmp, made)
	if err != nil {
		return err
	}
	text := strings.Join(list, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(made, manifest), []byte(text), 0o644); err != nil {
		return err
	}
	if err := valid(made); err != nil {
		return err
	}
	root := filepath.Join(c.dir, name)
	if err := os.Rename(root, filepath.Join(tmp, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(made, root)
}

func removeAll(pattern string) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}
