package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/storage"
	"sponge/workers/workertest"
)

// rows inserts many rows of a format with two numbers.
func rows(t *testing.T, sp *workertest.Space, insert string, n int, row func(i int) string) {
	t.Helper()
	for first := 0; first < n; first += 1000 {
		var list []string
		for i := first; i < min(first+1000, n); i++ {
			list = append(list, row(i))
		}
		sp.Exec(t, insert+strings.Join(list, ","))
	}
}

// Counting for many users at once gives each what counting all messages one by
// one gives, up to the limit: also to those with so many messages or
// conversations that they are not counted at once.
func TestUnreadOfManyUsers(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	// talk makes a conversation with messages of both users, in turn.
	talk := func(a, b, messages, cursorA, cursorB int) {
		sp.Exec(t, "INSERT INTO conversations (a, b, last_seq) VALUES (?,?,?)", a, b, messages)
		sp.Exec(t, "INSERT INTO cursors (user_id, a, b, delivered) VALUES (?,?,?,?), (?,?,?,?)", a, a, b, cursorA, b, a, b, cursorB)
		rows(t, sp, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES ", messages, func(i int) string {
			return fmt.Sprintf("(%d,%d,%d,'%016d',%d,1,'','{')", a, b, i+1, i, []int{a, b}[i%2])
		})
	}
	const crowd, many = 300, 3200 // two thirds of many have news
	talk(1, 2, 8, 8, 3)
	talk(1, 3, 1, 0, 0) // one's own
	talk(4, 5, 9_000, 0, 8_000)
	talk(4, 6, 9_000, 0, 0)
	talk(4, 7, 9_000, 0, 9_000)
	talk(8, 9, 21_000, 0, 1) // more than is counted, in one
	// One user has more conversations than are listed at once, between others
	// who have some.
	rows(t, sp, "INSERT INTO conversations (a, b, last_seq) VALUES ", many, func(i int) string { return fmt.Sprintf("(100,%d,%d)", 1000+i, i%3) })
	rows(t, sp, "INSERT INTO cursors (user_id, a, b, delivered) VALUES ", many, func(i int) string { return fmt.Sprintf("(100,100,%d,0)", 1000+i) })
	rows(t, sp, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES ", many*2, func(i int) string {
		return fmt.Sprintf("(100,%d,%d,'%016d',%d,1,'','{')", 1000+i/2, i%2+1, i, []int{100, 1000 + i/2}[i/7%2])
	})
	sp.Exec(t, "DELETE m FROM messages m JOIN conversations v ON v.a = m.a AND v.b = m.b WHERE m.seq > v.last_seq")
	// A group whose members have got different parts of it.
	sp.Exec(t, "INSERT INTO conversations (a, b, last_seq) VALUES (0,1,20)")
	rows(t, sp, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES ", 20, func(i int) string {
		return fmt.Sprintf("(0,1,%d,'%016d',%d,1,'','{')", i+1, i, 1+i*31%crowd)
	})
	rows(t, sp, "INSERT INTO cursors (user_id, a, b, delivered) VALUES ", crowd, func(i int) string { return fmt.Sprintf("(%d,0,1,%d)", i+1, i%21) })

	var users []int64
	for u := int64(crowd + 10); u >= 1; u-- {
		users = append(users, u, u)
	}
	var got map[int64]int64
	err := workers.Transact(context.Background(), sp.DB, false, func(tx *workers.Tx) (err error) {
		got, err = storage.Unread(context.Background(), tx, users)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for _, u := range users {
		want := min(protocol.MaxUnread, sp.Int(t, "SELECT COUNT(*) FROM cursors c JOIN messages m ON m.a = c.a AND m.b = c.b AND m.seq > c.delivered"+
			" AND m.sender_id <> c.user_id WHERE c.user_id = ?", u))
		if got[u] != want {
			t.Errorf("unread of %d: %d, not %d", u, got[u], want)
		}
		seen[want] = true
	}
	if !seen[protocol.MaxUnread] || len(seen) < 10 {
		t.Errorf("the test is too simple: only %d different counts", len(seen))
	}
}
