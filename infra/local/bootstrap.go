package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// bootstrapFiles are the scripts that make the system tables, in this order.
var bootstrapFiles = []string{"system_tables.sql", "performance_tables.sql", "system_tables_data.sql"}

// mariadbShare returns the folder with the server's messages and scripts.
func mariadbShare(exe *executable) (string, error) {
	for _, name := range []string{"share/mariadb", "share/mysql"} {
		dir := filepath.Join(exe.prefix, name)
		if _, err := bootstrapScript(dir, bootstrapFiles[0]); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s has no mysql_system_tables.sql in a share folder beside it: its installation is incomplete", exe.path)
}

// bootstrapScript reads one script: the prefix of its name changed over time.
func bootstrapScript(share, name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(share, "mariadb_"+name))
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile(filepath.Join(share, "mysql_"+name))
	}
	return b, err
}

// bootstrap makes the data directory with the system tables, unless it is
// there.
func bootstrap(ctx context.Context, exe *executable, share, data string, o Options, lock *dirLock) error {
	return makeData(ctx, "mariadb", data, o, lock, func(made string) (*exec.Cmd, error) {
		if err := os.Mkdir(made, 0o700); err != nil {
			return nil, err
		}
		script, err := bootstrapSQL(share)
		if err != nil {
			return nil, err
		}
		cmd := exe.command(append(mariadbFlags(share, made, o), "--bootstrap", "--log-warnings=0")...)
		cmd.Stdin = bytes.NewReader(script)
		return cmd, nil
	})
}

// bootstrapSQL joins the server's own scripts. They give root on the socket an
// empty password, no anonymous user, and no accounts for the machine's name,
// which means nothing without a network.
func bootstrapSQL(share string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\nset @skip_auth_anonymous=1;\n")
	for _, name := range bootstrapFiles {
		script, err := bootstrapScript(share, name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(script)) {
			// As mariadb-install-db does: such lines stand for themselves.
			if !strings.Contains(line, "@current_hostname") {
				b.WriteString(line)
			}
		}
		b.WriteString("\n")
	}
	return b.Bytes(), nil
}
