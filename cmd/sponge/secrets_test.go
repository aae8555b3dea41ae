package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sponge/pkg/config"
	"sponge/workers"
)

// TestSecrets: the files configure a worker, others cannot enter the folder,
// and nothing is written over.
func TestSecrets(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	c := secretsCommand{Dir: dir, MySQL: "mysql:3306", Redis: "redis:6379"}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	cfg, err := config.LoadFrom[workers.Config](map[string]string{
		"SPONGE_WORKER_KEY_FILE": file("worker_key"), "SPONGE_MYSQL_FILE": file("mysql_dsn"), "SPONGE_REDIS_FILE": file("redis_url"),
	})
	if err != nil {
		t.Fatal(err)
	}
	my, err := os.ReadFile(file("mysql_password"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "sponge:" + string(my) + "@tcp(mysql:3306)/sponge"; cfg.MySQL != want || len(my) < 20 {
		t.Errorf("the DSN is %q, want %q", cfg.MySQL, want)
	}
	if err := os.Remove(file("worker_key")); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over the files of another set: %v", err)
	}
	if _, err := os.Stat(file("worker_key")); err == nil {
		t.Error("some files are of a new set now")
	}
}
