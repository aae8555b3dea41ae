package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/audit/audittest"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers/replay"
	"sponge/workers/workertest"
)

var services workertest.Services

func TestMain(m *testing.M) { workertest.Main(m, &services) }

const (
	accounts = 8
	frames   = 400
)

// site is a production that has worked for a while, and stands still now.
type site struct {
	*workertest.Space
	scratches int
}

// produce has a worker handle frames of every kind that changes rows, good and
// bad, with repeats, forged proofs and rubbish among them.
func produce(t *testing.T) *site {
	t.Helper()
	sp := services.NewSpace(t)
	stop := sp.Run(t, sp.Config(t), workertest.Handlers(), nil)
	e := sp.NewEdge(t, "e1")
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range accounts {
		e.Publish(workertest.Session{Conn: uint64(i + 1)}, fmt.Sprintf(`{"msgType":2,"name":"user %d","password":"x","id":"r%d"}`, i, i), nil)
	}
	e.Publish(workertest.Session{Conn: 99}, `{"msgType":2,"name":"user 0","password":"x","id":"r0"}`, nil) // a repeat
	e.Publish(workertest.Session{Conn: 99}, `{"msgType":2,"name":"","password":"x"}`, nil)                 // refused
	settle(t, sp)
	var sessions []workertest.Session
	for i := range accounts {
		sessions = append(sessions, e.Login(int64(i+1), uint64(i+1)))
	}
	for i := range 3 {
		e.Publish(sessions[i], fmt.Sprintf(`{"msgType":12,"name":"group %d"}`, i), nil)
	}
	settle(t, sp)
	last := map[int]int64{}
	for i := range frames {
		from, to, group := rng.IntN(accounts), rng.IntN(accounts+2)+1, rng.IntN(4)+1
		s := sessions[from]
		var frame string
		var change func(*envelope.Envelope)
		switch rng.IntN(12) {
		case 0:
			frame = fmt.Sprintf(`{"msgType":6,"U2":%d}`, to)
		case 1:
			frame = fmt.Sprintf(`{"msgType":10,"GROUPID":%d}`, group)
		case 2, 3:
			frame = fmt.Sprintf(`{"msgType":9,"GROUPID":%d,"msg":"g%d","id":"%d"}`, group, i, rng.IntN(frames))
		case 4:
			frame = fmt.Sprintf(`{"msgType":5,"TOID":%d,"seq":%d}`, to, rng.IntN(6)+1)
		case 5:
			frame = fmt.Sprintf(`{"msgType":5,"GROUPID":%d,"seq":%d}`, group, rng.IntN(6)+1)
		case 6: // a report of whatever
			frame = `{"msgType":5}`
			at := rng.Int64N(5) + 1
			change = func(v *envelope.Envelope) {
				v.Kind = envelope.Report
				v.Ranges = []envelope.Range{{Conversation: protocol.Pair(int64(from+1), int64(to)), From: at, To: at + rng.Int64N(3)}}
			}
		case 7:
			frame = `{"msgType":14}`
			change = func(v *envelope.Envelope) {
				v.Ranges = []envelope.Range{{Conversation: protocol.GroupOf(int64(group)), From: 1, To: last[group]}}
			}
			last[group]++
		case 8: // the proof of another connection
			frame = fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"forged"}`, to)
			change = func(v *envelope.Envelope) { v.Conn++ }
		default:
			frame = fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"<%d> & é","id":"%d"}`, to, i, rng.IntN(frames))
		}
		e.Publish(s, frame, change)
		if i%97 == 0 {
			e.Put(protocol.TopicStorage, []byte("u:1:2"), []byte("{no frame"), []byte{1, 0})
		}
	}
	settle(t, sp)
	stop()
	return &site{Space: sp}
}

// settle waits until all that is in the topics has been handled and announced.
func settle(t *testing.T, sp *workertest.Space) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), workertest.Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	log := topics(sp)
	for {
		var there int64
		for topic := range protocol.NumTopics {
			bounds, err := log.Bounds(ctx, topic.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range bounds {
				there += b.Next
			}
		}
		if sp.Int(t, "SELECT SUM(next_offset) FROM applied") == there && sp.Int(t, "SELECT SUM(announced) FROM applied") == there {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the worker does not come to an end")
		case <-tick.C:
		}
	}
}

func topics(sp *workertest.Space) *audit.Topics {
	return audit.NewTopics([]string{sp.Kafka.Addr()}, sp.Namespace, slog.New(slog.DiscardHandler))
}

// scratch is the DSN of a database that is not there yet.
func (s *site) scratch() string {
	s.scratches++
	return s.MySQL.DSN(fmt.Sprintf("%sscratch%d", strings.TrimSuffix(s.Namespace, "-"), s.scratches))
}

