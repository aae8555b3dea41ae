package local

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
)

func openDB(t *testing.T, m *MariaDB, database string) *sql.DB {
	t.Helper()
	return openDSN(t, m.DSN(database))
}

func openDSN(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = &mysql.NopLogger{} // servers end under their clients here
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execSQL(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestMariaDBKeepsDataOverRestart(t *testing.T) {
	t.Parallel()
	o := options(t)
	m := mustMariaDB(t, o)
	execSQL(t, openDB(t, m, ""), "create database kept", "create table kept.t (v varchar(20))", "insert into kept.t values ('你好')")
	if err := m.Stop(limit(t)); err != nil {
		t.Fatal(err)
	}
	if err := m.Err(); err != nil {
		t.Errorf("Err after Stop: %v", err)
	}

	m = mustMariaDB(t, o)
	var v string
	if err := openDB(t, m, "kept").QueryRow("select v from t").Scan(&v); err != nil || v != "你好" {
		t.Errorf("after restart: %q, %v", v, err)
	}
	if err := m.Stop(limit(t)); err != nil {
		t.Fatal(err)
	}
}

func TestMariaDBSettings(t *testing.T) {
	t.Parallel()
	o := options(t)
	m := mustMariaDB(t, o)
	db := openDB(t, m, "")
	for name, want := range map[string]string{
		"innodb_flush_log_at_trx_commit":    "1",
		"innodb_buffer_pool_size":           "16777216",
		"max_connections":                   "500",
		"max_allowed_packet":                "67108864",
		"in_predicate_conversion_threshold": "0",
		"character_set_server":              "utf8mb4",
		"tmpdir":                            filepath.Join(o.Dir, "tmp"),
		"skip_networking":                   "ON",
		"log_bin":                           "OFF",
		"socket":                            m.Socket(),
		"datadir":                           filepath.Join(o.Dir, "data") + "/",
	} {
		var got string
		if err := db.QueryRow("select variable_value from information_schema.global_variables where variable_name = ?", name).Scan(&got); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	var others int
	if err := db.QueryRow("select count(*) from mysql.global_priv where user = '' or host not in ('localhost', '127.0.0.1', '::1')").Scan(&others); err != nil || others != 0 {
		t.Errorf("%d accounts that nobody asked for, %v", others, err)
	}
	// An error's text comes from the messages file: the server found its own.
	_, err := db.Exec("select * from mysql.nothing")
	wantText(t, err, "Table 'mysql.nothing' doesn't exist")
}

func TestMariaDBRemakesHalfMadeDirectory(t *testing.T) {
	t.Parallel()
	o := options(t)
	writeFile(t, filepath.Join(o.Dir, "data.new", "ibdata1"), "half", 0o600)
	m := mustMariaDB(t, o)
	if err := openDB(t, m, "mysql").PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMariaDBStartFailureShowsItsLog(t *testing.T) {
	t.Parallel()
	o := options(t)
	writeFile(t, filepath.Join(o.Dir, "data", "ibdata1"), "no tablespace", 0o600)
	_, err := StartMariaDB(limit(t), o)
	wantText(t, err, "mariadb died", "exit status 1", "InnoDB", "Aborting")

	lock, err := lockDir(limit(t), o, 0)
	if err != nil {
		t.Fatalf("the directory is not free after a failed start: %v", err)
	}
	lock.release()
}

func TestMariaDBStartCancelled(t *testing.T) {
	t.Parallel()
	o := options(t)
	mustMariaDB(t, o).Kill() // what is cancelled below is not the fetch

	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(step string) {
		if step == "starting mariadb" {
			cancel()
		}
	}
	if _, err := StartMariaDB(ctx, o); !isCancelled(err) {
		t.Fatalf("start with a cancelled context: %v", err)
	}
	o.Progress = nil
	mustMariaDB(t, o)
}

// A server that takes the address literally and a driver that parses it must
// agree on it, whatever the directory is called.
func TestMariaDBInOddlyNamedDirectories(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "数据", "x(y)z@w?q=1%20#h", "it's", `q"q`} {
		o := options(t)
		o.Dir = filepath.Join(o.Dir, name)
		m := mustMariaDB(t, o)
		if c, err := mysql.ParseDSN(m.DSN("d")); err != nil || c.Addr != m.Socket() || c.DBName != "d" {
			t.Errorf("%q: DSN %q reads as %+v, %v", name, m.DSN("d"), c, err)
		}
		if err := m.Stop(limit(t)); err != nil {
			t.Error(err)
		}
	}
}
