package workers_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sponge/infra/local"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/storage"
	"sponge/workers/workertest"
)

// preparingStorage is the storage group alone; before is called with each
// batch that is prepared.
func preparingStorage(inner faulty, before func(frames []*workers.Frame)) map[protocol.Topic]workers.Factory {
	return map[protocol.Topic]workers.Factory{protocol.TopicStorage: func(r workers.Resources) (workers.Handler, error) {
		h, err := storage.New(r)
		inner.Handler = h
		return watched{inner, before}, err
	}}
}

type watched struct {
	workers.Handler
	before func([]*workers.Frame)
}

func (w watched) Prepare(ctx context.Context, frames []*workers.Frame) error {
	w.before(frames)
	return w.Handler.Prepare(ctx, frames)
}

// Open implements workers.Opener where the handler does.
func (w watched) Open(frames []*workers.Frame) *workers.Opening { return openOf(w.Handler, frames) }

func lockRow(tx *sql.Tx, held int) error {
	_, err := tx.Exec("SELECT next_offset FROM applied WHERE topic = 'storage' AND `partition` = ? FOR UPDATE", held)
	return err
}

// A batch goes on frame by frame; the first frame finds its partition's row
// held, and those behind it must not overtake it.
func TestFramesBehindOneThatWasGivenBackWaitForIt(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	var requests []uint32
	for _, msg := range []string{"a", "poison", "b", "c"} { // before the worker runs: one batch
		requests = append(requests, e.Publish(one, chatFrame(2, msg), nil))
	}
	held := protocol.Partition([]byte("u:1:2"), workertest.Partitions)
	other, err := sp.DB.Begin()
	if err != nil {
		t.Fatal(err)
	}
	calls := 0 // of Prepare, by the lane alone, which has no transaction then
	sp.Run(t, sp.Config(t), preparingStorage(panicOn("poison"), func(frames []*workers.Frame) {
		var err error
		switch calls++; calls {
		case 1:
			if len(frames) != len(requests) {
				t.Errorf("a batch of %d frames", len(frames))
			}
		case 2: // the first frame alone: it will find the row held
			err = lockRow(other, held)
		case 3:
			err = other.Rollback()
		}
		if err != nil {
			t.Error(err)
		}
	}), nil)
	var got []string
	for _, r := range requests {
		reply := workertest.Decode(t, e.Reply(r).Payload)
		got = append(got, fmt.Sprint(reply["code"], "/", reply["seq"]))
	}
	if want := "0/1 500/<nil> 0/2 0/3"; strings.Join(got, " ") != want {
		t.Fatalf("replies %v, not %s", got, want)
	}
}

// A batch that was committed by the owner before us, but after our takeover,
// is announced by us: its owner may have died at once.
func TestFramesThatTheOldOwnerCommittedLateAreAnnounced(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	one, two := e.Login(1, 1), e.Login(2, 2)
	var id protocol.FrameID
	var late atomic.Bool
	sp.Run(t, sp.Config(t), preparingStorage(faulty{}, func(frames []*workers.Frame) {
		if !late.CompareAndSwap(false, true) {
			return
		}
		hash := frames[0].ContentHash()
		id = frames[0].Envelope.FrameID
		_, err1 := sp.DB.Exec("INSERT INTO conversations (a, b, last_seq) VALUES (1, 2, 1)")
		_, err2 := sp.DB.Exec("INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES (1,2,1,?,1,?,?,?)",
			id[:], frames[0].Time(), hash[:], frames[0].AppendBody(nil, 1))
		_, err3 := sp.DB.Exec("UPDATE applied SET next_offset = next_offset + 1 WHERE topic = 'storage' AND `partition` = ?", frames[0].Partition)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Error(err)
		}
	}), nil)
	request := e.Publish(one, chatFrame(2, "late"), nil)
	if reply := workertest.Decode(t, e.Reply(request).Payload); code(reply) != 0 || reply["msgId"] != id.String() {
		t.Fatal(reply)
	}
	e.Push(two.Conn)
	if n := sp.Int(t, "SELECT COUNT(*) FROM messages"); n != 1 {
		t.Fatalf("%d messages", n)
	}
}

