package local

import (
	"context"
	"os"
	"testing"
	"time"
)

// startEachStore runs the test for each kind of store: a MariaDB, and a MySQL
// when SPONGE_TEST_STORE says so.
func startEachStore(t *testing.T, test func(t *testing.T, start func(Options) (Store, error))) {
	t.Parallel()
	kinds := []string{"mariadb"}
	if os.Getenv(testStoreVar) == "mysql" {
		kinds = append(kinds, "mysql")
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			start, err := testStore(kind)
			if err != nil {
				t.Fatal(err)
			}
			test(t, func(o Options) (Store, error) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // for the fetch, too
				defer cancel()
				s, err := start(ctx, o)
				if err == nil {
					t.Cleanup(s.Kill)
				}
				return s, err
			})
		})
	}
}

// Both kinds keep their data over a stop and over a crash, commit to the disk,
// and begin anew where a start was cut short.
func TestStoreKeepsData(t *testing.T) {
	startEachStore(t, func(t *testing.T, start func(Options) (Store, error)) {
		o := options(t)
		writeFile(t, o.Dir+"/data.new/ibdata1", "half", 0o600)
		s, err := start(o)
		if err != nil {
			t.Fatal(err)
		}
		execSQL(t, openDSN(t, s.DSN("")), "create database kept character set utf8mb4", "create table kept.t (v varchar(20))", "insert into kept.t values ('你好')")
		for _, end := range []func(){func() {
			if err := s.Stop(limit(t)); err != nil {
				t.Error(err)
			}
		}, func() { s.Kill() }} {
			end()
			if s, err = start(o); err != nil {
				t.Fatal(err)
			}
			var v string
			var flush int
			if err := openDSN(t, s.DSN("kept")).QueryRow("select v, @@innodb_flush_log_at_trx_commit from t").Scan(&v, &flush); err != nil || v != "你好" || flush != 1 {
				t.Errorf("%q, flush %d, %v", v, flush, err)
			}
		}
	})
}

func TestTestStore(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "mariadb", "mysql"} {
		if _, err := testStore(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	_, err := testStore("MySQL 9")
	wantText(t, err, `SPONGE_TEST_STORE="MySQL 9"`, "mariadb or mysql")
}

// One program's answer to --version must not pass for the other.
func TestMySQLVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))":                                    {"9", "7"},
		"mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)":                 {"8", "0"},
		"mysqld  Ver 8.0.45-0ubuntu0.24.04.1 for Linux on x86_64 ((Ubuntu))":                    {"8", "0"},
		"mysqld  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64 (Debian 12)":     {},
		"mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64 (Debian 12.1)": {},
	} {
		m := mysqlProgram.versions.FindStringSubmatch(text)
		if want[0] == "" && m != nil || want[0] != "" && (m == nil || m[1] != want[0] || m[2] != want[1]) {
			t.Errorf("%s: %q", text, m)
		}
	}
}
