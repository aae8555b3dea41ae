package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scratch is the DSN of a database beside the roles' own.
func (r *roles) scratch(name string) string {
	for _, v := range r.env {
		if dsn, ok := strings.CutPrefix(v, "SPONGE_MYSQL="); ok {
			return dsn + "_" + name
		}
	}
	panic("no SPONGE_MYSQL")
}

// untilDelivered waits until a user's only cursor has come so far.
func (r *roles) untilDelivered(t *testing.T, user, seq int64) {
	t.Helper()
	db, err := sql.Open("mysql", strings.TrimSuffix(r.scratch(""), "_"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	eventually(t, fmt.Sprintf("delivery of message %d to user %d", seq, user), func() bool {
		var at int64
		err := db.QueryRow("SELECT delivered FROM cursors WHERE user_id = ?", user).Scan(&at)
		return err == nil && at == seq
	})
}

// verifyAll replays everything that the tests sent, and compares every row.
func verifyAll() error {
	for _, r := range suite.verified {
		stdout, stderr, err := runToEnd(append(r.env, r.workKey), "audit", "verify", "--scratch", r.scratch("verify"))
		if err != nil {
			return fmt.Errorf("sponge audit verify: %w\n%s%s", err, stdout, stderr)
		}
	}
	return nil
}

// TestAudit has two people talk, and then reads, archives, checks, replays and
// verifies what they said.
func TestAudit(t *testing.T) {
	t.Parallel()
	c, err := startRoles("audit", 1, []string{"login", "friend", "group", "storage"})
	if err != nil {
		t.Fatal(err)
	}
	env := append(c.roles.env, c.roles.workKey)
	audit := func(args ...string) string {
		t.Helper()
		stdout, stderr, err := runToEnd(env, append([]string{"audit"}, args...)...)
		if err != nil {
			t.Fatalf("sponge audit %s: %v\n%s", strings.Join(args, " "), err, stderr)
		}
		return stdout
	}
	refused := func(want string, args ...string) {
		t.Helper()
		stdout, stderr, err := runToEnd(env, append([]string{"audit"}, args...)...)
		if err == nil || !strings.Contains(stderr, want) {
			t.Errorf("sponge audit %s: %v, and no %q in\n%s%s", strings.Join(args, " "), err, want, stdout, stderr)
		}
	}
	people := users(t, c, 2)
	a, b := people[0], people[1]
	for i := range 20 {
		a.must(a.call(`{"msgType":4,"TOID":%d,"msg":"line %d"}`, b.id, i), `{"msgType":104,"code":0,"TOID":%d,"seq":%d,"msgId":"$text","time":"$count"}`, b.id, i+1)
	}
	b.call(`{"msgType":9,"GROUPID":77,"msg":"nobody is there"}`)
	c.roles.untilDelivered(t, b.id, 20) // the edge's last frame

	var lines []map[string]any
	read := audit("read", "--outcome")
	for line := range strings.Lines(read) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		lines = append(lines, l)
	}
	if strings.Contains(read, a.password) || strings.Contains(read, a.token) || !strings.Contains(read, `"password":"sealed:`) {
		t.Error("a password is not sealed")
	}
	states := map[string]int{}
	for _, l := range lines {
		if l["type"] == 4.0 || l["type"] == 9.0 {
			states[fmt.Sprint(l["outcome"].(map[string]any)["state"])]++
		}
	}
	if states["applied"] != 20 || states["refused"] != 1 {
		t.Errorf("outcomes of chat frames are %v", states)
	}
	if n := strings.Count(audit("read", "--grep", "line 1[0-9]", "--user", fmt.Sprint(a.id)), "\n"); n != 10 {
		t.Errorf("%d lines match, of 10", n)
	}
	if list := audit("list"); !strings.Contains(list, "sponge.storage") || !strings.Contains(list, "sponge.journal") {
		t.Errorf("list:\n%s", list)
	}
	refused("no topic sponge.nope", "read", "--topic", "nope")
	refused("--from", "read", "--from", "the day before")
	refused("are wanted, the log holds", "read", "--from", "sponge.storage/0@100000")

	if out := audit("verify", "--scratch", c.roles.scratch("verify")); !strings.HasPrefix(out, "equal: ") {
		t.Error(out)
	}
	archived(t, c, audit, refused, &env)
}

// archived archives the log, and has the archive do what the topics did.
func archived(t *testing.T, c *cluster, audit func(...string) string, refused func(string, ...string), env *[]string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	refused("SPONGE_AUDIT_KEY", "archive", "--to", dir)
	*env = append(*env, strings.Fields(audit("key"))...)
	audit("archive", "--to", dir)
	if out := audit("check", "--archive", dir, "--topics"); !strings.Contains(out, "complete and unaltered") || !strings.Contains(out, "key to trust") {
		t.Error(out)
	}
	if out := audit("archive", "--to", dir); !strings.Contains(out, "nothing new") {
		t.Error(out)
	}
	if topics, archive := audit("read"), audit("read", "--archive", dir); topics != archive {
		t.Errorf("the archive reads otherwise than the topics:\n%s\n%s", topics, archive)
	}
	if out := audit("verify", "--archive", dir, "--scratch", c.roles.scratch("verify")); !strings.HasPrefix(out, "equal: ") {
		t.Error(out)
	}
	if out := audit("replay", "--archive", dir, "--into", c.roles.scratch("replayed")); !strings.HasPrefix(out, "replayed ") {
		t.Error(out)
	}
	refused("not empty", "replay", "--archive", dir, "--into", c.roles.scratch("replayed"))
	for _, file := range files(t, dir) {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		if err := os.WriteFile(file, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(filepath.Base(file), "check", "--archive", dir)
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	audit("check", "--archive", dir)
}

// files are one file of each topic, and the manifest.
func files(t *testing.T, dir string) (some []string) {
	t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, path)
			if top, _, _ := strings.Cut(rel, string(filepath.Separator)); !seen[top] {
				seen[top] = true
				some = append(some, path)
			}
		}
		return err
	})
	if err != nil || len(some) < 4 {
		t.Fatalf("files %v: %v", some, err)
	}
	return some
}
