package storage_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"sponge/pkg/envelope"
	"sponge/workers"
	"sponge/workers/storage"
	"sponge/workers/workertest"
)

// However many ask for a full page at once, a batch stays in bounded memory,
// and everybody gets on.
func TestPagesOfABatchAreBounded(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	const members, messages = 50, 20
	sp.Exec(t, "INSERT INTO conversations (a, b, last_seq) VALUES (0,1,?)", messages)
	sp.Exec(t, "UPDATE sequences SET last_id = 1000")
	body := append(append([]byte(`{"msgType":9,"GROUPID":1,"FROMID":999,"msg":"`), bytes.Repeat([]byte{'x'}, 60_000)...), '"')
	for seq := 1; seq <= messages; seq++ {
		sp.Exec(t, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES (0,1,?,?,999,1,'',?)",
			seq, fmt.Sprintf("%016d", seq), body)
	}
	var frames []*workers.Frame
	for u := int64(1); u <= members; u++ {
		sp.Exec(t, "INSERT INTO members (group_id, user_id, joined_seq, joined_at) VALUES (1,?,0,0)", u)
		sp.Exec(t, "INSERT INTO cursors (user_id, a, b, delivered) VALUES (?,0,1,0)", u)
		text := `{"msgType":14}`
		if u%2 == 0 {
			text = `{"msgType":16,"GROUPID":1}`
		}
		f := &workers.Frame{User: u, Envelope: envelope.Envelope{}}
		if _, err := f.Parse([]byte(text)); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
	}
	var out []workers.Outcome
	err := workers.Transact(context.Background(), sp.DB, false, func(tx *workers.Tx) (err error) {
		out, err = storage.Handler{}.Handle(context.Background(), tx, frames)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, o := range out {
		total += len(o.Reply)
		reply := workertest.Decode(t, o.Reply)
		if n := len(reply["messages"].([]any)); n == 0 || reply["more"] != true {
			t.Errorf("frame %d: %d messages, more %v", i, n, reply["more"])
		}
	}
	if total > 36<<20 {
		t.Errorf("a batch made %d MiB of pages", total>>20)
	}
}

// What does not fit one synchronisation is left to another, whose ranges have
// what the first has brought.
func TestSynchronisationSaysThatThereIsMore(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	const messages = 1200
	sp.Exec(t, "INSERT INTO conversations (a, b, last_seq) VALUES (6,8,?)", messages)
	sp.Exec(t, "INSERT INTO cursors (user_id, a, b, delivered) VALUES (6,6,8,0)")
	for seq := 1; seq <= messages; seq += 100 {
		var rows []string
		for i := range 100 {
			rows = append(rows, fmt.Sprintf(`(6,8,%d,'%016d',8,1,'','{"msgType":4"')`, seq+i, seq+i))
		}
		sp.Exec(t, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES "+strings.Join(rows, ","))
	}
	f := &workers.Frame{User: 6, Envelope: envelope.Envelope{Kind: envelope.Sync}}
	if _, err := f.Parse([]byte(`{"msgType":14}`)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		lines int
		more  bool
	}{{1000, true}, {messages - 1000, false}} {
		var out []workers.Outcome
		err := workers.Transact(context.Background(), sp.DB, false, func(tx *workers.Tx) (err error) {
			out, err = storage.Handler{}.Handle(context.Background(), tx, []*workers.Frame{f})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(out[0].Reply, []byte{'\n'}); n != want.lines || out[0].More != want.more {
			t.Errorf("%d messages, more %t; want %+v", n, out[0].More, want)
		}
		f.Envelope.Ranges = append(f.Envelope.Ranges, out[0].Shown...)
	}
}
