package edge

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"sponge/pkg/config"
	"sponge/pkg/keys"
)

func TestConfigDefaultsAreValid(t *testing.T) {
	key, err := keys.ParseWorkerKey(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SPONGE_SEAL_KEY", key.Seal().String())
	cfg, err := config.Load[Config]()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.MaxFrame != 65536 || cfg.IdleTimeout != 2*time.Hour || len(cfg.Listen) != 1 || cfg.SharedListen != nil {
		t.Errorf("defaults: %+v", cfg)
	}
	for _, v := range config.Variables(cfg) {
		if v.Doc == "" || !strings.HasSuffix(v.Doc, ".") {
			t.Errorf("%s has no sentence for its documentation", v.Name)
		}
	}
}

// TestConfigFaults: every fault is told, by its variable's name.
func TestConfigFaults(t *testing.T) {
	t.Parallel()
	bad := Config{Redis: "nowhere", SealKey: "short", Node: "a b", MaxConnections: -1, AnswerTimeout: -1}
	err := bad.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, name := range []string{
		"SPONGE_KAFKA", "SPONGE_REDIS", "SPONGE_SEAL_KEY", "SPONGE_EDGE_NODE", "SPONGE_EDGE_LISTEN",
		"SPONGE_EDGE_MAX_CONNECTIONS", "SPONGE_EDGE_MAX_FRAME", "SPONGE_EDGE_MAX_OUTBOUND", "SPONGE_EDGE_QUEUE_BYTES",
		"SPONGE_EDGE_LOGIN_TIMEOUT", "SPONGE_EDGE_IDLE_TIMEOUT", "SPONGE_EDGE_WRITE_TIMEOUT", "SPONGE_EDGE_ANSWER_TIMEOUT",
		"SPONGE_EDGE_REPUBLISH_AFTER", "SPONGE_EDGE_REPORT_EVERY", "SPONGE_EDGE_DRAIN_TIMEOUT",
	} {
		if !strings.Contains(err.Error(), name+":") {
			t.Errorf("no word of %s in: %v", name, err)
		}
	}
	if _, err := New(bad, Deps{}); err == nil {
		t.Error("New takes it")
	}
}

// TestReasonsAreTold: every reason has a label of its own, and the document for
// clients lists the notices that can come.
func TestReasonsAreTold(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for r := range numReasons {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("reason %d has the label %q", r, r)
		}
		seen[r.String()] = true
		notice := reasons[r].notice
		quiet := r == ClientClosed || r == ProtocolError || r == WriteFailed || r == SlowConsumer
		if (notice == "") != quiet {
			t.Errorf("%s: notice %q", r, notice)
		}
		label, _, _ := strings.Cut(notice, ":")
		if row := regexp.MustCompile("(?m)^\\| `" + label + "` \\|.*\\| " + fmt.Sprint(reasons[r].reconnect) + " \\|$"); notice != "" && !row.Match(doc) {
			t.Errorf("docs/protocol.md has no row for %q", label)
		}
	}
}