func (s *site) options(t testing.TB) replay.Options {
	return replay.Options{Log: topics(s.Space), DSN: s.scratch(), Handlers: workertest.Handlers(), Key: s.Key,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func (s *site) verify(t testing.TB) replay.Verdict {
	t.Helper()
	v, err := replay.Verify(t.Context(), replay.VerifyOptions{Options: s.options(t), Production: s.DSN, Show: 20})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// untouched fails the test unless production verifies.
func (s *site) untouched(t testing.TB) replay.Verdict {
	t.Helper()
	v := s.verify(t)
	for _, f := range v.Findings {
		t.Errorf("%s %+v", f.Text, f.Frames)
	}
	return v
}

func TestVerify(t *testing.T) {
	t.Parallel()
	s := produce(t)
	v := s.untouched(t)
	if v.Wrong != 0 || v.Frames < frames || v.Compared < frames/2 || v.Dead == 0 || v.Rows == 0 {
		t.Fatalf("%+v", v)
	}

	// What somebody with access to the database might do.
	forge := func(name, query, back string, want ...string) {
		t.Run(name, func(t *testing.T) {
			for _, q := range strings.Split(query, "; ") {
				s.Exec(t, q)
			}
			v := s.verify(t)
			for _, w := range want {
				found := false
				for _, f := range v.Findings {
					text, err := json.Marshal(f)
					if err != nil {
						t.Fatal(err)
					}
					found = found || strings.Contains(string(text), w)
				}
				if !found {
					t.Errorf("nothing says %q in %+v", w, v.Findings)
				}
			}
			for _, q := range strings.Split(back, "; ") {
				s.Exec(t, q)
			}
		})
	}
	s.Exec(t, "CREATE TABLE kept AS SELECT * FROM messages")
	s.Exec(t, "CREATE TABLE kept_journal AS SELECT * FROM journal")
	restore := "DELETE FROM messages; INSERT INTO messages SELECT * FROM kept"
	forge("a message is altered", "UPDATE messages SET body = REPLACE(body, 'msg', 'gsm') WHERE a = 1 AND seq = 2", restore,
		`"table":"messages","key":{"a":"1"`, `"production":{"body":"{\"gsm`, `"log":{"body":"{\"msg`, `"frame":{"msgType":`)
	forge("a message is deleted", "DELETE FROM messages WHERE a = 1 AND b = 2 AND seq = 1", restore,
		`missing in production","table":"messages","key":{"a":"1","b":"2","seq":"1"}`, `"frame":{"msgType":`)
	forge("a message is added", "INSERT INTO messages SELECT a, b, 1000, 'xxxxxxxxxxxxxxxx', sender_id, sent_at, content_hash, body FROM kept WHERE a = 1 AND b = 2 AND seq = 1", restore,
		"no frame in the log made it", `"seq":"1000"`)
	forge("a cursor is moved", "UPDATE cursors SET delivered = delivered + 1 WHERE user_id = 1 AND a = 1 AND b = 2", "UPDATE cursors SET delivered = delivered - 1 WHERE user_id = 1 AND a = 1 AND b = 2",
		`"table":"cursors","key":{"a":"1","b":"2","user_id":"1"},"production":{"delivered":`)
	forge("a password is replaced", "CREATE TABLE kept_users AS SELECT * FROM users; UPDATE users SET verifier = 'x' WHERE id = 3", "UPDATE users SET verifier = (SELECT verifier FROM kept_users WHERE kept_users.id = 3) WHERE id = 3",
		`"table":"users","key":{"id":"3"},"production":{"verifier":"x"}`)
	forge("a friendship is made up", "INSERT INTO friends VALUES (8, 1000, 0)", "DELETE FROM friends WHERE friend_id = 1000", `"table":"friends","key":{"friend_id":"1000","user_id":"8"}`)
	last := s.Int(t, "SELECT MAX(number) FROM journal")
	restoreJournal := "DELETE FROM journal; INSERT INTO journal SELECT * FROM kept_journal"
	forge("the last journal row is removed", fmt.Sprintf("DELETE FROM journal WHERE number = %d", last), restoreJournal,
		fmt.Sprintf("journal row %d", last), "has taken effect up to offset")
	forge("a journal row is removed", fmt.Sprintf("DELETE FROM journal WHERE number = %d", last/2), restoreJournal,
		fmt.Sprintf("journal row %d", last/2), "was published, and is not in production's journal")
	forge("a journal row is altered", fmt.Sprintf(`UPDATE journal SET inputs = NULL, rules = 1, dead = '[]' WHERE number = %d`, last/2), restoreJournal,
		fmt.Sprintf("journal row %d is", last/2))
	forge("the offsets are turned back", "UPDATE applied SET next_offset = next_offset - 1, announced = announced - 1 WHERE topic = 'storage' AND `partition` = 0",
		"UPDATE applied SET next_offset = next_offset + 1, announced = announced + 1 WHERE topic = 'storage' AND `partition` = 0", "sponge.storage/0 has taken effect up to")
	s.untouched(t)

	// Rules that this program does not know are never replayed by its own.
	s.Exec(t, "UPDATE journal SET rules = 2 WHERE number = ?", last)
	_, err := replay.Verify(t.Context(), replay.VerifyOptions{Options: s.options(t), Production: s.DSN, Show: 20})
	if err == nil || !strings.Contains(err.Error(), "was decided by rules 2") {
		t.Fatalf("a row of other rules: %v", err)
	}
}

// Production goes on while it is verified, and stands still for nobody.
func TestVerifyWhileItRuns(t *testing.T) {
	t.Parallel()
	s := produce(t)
	s.Run(t, s.Config(t), workertest.Handlers(), nil)
	e := s.NewEdge(t, "e3")
	one := e.Login(1, 1)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				e.Publish(one, `{"msgType":4,"TOID":2,"msg":"on and on"}`, nil)
			}
		}
	}()
	for range 5 {
		s.untouched(t)
	}
	close(stop)
	<-ended
}

