package schema_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"sponge/infra/local"
	"sponge/schema"
)

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	server, err := local.StartTestStore(t.Context(), local.Options{Dir: filepath.Join(t.TempDir(), "mysql")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	dsn := server.DSN("sponge")
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := func() (n int) {
		t.Helper()
		err := db.QueryRow("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'sponge' AND table_name <> 'schema_migrations'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 2 {
		version, err := schema.Up(t.Context(), dsn)
		if err != nil || version == 0 {
			t.Fatalf("up: version %d, %v", version, err)
		}
		if again, err := schema.Up(t.Context(), dsn); err != nil || again != version {
			t.Fatalf("up again: version %d, %v", again, err)
		}
		if tables() == 0 {
			t.Fatal("up made no tables")
		}
		if err := schema.Down(t.Context(), dsn); err != nil {
			t.Fatal(err)
		}
		if n := tables(); n != 0 {
			t.Fatalf("down left %d tables", n)
		}
	}
}
