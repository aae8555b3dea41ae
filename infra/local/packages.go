package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// aptCache holds private copies of packages for one release of a distribution
// and one architecture.
type aptCache struct {
	treeCache
	host    host
	aptGet  string
	dpkgDeb string
	suite   string // "" is this machine's own sources
}

// fetched returns the folder of p's unpacked package, with everything it
// depends on. valid tells whether such a folder is of use: it is asked on each
// start, and one that fails is made anew, once.
func (h host) fetched(ctx context.Context, o Options, p program, valid func(root string) error) (string, error) {
	c, err := h.aptCache(o, p.suite)
	if err != nil {
		return "", err
	}
	root, err := c.tree(ctx, p.pkg, valid, func(ctx context.Context, tmp, root string) ([]string, error) {
		return c.unpack(ctx, p.pkg, tmp, root)
	})
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w", p.pkg, err)
	}
	return root, nil
}

// aptCache says where this machine's private copies from a suite of Debian, or
// from its own sources, go, and fails where there can be none.
func (h host) aptCache(o Options, suite string) (*aptCache, error) {
	release, err := debianRelease(h.osRelease)
	if err != nil {
		return nil, err
	}
	if suite != "" {
		release = "debian-" + suite
	}
	c := &aptCache{host: h, suite: suite}
	var ok bool
	if c.aptGet, ok = h.lookup("apt-get"); !ok {
		return nil, errors.New("no apt-get to fetch it with")
	}
	if c.dpkgDeb, ok = h.lookup("dpkg-deb"); !ok {
		return nil, errors.New("no dpkg-deb to unpack it with")
	}
	c.treeCache, err = o.cache(release + "-" + runtime.GOARCH)
	return c, err
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

// unpack downloads pkg with all that it depends on into tmp, unpacks them into
// root, and lists them.
func (c *aptCache) unpack(ctx context.Context, pkg, tmp, root string) ([]string, error) {
	debs, err := c.download(ctx, pkg, filepath.Join(tmp, "archives"))
	if err != nil {
		return nil, err
	}
	var list []string
	for _, deb := range debs {
		name := filepath.Base(deb)
		// The C library must be the one that belongs to the loader: this
		// machine's, or for another suite the one in the same package.
		if c.suite == "" && strings.HasPrefix(name, "libc6_") {
			continue
		}
		if out, err := c.run(ctx, c.dpkgDeb, "--extract", deb, root); err != nil {
			return nil, fmt.Errorf("unpack %s: %w: %s", name, err, lastLines(out, 1))
		}
		list = append(list, strings.TrimSuffix(name, ".deb"))
	}
	return list, nil
}
