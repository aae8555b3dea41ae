package storage_test

import (
	"bytes"
	"context"
	"fmt"
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
