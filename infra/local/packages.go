package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// manifest marks a complete tree and lists the packages in it.
const manifest = ".packages"

// aptCache holds private copies of packages for one release of a distribution
// and one architecture.
type aptCache struct {
	host     host
	dir      string
	aptGet   string
	dpkgDeb  string
	progress func(string)
}

// fetched returns the folder of the unpacked package, with everything it
// depends on. valid tells whether such a folder is of use: it is asked on each
// start, and one that fails is made anew, once.
func (h host) fetched(ctx context.Context, o Options, pkg string, valid func(root string) error) (string, error) {
	c, err := h.aptCache(o)
	if err != nil {
		return "", err
	}
	root := filepath.Join(c.dir, pkg)
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
	if err := c.fetch(ctx, pkg, root, valid); err != nil {
		return "", fmt.Errorf("fetching %s: %w", pkg, err)
	}
	return root, nil
}

// aptCache says where this machine's private copies go, and fails where there
// can be none.
func (h host) aptCache(o Options) (*aptCache, error) {
	release, err := debianRelease(h.osRelease)
	if err != nil {
		return nil, err
	}
	c := &aptCache{host: h, progress: o.Progress}
	var ok bool
	if c.aptGet, ok = h.lookup("apt-get"); !ok {
		return nil, errors.New("no apt-get to fetch it with")
	}
	if c.dpkgDeb, ok = h.lookup("dpkg-deb"); !ok {
		return nil, errors.New("no dpkg-deb to unpack it with")
	}
	dir := o.Cache
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(base, "sponge")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	c.dir = filepath.Join(dir, release+"-"+runtime.GOARCH)
	return c, nil
}

// debianRelease returns the name of a Debian-like release, such as "debian-12".
func debianRelease(osRelease string) (string, error) {
	b, err := os.ReadFile(osRelease)
	if err != nil {
		return "", fmt.Errorf("unknown distribution: %w", err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	id := fields["ID"]
	if id != "debian" && !slices.Contains(strings.Fields(fields["ID_LIKE"]), "debian") {
		return "", fmt.Errorf("no private copy on %q, which is not Debian-like", id)
	}
	version := fields["VERSION_ID"]
	if version == "" { // testing and unstable have none
		version = fields["VERSION_CODENAME"]
	}
	return filepath.Base(id + "-" + version), nil
}

// fetch downloads and unpacks pkg into a folder of its own, which takes root's
// place when it is complete and valid. The caller holds the cache's lock.
func (c *aptCache) fetch(ctx context.Context, pkg, root string, valid func(string) error) error {
	if err := removeAll(filepath.Join(c.dir, pkg+".tmp-*")); err != nil { // of runs that were killed
		return err
	}
	tmp, err := os.MkdirTemp(c.dir, pkg+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // the next fetch tries again
	debs, err := c.download(ctx, pkg, filepath.Join(tmp, "archives"))
	if err != nil {
		return err
	}
	made := filepath.Join(tmp, "root")
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	var list strings.Builder
	for _, deb := range debs {
		name := filepath.Base(deb)
		// The C library must be the one that belongs to this machine's loader.
		if strings.HasPrefix(name, "libc6_") {
			continue
		}
		if out, err := c.run(ctx, c.dpkgDeb, "--extract", deb, made); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", name, err, lastLines(out, 1))
		}
		fmt.Fprintln(&list, strings.TrimSuffix(name, ".deb"))
	}
	if err := os.WriteFile(filepath.Join(made, manifest), []byte(list.String()), 0o644); err != nil {
		return err
	}
	if err := valid(made); err != nil {
		return err
	}
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
