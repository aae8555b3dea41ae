package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/go-sql-driver/mysql"

	"sponge/pkg/keys"
)

// secretsCommand makes what a deployment must keep to itself.
type secretsCommand struct {
	Dir   string `arg:"" help:"The folder. Files that are there already are kept, and an error."`
	MySQL string `name:"mysql" default:"mysql:3306" placeholder:"HOST:PORT" help:"Where the roles find MySQL, as user sponge."`
	Redis string `default:"redis:6379" placeholder:"HOST:PORT" help:"Where the roles find Redis."`
}

// Help is the long help.
func (secretsCommand) Help() string {
	return `Each file holds one value: worker_key and seal_key, as sponge keys prints them;
mysql_root_password, mysql_password and mysql_dsn; redis_password, redis_conf and
redis_url; grafana_password. The addresses are those of compose.yml by default.

The folder can be entered by its owner only. The files in it can be read by
whoever gets at them: compose hands a file on to a container with the rights
that it has, and the processes there are other users.`
}

// Run writes the files.
func (c *secretsCommand) Run() error {
	workerKey := keys.Generate()
	key, err := keys.ParseWorkerKey(workerKey)
	if err != nil {
		return err
	}
	my, redis := rand.Text(), rand.Text()
	dsn := mysql.NewConfig()
	dsn.User, dsn.Passwd, dsn.Net, dsn.Addr, dsn.DBName = "sponge", my, "tcp", c.MySQL, "sponge"
	link := url.URL{Scheme: "redis", User: url.UserPassword("", redis), Host: c.Redis, Path: "/0"}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	if err := os.Chmod(c.Dir, 0o700); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	files := []struct{ name, value string }{
		{"worker_key", workerKey}, {"seal_key", key.Seal().String()},
		{"mysql_root_password", rand.Text()}, {"mysql_password", my}, {"mysql_dsn", dsn.FormatDSN()},
		{"redis_password", redis}, {"redis_conf", "requirepass " + redis}, {"redis_url", link.String()},
		{"grafana_password", rand.Text()},
	}
	// All or none: a half of an old and a half of a new set would not fit.
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(c.Dir, f.name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("secrets: %s is there already, and services that were started with it need it", filepath.Join(c.Dir, f.name))
		}
	}
	for _, f := range files {
		if err := writeSecret(filepath.Join(c.Dir, f.name), f.value); err != nil {
			return fmt.Errorf("secrets: %w", err)
		}
	}
	fmt.Printf("made %d files in %s; keep a copy of worker_key: without it the log cannot be replayed\n", len(files), c.Dir)
	return nil
}

// writeSecret makes a file that must not be there. No newline ends it: not
// every reader would take it off.
func writeSecret(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Chmod(0o444), f.Sync(), f.Close()) // Chmod: whatever the umask
}
