package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// Store is a running server for rows: a MariaDB or a MySQL.
type Store interface {
	service

	// DSN returns the address of a database as go-sql-driver takes it: user
	// root, without a password, on the private socket. It sets nothing else.
	// The database need not exist; with an empty name none is selected.
	DSN(database string) string
}

// testStoreVar chooses the store of tests: mariadb, which is the default, or
// mysql.
const testStoreVar = "SPONGE_TEST_STORE"

// StartTestStore starts the store that SPONGE_TEST_STORE chooses: all tests
// that need any store use it, so that one variable runs them all against the
// other one. "mariadb" or nothing is a MariaDB, "mysql" a MySQL; anything else
// is an error.
func StartTestStore(ctx context.Context, o Options) (Store, error) {
	start, err := testStore(os.Getenv(testStoreVar))
	if err != nil {
		return nil, err
	}
	return start(ctx, o)
}

func testStore(name string) (func(context.Context, Options) (Store, error), error) {
	switch name {
	case "", "mariadb":
		return func(ctx context.Context, o Options) (Store, error) { return asStore(StartMariaDB(ctx, o)) }, nil
	case "mysql":
		return func(ctx context.Context, o Options) (Store, error) { return asStore(StartMySQL(ctx, o)) }, nil
	default:
		return nil, fmt.Errorf("local: %s=%q: want mariadb or mysql", testStoreVar, name)
	}
}

// asStore keeps a nil pointer from becoming a Store that is not nil.
func asStore[S Store](s S, err error) (Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// sqlServer is a process that speaks MySQL's protocol on its socket.
type sqlServer struct{ *process }

// runSQL starts a server in a directory that is locked, with flags of its own
// and those that are the same for both kinds.
func runSQL(ctx context.Context, name string, exe *executable, flags []string, o Options, lock *dirLock) (sqlServer, error) {
	socket, err := socketPath(o.Dir, name+".sock")
	if err != nil {
		return sqlServer{}, err
	}
	o.Progress("starting " + name)
	cmd := exe.command(append(flags,
		"--socket="+socket,
		"--pid-file="+filepath.Join(o.Dir, name+".pid"),
		"--skip-networking",
		"--skip-name-resolve",
		"--skip-log-bin",
		"--character-set-server=utf8mb4",
		"--collation-server=utf8mb4_unicode_ci",
		"--innodb-flush-log-at-trx-commit=1",
		"--innodb-buffer-pool-size="+strconv.FormatInt(o.BufferPool, 10),
		"--max-connections=500",
		"--innodb-print-all-deadlocks=ON", // to its log: they are meant to be rare
		"--max-allowed-packet=64M",
	)...)
	// SIGTERM: a server that shuts down cleanly starts again without recovery.
	p, err := startProcess(name, cmd, socket, syscall.SIGTERM, lock)
	if err != nil {
		return sqlServer{}, err
	}
	s := sqlServer{p}
	if err := p.awaitReady(ctx, s.ping); err != nil {
		return sqlServer{}, err
	}
	o.Log.Info(name+" runs", "pid", p.PID(), "socket", socket, "executable", exe.path)
	return s, nil
}

// DSN implements Store.
func (s sqlServer) DSN(database string) string {
	c := s.config()
	c.DBName = database
	return c.FormatDSN()
}

func (s sqlServer) config() *mysql.Config {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr = "root", "unix", s.socket
	return c
}

// ping asks the server for an answer on a connection of its own. The driver
// must not print what it thinks of a server that is still starting.
func (s sqlServer) ping(ctx context.Context) error {
	c := s.config()
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	return errors.Join(db.PingContext(ctx), db.Close())
}
