package e2e

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// auditLine is what the tests look at of a line of `sponge audit read`.
type auditLine struct {
	Time, Topic, Kind, Node, Peer, FrameID string

	User    int64
	Type    int
	Frame   struct{ Msg, Password string }
	Outcome struct {
		State        string
		Journal, Seq int64
	}
}

// TestAuditUp reads what two people said from the log of a running `up`, and learns
// that none runs any more when it has stopped.
func TestAuditUp(t *testing.T) {
	t.Parallel()
	o, err := newUpOptions(1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := startUp(o)
	if err != nil {
		t.Fatal(err)
	}
	audit := func(args ...string) (stdout, stderr string, err error) {
		return runToEnd(nil, append([]string{"audit", "--dir", o.dir}, args...)...)
	}
	must := func(args ...string) string {
		t.Helper()
		out, errs, err := audit(args...)
		if err != nil || errs != "" {
			t.Fatalf("sponge audit %q: %v\n%s", args, err, errs)
		}
		return out
	}
	a, b := dial(t, c.edge(0)), dial(t, c.edge(0))
	a.must(a.call(`{"msgType":1,"USERID":6,"password":"6"}`), `{"msgType":101,"code":0,"USERID":6,"name":"$text","token":"$text","unread":0}`)
	b.must(b.call(`{"msgType":1,"USERID":8,"password":"8"}`), `{"msgType":101,"code":0,"USERID":8,"name":"$text","token":"$text","unread":0}`)
	ack := a.chat(8, "你好, 8号")
	b.wantChat(6, "你好, 8号", ack)
	a.wantChat(8, "hello", b.chat(6, "hello"))
	a.send(`{"msgType":4,"TOID":77,"msg":"nobody"}`)
	a.wantFault(4, 404, "")

	lines := auditUntilHandled(t, must)
	if len(lines) != 2 || lines[0].Frame.Msg != "你好, 8号" || lines[0].FrameID != ack.str("msgId") || lines[0].Outcome.Seq != 1 ||
		lines[1].User != 8 || lines[1].Outcome.Seq != 2 || !strings.HasPrefix(lines[1].Node, "edge1:") || lines[1].Kind != "client" {
		t.Errorf("what 6 and 8 said: %+v", lines)
	}
	var login auditLine
	if err := json.Unmarshal([]byte(must("read", "--user", "8", "--type", "1", "--conn", "edge1/", "--from", "-1h", "--topic", "login", "--grep", `"USERID":8,"password`)), &login); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(login.Frame.Password, "sealed:") {
		t.Errorf("the password of a login: %+v", login)
	}
	if out := must("read", "--user", "6", "--type", "4", "--outcome", "--format", "table"); !strings.Contains(out, "refused") || strings.Count(out, "\n") != 3 {
		t.Errorf("6's messages:\n%s", out)
	}
	rows, err := csv.NewReader(strings.NewReader(must("read", "--group", "7", "--format", "csv"))).ReadAll()
	if err != nil || len(rows) != 7 { // six joined what 1 had made
		t.Errorf("group 7: %q %v", rows, err)
	}
	if out := must("list", "--format", "table"); strings.Count(out, "\nsponge.storage") < 8 && strings.Count(out, " sponge.storage ") < 8 {
		t.Errorf("list:\n%s", out)
	}
	for args, want := range map[string]string{
		"read --topic nope":             "there are sponge.login, sponge.friend, sponge.group, sponge.storage, sponge.journal, sponge.dead",
		"read --from storage/0@1000000": "offsets 1000000",
		"read --from now --to 1h":       "is after --to",
		"read --grep (":                 "--grep",
		"list --topic nope":             "no topic sponge.nope",
	} {
		out, errs, err := audit(strings.Fields(args)...)
		if err == nil || out != "" || !strings.Contains(errs, want) {
			t.Errorf("sponge audit %s: %v, %d bytes out, %s", args, err, len(out), errs)
		}
	}
	brokenPipe(t, o.dir)

	if info, err := os.Stat(filepath.Join(o.dir, "sponge.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("sponge.env: %v %v", info, err)
	}
	if err := c.up.stop(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := audit("list"); err == nil || !strings.Contains(errs, "no cluster runs from "+o.dir) {
		t.Errorf("after the end: %v %s", err, errs)
	}
}

// auditUntilHandled reads what 6 and 8 said until the log has the journal rows of
// all of it: they come a moment after the answers.
func auditUntilHandled(t *testing.T, run func(...string) string) (lines []auditLine) {
	t.Helper()
	for range 50 {
		out := run("read", "--user", "6", "--with", "8", "--from", "1h", "--outcome")
		lines = nil
		for text := range strings.Lines(out) {
			var l auditLine
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			lines = append(lines, l)
		}
		if !strings.Contains(out, `"waiting"`) {
			return lines
		}
	}
	t.Errorf("still waiting: %+v", lines)
	return lines
}

// brokenPipe wants a reader that has gone to be no error.
func brokenPipe(t *testing.T, dir string) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	cmd := exec.CommandContext(t.Context(), path, "audit", "--dir", dir, "read")
	cmd.Env, cmd.Stdout = environment(), w
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil || errs.Len() > 0 {
		t.Errorf("a broken pipe: %v %s", err, errs.String())
	}
}
