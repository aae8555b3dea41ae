package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// build is a sponge that was built.
type build struct {
	label  string
	binary string
	grown  bool // on a store that was filled
}

// makeBuilds builds this tree and, if against is not empty, that commit.
func makeBuilds(ctx context.Context, dir, against string) ([]build, error) {
	mod, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	root := filepath.Dir(mod)
	label, err := output(ctx, root, "git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=7")
	if err != nil {
		return nil, err
	}
	tree := build{label: label, binary: filepath.Join(dir, "tree.bin")}
	if err := compile(ctx, root, tree.binary); err != nil || against == "" {
		return []build{tree}, err
	}
	other := build{binary: filepath.Join(dir, "against.bin")}
	other.label, err = output(ctx, root, "git", "rev-parse", "--short=7", "--verify", against+"^{commit}")
	if err != nil {
		return nil, err
	}
	if other.label == tree.label {
		other.label += " again" // what two measurements of the same differ by
	}
	return []build{tree, other}, compileCommit(ctx, root, filepath.Join(dir, "worktree"), against, other.binary)
}

// compileCommit builds a commit in a work tree that is gone afterwards.
func compileCommit(ctx context.Context, root, worktree, commit, binary string) (err error) {
	if _, err := output(ctx, root, "git", "worktree", "add", "--detach", worktree, commit); err != nil {
		return err
	}
	defer func() {
		_, removed := output(context.WithoutCancel(ctx), root, "git", "worktree", "remove", "--force", worktree)
		err = errors.Join(err, removed)
	}()
	return compile(ctx, worktree, binary)
}

func compile(ctx context.Context, root, binary string) error {
	_, err := output(ctx, root, "go", "build", "-buildvcs=false", "-o", binary, "./cmd/sponge")
	return err
}

// output runs a program to its end, in dir, and returns what it printed.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
