package local

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// listsFresh is how long package lists are believed: servers drop the packages
// of old lists.
const listsFresh = time.Hour

// debianKeys are the keys that Debian signs its archive with.
const debianKeys = "/usr/share/keyrings/debian-archive-keyring.gpg"

// download gets pkg and all that it depends on, and returns the files.
func (c *aptCache) download(ctx context.Context, pkg, archives string) ([]string, error) {
	options, err := c.options(archives)
	if err != nil {
		return nil, err
	}
	var problems []string
	updated := filepath.Join(c.dir, "apt", "updated")
	info, err := os.Stat(updated)
	fresh := err == nil && time.Since(info.ModTime()) < listsFresh
	if !fresh {
		c.progress("fetching the package lists")
		// A failure may be of one source of several: what counts is whether the
		// package can be had.
		out, err := c.run(ctx, c.aptGet, append(options, "update")...)
		if err != nil {
			problems = append(problems, aptProblem("apt-get update", out, err))
		}
	}
	c.progress("fetching " + pkg)
	if out, err := c.run(ctx, c.aptGet, append(options, "install", "--download-only", pkg)...); err != nil {
		_ = os.Remove(updated) // the lists may be why: do not believe them next time
		problems = append(problems, aptProblem("apt-get install --download-only", out, err))
		return nil, errors.New(strings.Join(problems, "; "))
	}
	if !fresh { // they were good enough
		if err := os.WriteFile(updated, nil, 0o644); err != nil {
			return nil, err
		}
	}
	debs, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err == nil && len(debs) == 0 {
		err = errors.New("apt-get downloaded nothing")
	}
	return debs, err
}

// options let apt work on private lists and an empty record of what is
// installed: so it needs no root and no up-to-date lists, is not stopped by a
// conflict with what this system has, and the copy still works when the
// system's libraries change. Sources and keys are the system's; another suite
// has a source of its own, checked with the system's keys.
func (c *aptCache) options(archives string) ([]string, error) {
	apt := filepath.Join(c.dir, "apt")
	lists, status := filepath.Join(apt, "state", "lists"), filepath.Join(apt, "status")
	for _, dir := range []string{filepath.Join(lists, "partial"), filepath.Join(archives, "partial")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	options := []string{"-q", "-y"}
	if c.suite != "" {
		sources := filepath.Join(apt, "sources.list")
		text := "deb [signed-by=" + debianKeys + "] http://deb.debian.org/debian " + c.suite + " main\n"
		if err := os.WriteFile(sources, []byte(text), 0o644); err != nil {
			return nil, err
		}
		options = append(options, "-o", "Dir::Etc::sourcelist="+sources, "-o", "Dir::Etc::sourceparts=/dev/null")
	}
	for _, o := range []string{
		"Dir::State=" + filepath.Join(apt, "state"),
		"Dir::State::Lists=" + lists,
		"Dir::State::status=" + status,
		"Dir::Cache=" + apt,
		"Dir::Cache::archives=" + archives,
		"Dir::Cache::pkgcache=",
		"Dir::Cache::srcpkgcache=",
		"Debug::NoLocking=1",      // the cache's own lock is held
		"APT::Sandbox::User=root", // no other user could write here
		"APT::Install-Recommends=false",
		"Acquire::Languages=none",
		"Acquire::Retries=1",
		"Acquire::http::Timeout=20",
		"Acquire::https::Timeout=20",
	} {
		options = append(options, "-o", o)
	}
	return options, nil
}

// run runs a command of the package system and returns what it printed.
func (c *aptCache) run(ctx context.Context, path string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(),
		"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "PATH="+strings.Join(c.host.path, string(filepath.ListSeparator)))
	cmd.Stdout, cmd.Stderr = &out, &out
	err := runCommand(ctx, cmd)
	return out.Bytes(), err
}

// aptProblem picks apt's own reasons out of its output.
func aptProblem(what string, out []byte, err error) string {
	var reasons []string
	for line := range strings.Lines(string(out)) {
		if reason, ok := strings.CutPrefix(strings.TrimSpace(line), "E: "); ok {
			reasons = append(reasons, reason)
		}
	}
	if len(reasons) == 0 {
		reasons = append(reasons, err.Error()+": "+lastLines(out, 1))
	}
	return what + ": " + strings.Join(reasons, ", ")
}
