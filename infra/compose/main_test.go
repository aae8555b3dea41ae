package compose_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"sponge/pkg/config"
)

// root is the repository.
const root = "../.."

// suite is what all tests share.
var suite struct{ dir string }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sponge-compose-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	suite.dir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// load reads compose.yml with every profile, as docker compose does; vars are
// what the shell has.
func load(t *testing.T, vars ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "compose.yml")}, cli.WithProfiles([]string{"*"}), cli.WithEnv(vars))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(suite.dir, "sponge")
	return path, run(context.Background(), root, nil, "go", "build", "-o", path, "./cmd/sponge")
})

// sponge is the path of the program.
func sponge(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a command to its end, with env besides this process's.
func run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	_, err := output(ctx, dir, env, name, args...)
	return err
}

// output is run, and what the command printed to stdout.
func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return string(out), errors.Join(fmt.Errorf("%s %q: %w", name, args, err), errors.New(errs.String()))
	}
	return string(out), nil
}

// loadConfig is a role's configuration with one variable set.
func loadConfig[T any, P interface {
	*T
	config.Validator
}](t *testing.T, name, value string) T {
	t.Helper()
	cfg, err := config.LoadFrom[T, P](map[string]string{name: value})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// nothing is a log that nobody reads.
func nothing() *slog.Logger { return slog.New(slog.DiscardHandler) }