// A record that is no frame, in a partition whose row another holds, is tried
// again and again: that is one frame that cannot be handled, not several.
func TestPoisonFrameOfALockedPartitionCountsOnce(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	registry := prometheus.NewRegistry()
	sp.Run(t, sp.Config(t), storageWith(faulty{}), registry)
	e := sp.NewEdge(t, "e1")
	held := protocol.Partition([]byte("u:1:2"), workertest.Partitions)
	other, err := sp.DB.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := lockRow(other, held); err != nil {
		t.Fatal(err)
	}
	e.Put(protocol.TopicStorage, []byte("u:1:2"), []byte("{}"), []byte("no envelope"))
	readTopic(t, sp, protocol.TopicDead, sp.Config(t).DeadInRow+1)
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if reply := e.Ask(e.Login(1, 1), chatFrame(2, "x")); code(reply) != 0 {
		t.Fatal(reply)
	}
	if gauge(t, registry, "sponge_worker_partition_stopped") != 0 {
		t.Fatal("the partition was stopped")
	}
}

// A frame in a topic of another group, or a kind of frame that edges do not
// make, is a dead letter; it must not stop those behind it.
func TestFrameThatDoesNotBelongToTheTopicIsADeadLetter(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	header := func(kind envelope.Kind) []byte {
		return (&envelope.Envelope{Kind: kind, Node: e.Node, Conn: 1}).Append(nil)
	}
	key := []byte("u:1:2")
	e.Put(protocol.TopicStorage, key, []byte(`{"msgType":8}`), header(envelope.FromClient))
	e.Put(protocol.TopicStorage, key, []byte(`{"msgType":0}`), header(envelope.FromClient))
	e.Put(protocol.TopicStorage, key, []byte(`{"msgType":4}`), header(envelope.Report))
	sp.Run(t, sp.Config(t), storageWith(faulty{}), nil)
	if reply := e.Ask(one, chatFrame(2, "x")); code(reply) != 0 {
		t.Fatal(reply)
	}
	readTopic(t, sp, protocol.TopicDead, 3)
}

// A batch that takes longer than a transaction may would never succeed as a
// whole.
func TestBatchThatTakesTooLongIsHalved(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	var requests []uint32
	for range 7 {
		requests = append(requests, e.Publish(one, chatFrame(2, "x"), nil))
	}
	sp.Run(t, sp.Config(t), storageWith(faulty{handle: func(_ context.Context, _ *workers.Tx, frames []*workers.Frame) error {
		if len(frames) > 2 {
			return fmt.Errorf("read messages: %w", context.DeadlineExceeded)
		}
		return nil
	}}), nil)
	for i, r := range requests {
		if reply := workertest.Decode(t, e.Reply(r).Payload); reply["seq"] != float64(i+1) {
			t.Fatalf("frame %d: %v", i+1, reply)
		}
	}
}

// A logout that commits while the session's token logs in elsewhere is final.
func TestLogoutEndsTheTokenForGood(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	sp.Run(t, sp.Config(t), workertest.Handlers(), nil)
	e := sp.NewEdge(t, "e1")
	register(t, e, 1, 1)
	login := e.Ask(workertest.Session{Conn: 1}, `{"msgType":1,"USERID":1,"password":"p"}`)
	logout, err := sp.DB.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := logout.Exec("DELETE FROM sessions"); err != nil {
		t.Fatal(err)
	}
	request := e.Publish(workertest.Session{Conn: 2}, fmt.Sprintf(`{"msgType":1,"USERID":1,"token":%q}`, login["token"]), nil)
	processes := "information_schema.processlist"
	if _, ok := sp.MySQL.(*local.MySQL); ok {
		processes = "performance_schema.processlist" // the other one fails for a statement with bytes in it
	}
	until(t, "the login to wait for the session's row", func() bool {
		return sp.Int(t, "SELECT COUNT(*) FROM "+processes+" WHERE db = DATABASE()"+
			" AND id <> CONNECTION_ID() AND command = 'Execute' AND info LIKE '%sessions%'") > 0
	})
	if err := logout.Commit(); err != nil {
		t.Fatal(err)
	}
	if reply := workertest.Decode(t, e.Reply(request).Payload); code(reply) != 401 {
		t.Fatalf("the token logs in: %v", reply)
	}
	if n := sp.Int(t, "SELECT COUNT(*) FROM sessions"); n != 0 {
		t.Fatalf("%d sessions: one has come back", n)
	}
}

func TestConfigurationErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	for name, change := range map[string]func(*workers.Config){
		"Redis": func(c *workers.Config) { c.Redis = "redis://:hunter2@host:port/0" },
		"MySQL": func(c *workers.Config) { c.MySQL = "sponge:hunter2@net(host" },
	} {
		cfg := sp.Config(t)
		change(&cfg)
		_, err := workers.New(cfg, storageWith(faulty{}), workers.Deps{})
		if err == nil || strings.Contains(errors.Join(err, cfg.Validate()).Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
