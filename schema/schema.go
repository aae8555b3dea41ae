// Package schema holds the MySQL migrations and applies them. The SQL is the
// subset that MySQL 8/9 and MariaDB 10.11 share. Migrations that were released
// are never edited; each has a working down.
//
// It must not know what the rows mean.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strconv"

	driver "github.com/go-sql-driver/mysql"
	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database/mysql"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

//go:embed migrations/*.sql
var files embed.FS

// Up makes the DSN's database if it is missing and applies every migration
// that it lacks. It returns the version it is at. Safe to run by several
// processes at once: the migrations hold a lock.
func Up(ctx context.Context, dsn string) (version uint, err error) {
	if err := create(ctx, dsn); err != nil {
		return 0, err
	}
	return apply(ctx, dsn, (*migrate.Migrate).Up)
}

// Down takes every migration back, which drops all data.
func Down(ctx context.Context, dsn string) error {
	_, err := apply(ctx, dsn, (*migrate.Migrate).Down)
	return err
}

// Tables counts the tables of the DSN's database, of whatever kind; there is none
// where the database is missing.
func Tables(ctx context.Context, dsn string) (tables int, exists bool, err error) {
	err = onServer(dsn, func(db *sql.DB, name string) error {
		if exists, err = hasDatabase(ctx, db, name); err != nil {
			return err
		}
		err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ?", name).Scan(&tables)
		if err != nil {
			return fmt.Errorf("tables of database %s: %w", name, err)
		}
		return nil
	})
	return tables, exists, err
}

// Forget removes what Down leaves: the table in which migrations are noted.
func Forget(ctx context.Context, dsn string) error {
	return onServer(dsn, func(db *sql.DB, name string) error {
		if _, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS `"+name+"`.schema_migrations"); err != nil {
			return fmt.Errorf("drop table schema_migrations: %w", err)
		}
		return nil
	})
}

// Drop removes the DSN's database with all that is in it.
func Drop(ctx context.Context, dsn string) error {
	return onServer(dsn, func(db *sql.DB, name string) error {
		if _, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS `"+name+"`"); err != nil {
			return fmt.Errorf("drop database %s: %w", name, err)
		}
		return nil
	})
}

func create(ctx context.Context, dsn string) error {
	return onServer(dsn, func(db *sql.DB, name string) error {
		if found, err := hasDatabase(ctx, db, name); found || err != nil {
			return err
		}
		_, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS `"+name+"` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
		if err != nil {
			return fmt.Errorf("create database %s: %w", name, err)
		}
		return nil
	})
}

func hasDatabase(ctx context.Context, db *sql.DB, name string) (bool, error) {
	var found int
	err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", name).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look for database %s: %w", name, err)
	}
	return found > 0, nil
}

// onServer runs work on the DSN's server, in no database; name is the DSN's.
func onServer(dsn string, work func(db *sql.DB, name string) error) error {
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		return errors.New("this is no DSN: user:password@tcp(host:3306)/sponge is one") // err may hold the password
	}
	name := cfg.DBName
	if name == "" {
		return errors.New("the DSN names no database: user:password@tcp(host:3306)/sponge")
	}
	cfg.DBName = ""
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	return work(db, name)
}

func apply(ctx context.Context, dsn string, step func(*migrate.Migrate) error) (uint, error) {
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		return 0, err
	}
	cfg.MultiStatements = true
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return 0, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return 0, fmt.Errorf("reach MySQL: %w", err)
	}
	target, err := mysql.WithInstance(db, &mysql.Config{DatabaseName: cfg.DBName})
	if err != nil {
		return 0, err
	}
	source, err := iofs.New(files, "migrations")
	if err != nil {
		return 0, err
	}
	m, err := migrate.NewWithInstance("embedded", source, "mysql", target)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	if err := step(m); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	version, dirty, err := m.Version()
	switch {
	case errors.Is(err, migrate.ErrNilVersion):
		return 0, nil
	case err != nil:
		return 0, err
	case dirty:
		return 0, errors.New("migration " + strconv.Itoa(int(version)) + " failed half way: mend the schema, then set schema_migrations.dirty to 0")
	}
	return version, nil
}
