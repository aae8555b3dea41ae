package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// mariadbProgram: 10.6 brought SKIP LOCKED.
var mariadbProgram = program{
	title:    "MariaDB",
	names:    []string{"mariadbd"},
	pkg:      "mariadb-server-core",
	pkgPath:  "usr/sbin/mariadbd",
	major:    10,
	minor:    6,
	versions: regexp.MustCompile(`Ver (\d+)\.(\d+)\.\d+-MariaDB`),
}

// MariaDB is a running private MariaDB.
type MariaDB struct {
	sqlServer
}

// StartMariaDB starts a private MariaDB on a unix socket, with its data kept in
// o.Dir; a new directory gets the system tables first. ctx bounds the start,
// not the server's life. The error wraps ErrUnavailable where there is no
// MariaDB to be had, and ErrInUse where the directory is taken.
func StartMariaDB(ctx context.Context, o Options) (*MariaDB, error) {
	m, err := startMariaDB(ctx, thisHost(), o)
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	return m, nil
}

func startMariaDB(ctx context.Context, h host, o Options) (*MariaDB, error) {
	o, err := o.prepare()
	if err != nil {
		return nil, err
	}
	exe, err := h.find(ctx, o, mariadbProgram)
	if err != nil {
		return nil, err
	}
	share, err := mariadbShare(exe)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, o, leftoverWait)
	if err != nil {
		return nil, err
	}
	m, err := runMariaDB(ctx, exe, share, o, lock)
	if err != nil {
		lock.release() // harmless if the server's end did it already
		return nil, err
	}
	return m, nil
}

// runMariaDB starts the server in a directory that is locked.
func runMariaDB(ctx context.Context, exe *executable, share string, o Options, lock *dirLock) (*MariaDB, error) {
	if err := os.MkdirAll(mariadbTmp(o), 0o700); err != nil {
		return nil, err
	}
	data := filepath.Join(o.Dir, "data")
	if err := bootstrap(ctx, exe, share, data, o, lock); err != nil {
		return nil, err
	}
	server, err := runSQL(ctx, "mariadb", exe, append(mariadbFlags(share, data, o),
		// A long IN list would become a derived table, and under FOR UPDATE a
		// whole index may be scanned and locked.
		"--in-predicate-conversion-threshold=0",
	), o, lock)
	if err != nil {
		return nil, err
	}
	return &MariaDB{server}, nil
}

// mariadbFlags are the flags that bootstrap and server share; the first of
// them must stay the first.
func mariadbFlags(share, data string, o Options) []string {
	flags := []string{
		"--no-defaults",
		"--datadir=" + data,
		// At its start a server removes what looks like temporary tables, also
		// those of another server.
		"--tmpdir=" + mariadbTmp(o),
		"--lc-messages-dir=" + share,
		"--character-sets-dir=" + filepath.Join(share, "charsets"),
	}
	if os.Getuid() == 0 {
		flags = append(flags, "--user=root") // it refuses to run as root unless told
	}
	return flags
}

func mariadbTmp(o Options) string { return filepath.Join(o.Dir, "tmp") }
