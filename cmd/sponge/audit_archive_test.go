package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"sponge/pkg/audit/archive"
	"sponge/pkg/audit/view"
	"sponge/pkg/protocol"
	"sponge/workers/workertest"
)

// TestAuditArchive archives what edges published, twice, and reads from the
// archive what it reads from the topics.
func TestAuditArchive(t *testing.T) {
	sp := services.NewSpace(t)
	stop := sp.Run(t, sp.Config(t), workertest.Handlers(), nil)
	e := sp.NewEdge(t, "e1")
	for i := range 2 {
		e.Ask(workertest.Session{Conn: uint64(100 + i)}, `{"msgType":2,"name":"n","password":"p"}`)
	}
	one := e.Login(1, 11)
	secret, public := archive.GenerateKey()
	cfg := auditConfig{Kafka: []string{sp.Kafka.Addr()}, Namespace: sp.Namespace, MySQL: sp.DSN}
	for name, value := range map[string]string{
		"SPONGE_KAFKA": sp.Kafka.Addr(), "SPONGE_NAMESPACE": sp.Namespace, "SPONGE_AUDIT_KEY": secret, "SPONGE_AUDIT_PUBLIC_KEY": public,
	} {
		t.Setenv(name, value)
	}
	to := filepath.Join(t.TempDir(), "archive")
	run := func() error { return (&auditArchiveCommand{To: to}).Run(t.Context(), &auditCommand{}) }
	check := func(c auditCheckCommand) error {
		c.Archive, c.Topics = to, true
		return c.Run(t.Context(), &auditCommand{})
	}
	if err := check(auditCheckCommand{}); err == nil {
		t.Error("there is no archive yet, and it is right")
	}
	for range 2 {
		for i := range 10 {
			e.Ask(one, fmt.Sprintf(`{"msgType":4,"TOID":2,"msg":"你好 %d \u00e9"}`, i))
		}
		if err := run(); err != nil {
			t.Fatal(err)
		}
		if err := check(auditCheckCommand{}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := run(); err != nil { // what the journal got meanwhile
		t.Fatal(err)
	}
	topics, archived := lines(t, &cfg, ""), lines(t, &cfg, to)
	if topics != archived || strings.Count(topics, "你好") != 20 {
		t.Errorf("topics:\n%s\narchive:\n%s", topics, archived)
	}
	_, other := archive.GenerateKey()
	if err := check(auditCheckCommand{Key: other}); !errors.Is(err, archive.ErrKey) {
		t.Errorf("with another key: %v", err)
	}
	if err := check(auditCheckCommand{Head: "9:" + strings.Repeat("00", 32)}); !errors.Is(err, archive.ErrHead) {
		t.Errorf("with a head that it never had: %v", err)
	}
	t.Setenv("SPONGE_AUDIT_PUBLIC_KEY", other)
	if err := run(); err == nil || !strings.Contains(err.Error(), "not of one pair") {
		t.Errorf("with another public key: %v", err)
	}
	if _, err := openLog(t.Context(), &cfg, to); !errors.Is(err, archive.ErrKey) {
		t.Errorf("reading with another key: %v", err)
	}
	t.Setenv("SPONGE_AUDIT_PUBLIC_KEY", "")
	t.Setenv("SPONGE_AUDIT_KEY", "")
	if err := run(); err == nil || !strings.Contains(err.Error(), "SPONGE_AUDIT_KEY: a value is needed") {
		t.Errorf("without a key: %v", err)
	}
}

// lines is all that audit read shows, of the topics or of an archive.
func lines(t *testing.T, cfg *auditConfig, location string) string {
	t.Helper()
	log, err := openLog(t.Context(), cfg, location)
	if err != nil {
		t.Fatal(err)
	}
	format, err := view.NewFormat("jsonl", view.FormatConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := view.Options{Window: view.Window{Partition: -1}, Format: format, Out: &out}
	for topic := range protocol.NumTopics {
		o.Topics = append(o.Topics, topic.Name())
	}
	o.Topics = append(o.Topics, protocol.TopicJournal, protocol.TopicDead)
	if err := view.Read(t.Context(), log, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
