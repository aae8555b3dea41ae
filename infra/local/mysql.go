package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// mysqlProgram: 8.0 brought SKIP LOCKED. No release of Debian has MySQL, only
// its unstable suite. What begins with M after the version is a MariaDB.
var mysqlProgram = program{
	title:    "MySQL",
	names:    []string{"mysqld"},
	pkg:      "mysql-server-core",
	pkgPath:  "usr/sbin/mysqld",
	major:    8,
	minor:    0,
	versions: regexp.MustCompile(`Ver (\d+)\.(\d+)\.\d+(?:-[^M\s]\S*)? for `),
	suite:    "sid",
}

// MySQL is a running private MySQL.
type MySQL struct {
	sqlServer
}

// StartMySQL starts a private MySQL as StartMariaDB does a MariaDB. Where this
// machine has none, it is the one of Debian's unstable suite with all its
// libraries: that suite moves, so this is a best effort, for tests that look
// whether the SQL suits both. The error wraps ErrUnavailable where there is no
// MySQL to be had, and ErrInUse where the directory is taken.
func StartMySQL(ctx context.Context, o Options) (*MySQL, error) {
	m, err := startMySQL(ctx, thisHost(), o)
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	return m, nil
}

func startMySQL(ctx context.Context, h host, o Options) (*MySQL, error) {
	o, err := o.prepare()
	if err != nil {
		return nil, err
	}
	exe, err := h.find(ctx, o, mysqlProgram)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, o, leftoverWait)
	if err != nil {
		return nil, err
	}
	m, err := runMySQL(ctx, exe, o, lock)
	if err != nil {
		lock.release() // harmless if the server's end did it already
		return nil, err
	}
	return m, nil
}

// runMySQL starts the server in a directory that is locked.
func runMySQL(ctx context.Context, exe *executable, o Options, lock *dirLock) (*MySQL, error) {
	tmp := filepath.Join(o.Dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, err
	}
	data := filepath.Join(o.Dir, "data")
	if err := initialize(ctx, exe, data, tmp, o, lock); err != nil {
		return nil, err
	}
	server, err := runSQL(ctx, "mysql", exe, append(mysqlFlags(exe, data, tmp), "--mysqlx=OFF"), o, lock)
	if err != nil {
		return nil, err
	}
	return &MySQL{server}, nil
}

// initialize makes the data directory with the system tables, unless it is
// there. The server has no scripts for that, it knows by itself.
func initialize(ctx context.Context, exe *executable, data, tmp string, o Options, lock *dirLock) error {
	return makeData(ctx, "mysql", data, o, lock, func(made string) (*exec.Cmd, error) {
		return exe.command(append(mysqlFlags(exe, made, tmp), "--initialize-insecure")...), nil // root without a password
	})
}

// mysqlFlags are the flags that initialization and server share; the first of
// them must stay the first.
func mysqlFlags(exe *executable, data, tmp string) []string {
	flags := []string{
		"--no-defaults",
		"--basedir=" + exe.prefix,
		"--datadir=" + data,
		"--tmpdir=" + tmp,
		"--lc-messages-dir=" + filepath.Join(exe.prefix, "share", "mysql"),
		"--character-sets-dir=" + filepath.Join(exe.prefix, "share", "mysql", "charsets"),
		"--plugin-dir=" + filepath.Join(exe.prefix, "lib", "mysql", "plugin"),
		"--secure-file-priv=NULL",
	}
	if os.Getuid() == 0 {
		flags = append(flags, "--user=root") // it refuses to run as root unless told
	}
	return flags
}