// A backup lacks what came behind it. Only whoever says that it is one is told
// that all else is equal.
func TestVerifyBackup(t *testing.T) {
	t.Parallel()
	s := produce(t)
	o := s.options(t)
	o.Until.Number = s.Int(t, "SELECT MAX(number) FROM journal") * 2 / 3
	if _, err := replay.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	backup := replay.VerifyOptions{Options: s.options(t), Production: o.DSN, Show: 20}
	v, err := replay.Verify(t.Context(), backup)
	if err != nil || v.Wrong == 0 {
		t.Fatalf("a backup that nobody calls one: %+v, %v", v, err)
	}
	backup.Older, backup.DSN = true, s.scratch()
	v, err = replay.Verify(t.Context(), backup)
	if err != nil || v.Wrong != 0 || v.Later == 0 || v.Behind == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
}

// The older part may be in an archive, and the rest in the topics.
func TestVerifyJoined(t *testing.T) {
	t.Parallel()
	s := produce(t)
	o := s.options(t)
	older := new(audittest.Log)
	for _, topic := range audit.AllTopics() {
		bounds, err := o.Log.Bounds(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		older.Create(topic, len(bounds))
		for id, b := range bounds {
			bounds[id] = queue.Bounds{First: b.First, Next: b.Next / 2}
		}
		err = audit.Merge(t.Context(), o.Log, map[string]map[int]queue.Bounds{topic: bounds}, func(r *audit.Record) error {
			older.Add(topic, r.Partition, r.Message)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	o.Log = audit.Joined{Older: older, Newer: o.Log}
	v, err := replay.Verify(t.Context(), replay.VerifyOptions{Options: o, Production: s.DSN, Show: 20})
	if err != nil || v.Wrong != 0 || v.Frames < frames {
		t.Fatalf("%+v, %v", v, err)
	}
}

// A database that holds anything is left alone.
func TestForeignDatabase(t *testing.T) {
	t.Parallel()
	s := produce(t)
	o := s.options(t)
	o.DSN = s.DSN
	if _, err := replay.Run(t.Context(), o); !errors.Is(err, replay.ErrNotEmpty) {
		t.Fatal(err)
	}
	if _, err := replay.Verify(t.Context(), replay.VerifyOptions{Options: o, Production: s.DSN}); !errors.Is(err, replay.ErrNotEmpty) {
		t.Fatal(err)
	}
	s.untouched(t)
}

// A replay gives a database that workers can go on with.
func TestReplayIsUsable(t *testing.T) {
	t.Parallel()
	s := produce(t)
	o := s.options(t)
	r, err := replay.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows != s.Int(t, "SELECT COUNT(*) FROM journal") || r.Arrival {
		t.Fatalf("%+v", r)
	}
	if _, err := replay.Run(t.Context(), o); !errors.Is(err, replay.ErrNotEmpty) {
		t.Fatalf("into a schema that holds something: %v", err)
	}
	s.DSN = o.DSN
	s.Run(t, s.Config(t), workertest.Handlers(), nil)
	e := s.NewEdge(t, "e2")
	reply := e.Ask(workertest.Session{Conn: 1}, `{"msgType":1,"USERID":2,"password":"x"}`)
	if fmt.Sprint(reply["code"]) != "0" {
		t.Fatalf("login after a replay: %v", reply)
	}
	if reply := e.Ask(e.Login(1, 2), `{"msgType":4,"TOID":2,"msg":"next"}`); fmt.Sprint(reply["code"]) != "0" || fmt.Sprint(reply["seq"]) == "1" {
		t.Fatalf("chat after a replay: %v", reply)
	}
}

func TestReplayUntil(t *testing.T) {
	t.Parallel()
	s := produce(t)
	number := s.Int(t, "SELECT MIN(number) FROM journal WHERE topic = 'group'")
	o := s.options(t)
	o.Until.Number = number
	r, err := replay.Run(t.Context(), o)
	if err != nil || r.Last != number {
		t.Fatalf("%+v, %v", r, err)
	}
	o = s.options(t)
	o.Until.Time = time.Now().Add(-time.Hour)
	if _, err := replay.Run(t.Context(), o); err == nil {
		t.Fatal("a time before everything is no error")
	}
}

// Without a journal the order is that of arrival. Here one edge has sent it all,
// so only what nobody could know is lost: passwords, and which proofs did not hold.
func TestReplayByArrival(t *testing.T) {
	t.Parallel()
	s := produce(t)
	o := s.options(t)
	o.Arrival = true
	r, err := replay.Run(t.Context(), o)
	if err != nil || !r.Arrival || r.Frames < frames || r.Dead == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}
