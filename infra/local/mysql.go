package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
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
	socket, err := socketPath(o.Dir, "mysql.sock")
	if err != nil {
		return nil, err
	}
	o.Progress("starting mysql")
	cmd := exe.command(append(mysqlFlags(exe, data, tmp),
		"--socket="+socket,
		"--pid-file="+filepath.Join(o.Dir, "mysql.pid"),
		"--mysqlx=OFF",
		"--skip-networking",
		"--skip-name-resolve",
		"--skip-log-bin",
		"--character-set-server=utf8mb4",
		"--collation-server=utf8mb4_unicode_ci",
		"--innodb-flush-log-at-trx-commit=1",
		"--innodb-buffer-pool-size="+strconv.FormatInt(o.BufferPool, 10),
		"--max-connections=500",
		"--max-allowed-packet=64M",
	)...)
	// SIGTERM: a server that shuts down cleanly starts again without recovery.
	p, err := startProcess("mysql", cmd, socket, syscall.SIGTERM, lock)
	if err != nil {
		return nil, err
	}
	m := &MySQL{sqlServer{p}}
	if err := p.awaitReady(ctx, m.ping); err != nil {
		return nil, err
	}
	o.Log.Info("mysql runs", "pid", p.PID(), "socket", socket, "executable", exe.path)
	return m, nil
}

// initialize makes the data directory with the system tables, unless it is
// there: it is made aside and renamed when complete, so a half-made one never
// counts. The server has no scripts for that, it knows by itself.
func initialize(ctx context.Context, exe *executable, data, tmp string, o Options, lock *dirLock) error {
	if _, err := os.Stat(data); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	o.Progress("creating the mysql data directory")
	made := data + ".new"
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exe.command(append(mysqlFlags(exe, made, tmp), "--initialize-insecure")...) // root without a password
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.ExtraFiles = append(cmd.ExtraFiles, lock.server) // the next start waits for this one's end
	if err := runCommand(ctx, cmd); err != nil {
		return fmt.Errorf("create the mysql data directory: %w; it says:\n%s", err, lastLines(out.Bytes(), logTailLines))
	}
	return os.Rename(made, data)
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
