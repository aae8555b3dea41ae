package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sponge/pkg/audit/view"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers/workertest"
)

var services workertest.Services

func TestMain(m *testing.M) { workertest.Main(m, &services) }

// auditedLine is what the test looks at of a line.
type auditedLine struct {
	Topic, Kind, Node, Peer string
	User                    int64
	Type                    int
	Frame                   struct{ Msg string }
	Raw, Error, Source      string
	Outcome                 struct {
		State        string
		Journal, Seq int64
	}
}

func audited(t *testing.T, sp *workertest.Space, change func(*view.Options)) []auditedLine {
	t.Helper()
	cfg := auditConfig{Kafka: []string{sp.Kafka.Addr()}, Namespace: sp.Namespace, MySQL: sp.DSN}
	log, err := openLog(t.Context(), &cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	format, err := view.NewFormat("jsonl", view.FormatConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := view.Options{Window: view.Window{Partition: -1}, Messages: storedMessages{sp.DB}, Format: format, Out: &out}
	if change != nil {
		change(&o)
	}
	if err := view.Read(t.Context(), log, o); err != nil {
		t.Fatal(err)
	}
	var lines []auditedLine
	for text := range bytes.Lines(out.Bytes()) {
		var l auditedLine
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// What was answered, what the journal says and what read shows are one.
func TestAuditOutcomes(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	stop := sp.Run(t, sp.Config(t), workertest.Handlers(), nil)
	e := sp.NewEdge(t, "e1")
	for i := range 3 {
		e.Ask(workertest.Session{Conn: uint64(100 + i)}, `{"msgType":2,"name":"n","password":"p"}`)
	}
	begun := time.Now().Truncate(time.Millisecond) // as frames' times are
	one, two := e.Login(1, 11), e.Login(2, 12)
	type wanted struct {
		msg, state string
		seq        int64
	}
	var want []wanted
	say := func(s workertest.Session, frame, msg, state string) {
		t.Helper()
		reply := e.Ask(s, fmt.Sprintf(frame, msg))
		w := wanted{msg: msg, state: state}
		if state == "applied" {
			w.seq = int64(reply["seq"].(float64))
		}
		want = append(want, w)
	}
	for i := range 20 {
		say(one, `{"msgType":4,"TOID":2,"msg":"%s"}`, fmt.Sprint("a", i), "applied")
		say(two, `{"msgType":4,"TOID":1,"msg":"%s"}`, fmt.Sprint("b", i), "applied")
	}
	say(one, `{"msgType":4,"TOID":2,"id":"x","msg":"%s"}`, "first", "applied")
	say(one, `{"msgType":4,"TOID":2,"id":"x","msg":"%s"}`, "first", "applied")
	say(one, `{"msgType":4,"TOID":2,"id":"x","msg":"%s"}`, "second", "refused")
	say(one, `{"msgType":4,"TOID":77,"msg":"%s"}`, "to nobody", "refused")
	say(one, `{"msgType":9,"GROUPID":5,"msg":"%s"}`, "no group", "refused")
	say(workertest.Session{Conn: 13}, `{"msgType":4,"FROMID":1,"TOID":2,"msg":"%s"}`, "no login", "refused")
	env := envelope.Envelope{Node: e.Node, Conn: 14, Arrival: time.Now().UnixMilli(), Peer: "192.0.2.1:7"}
	e.Put(protocol.TopicStorage, []byte("u:1"), []byte("no frame"), env.Append(nil))
	e.Reply(e.Publish(two, `{"msgType":14}`, nil)) // behind it, in whatever partition
	awaitDead(t, sp)
	stop()
	e.Publish(two, `{"msgType":4,"TOID":1,"msg":"waits"}`, nil)
	want = append(want, wanted{"waits", "waiting", 0})

	var got []wanted
	dead := 0
	lines := audited(t, sp, nil)
	for _, l := range lines {
		switch {
		case l.Raw != "":
			dead++
			if l.Outcome.State != "dead" || l.Outcome.Journal == 0 {
				t.Errorf("no frame: %+v", l)
			}
		case l.Type == 4 || l.Type == 9:
			got = append(got, wanted{l.Frame.Msg, l.Outcome.State, l.Outcome.Seq})
			if l.Node != e.Node || l.Kind != "client" || l.Peer != "192.0.2.1:7" || (l.Outcome.Journal == 0) != (l.Outcome.State == "waiting") {
				t.Errorf("%+v", l)
			}
		case l.Outcome.State != "applied" || l.Outcome.Journal == 0:
			t.Errorf("%+v", l)
		}
	}
	if !slices.Equal(got, want) || dead != 1 {
		t.Errorf("%d dead, got\n%v\nwant\n%v", dead, got, want)
	}
	pair := audited(t, sp, func(o *view.Options) { o.Filter.User, o.Filter.With = 2, 1 })
	if len(pair) != 44 { // 40, the repeats of x, and what waits
		t.Errorf("%d frames of the pair", len(pair))
	}
	letters := audited(t, sp, func(o *view.Options) { o.Topics = []string{protocol.TopicDead} })
	if len(letters) != 1 || !strings.HasPrefix(letters[0].Source, "sponge.storage/") || letters[0].Error == "" {
		t.Errorf("dead letters: %+v", letters)
	}
	since := audited(t, sp, func(o *view.Options) { o.From.Time = begun })
	if len(since) != len(lines)-3 {
		t.Errorf("%d of %d records since the registrations", len(since), len(lines))
	}
	until := audited(t, sp, func(o *view.Options) { o.To.Time = begun })
	if len(until) != 3 {
		t.Errorf("%d records until then, of 3 registrations", len(until))
	}
	if ended := audited(t, sp, func(o *view.Options) { o.To.Time = time.Now().Add(time.Hour) }); len(ended) != len(lines) {
		t.Errorf("%d of %d records until an hour from now", len(ended), len(lines))
	}
	testAuditList(t, sp, len(lines))
}

func awaitDead(t *testing.T, sp *workertest.Space) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), workertest.Patience)
	defer cancel()
	for {
		b, err := queue.Offsets(ctx, []string{sp.Kafka.Addr()}, sp.Namespace+protocol.TopicDead, []int{0})
		if err != nil {
			t.Fatal(err)
		}
		if b[0].Next > 0 && sp.Int(t, "SELECT COUNT(*) FROM journal WHERE dead IS NOT NULL") > 0 {
			return
		}
	}
}

// testAuditList looks at a space whose worker has stopped with one frame left.
func testAuditList(t *testing.T, sp *workertest.Space, records int) {
	t.Helper()
	cfg := auditConfig{Kafka: []string{sp.Kafka.Addr()}, Namespace: sp.Namespace, MySQL: sp.DSN}
	log, err := openLog(t.Context(), &cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	applied, err := appliedOffsets(t.Context(), sp.DSN)
	if err != nil {
		t.Fatal(err)
	}
	holdings, err := view.List(t.Context(), log, view.ListOptions{Days: 2, Now: time.Now(), Zone: time.UTC, Applied: applied, Committed: cfg.committed})
	if err != nil {
		t.Fatal(err)
	}
	var held, lag, groupLag, committed int64
	for _, h := range holdings[:protocol.NumTopics] {
		held += h.Records
		for _, p := range h.Parts {
			lag += *p.Lag
			groupLag += *p.GroupLag
			if p.Committed != nil {
				committed += *p.Committed
			}
		}
	}
	if held != int64(records) || lag != 1 || groupLag != held-committed || len(holdings) != 6 {
		t.Errorf("%d of %d records, lag %d, group lag %d with %d committed", held, records, lag, groupLag, committed)
	}
}

func TestLoadFrom(t *testing.T) {
	dir := t.TempDir()
	if _, err := loadFrom[auditConfig](dir); err == nil || !strings.Contains(err.Error(), "no cluster runs from "+dir) {
		t.Fatal(err)
	}
	file := filepath.Join(dir, clusterEnv)
	text := "# where it runs\nSPONGE_KAFKA=127.0.0.1:1,127.0.0.1:2\nSPONGE_MYSQL=u:p=w@unix(/x y/s)/sponge?a=b\nSPONGE_NAMESPACE=\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SPONGE_NAMESPACE", "mine-")
	cfg, err := loadFrom[auditConfig](dir)
	if err != nil || cfg.MySQL != "u:p=w@unix(/x y/s)/sponge?a=b" || len(cfg.Kafka) != 2 || cfg.Namespace != "mine-" {
		t.Fatalf("%+v %v", cfg, err)
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadFrom[auditConfig](dir); err == nil {
		t.Fatal("nonsense is taken")
	}
}
