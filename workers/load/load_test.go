package load_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"sponge/pkg/channel"
	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/load"
	"sponge/workers/workertest"
)

var services workertest.Services

func TestMain(m *testing.M) { workertest.Main(m, &services) }

func config() load.Config {
	return load.Config{Accounts: 40, Groups: 12, Messages: 1003, Long: 250, Members: 30, Size: 100, Connections: 3, ArgonMemory: 64, ArgonIterations: 1}
}

func mustLoad(t *testing.T, sp *workertest.Space, cfg load.Config) *load.Result {
	t.Helper()
	res, err := load.Load(t.Context(), sp.DB, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// none wants a query to count nothing.
func none(t *testing.T, sp *workertest.Space, what, query string) {
	t.Helper()
	if n := sp.Int(t, query); n != 0 {
		t.Errorf("%d %s", n, what)
	}
}

// The rows must agree with each other as those of the handlers do.
func TestRowsAreConsistent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*load.Config){
		"some":        func(*load.Config) {},
		"few, large":  func(c *load.Config) { c.Accounts, c.Members, c.Messages, c.Size = 16, 16, 10_000, 5000 },
		"no groups":   func(c *load.Config) { c.Groups, c.Members, c.Long = 0, 0, 0 },
		"no messages": func(c *load.Config) { c.Messages, c.Long = 0, 0 },
		"many groups": func(c *load.Config) { c.Groups, c.Messages = 100, 7 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sp := services.NewSpace(t)
			cfg := config()
			change(&cfg)
			mustLoad(t, sp, cfg)
			groups := cfg.Groups
			if cfg.Members > 0 {
				groups++
			}
			for query, want := range map[string]int64{
				"SELECT COUNT(*) FROM users":                                   cfg.Accounts,
				"SELECT last_id FROM sequences WHERE name = 'users'":           cfg.Accounts,
				"SELECT MAX(id) FROM users":                                    cfg.Accounts,
				"SELECT COUNT(DISTINCT verifier) FROM users":                   1,
				"SELECT COUNT(*) FROM `groups`":                                groups,
				"SELECT last_id FROM sequences WHERE name = 'groups'":          groups,
				"SELECT COUNT(*) FROM messages":                                cfg.Messages + cfg.Long,
				"SELECT COALESCE(SUM(last_seq), 0) FROM conversations":         cfg.Messages + cfg.Long,
				"SELECT COUNT(*) FROM members":                                 8*cfg.Groups + cfg.Members,
				"SELECT COUNT(*) FROM cursors WHERE a = 0":                     8*cfg.Groups + cfg.Members,
				"SELECT COUNT(*) FROM friends":                                 2 * (2*cfg.Accounts - 3),
				"SELECT COUNT(DISTINCT user_id) FROM name_grams":               cfg.Accounts,
				"SELECT COUNT(*) FROM conversations WHERE a = 0":               groups,
				"SELECT COUNT(DISTINCT a, b, frame_id) FROM messages":          cfg.Messages + cfg.Long,
				"SELECT COUNT(*) FROM journal":                                 0,
				"SELECT COUNT(*) FROM messages WHERE LENGTH(content_hash)<>32": 0,
			} {
				if got := sp.Int(t, query); got != want {
					t.Errorf("%s: %d, not %d", query, got, want)
				}
			}
			none(t, sp, "conversations whose last_seq is not their messages'",
				"SELECT COUNT(*) FROM conversations c WHERE last_seq <> (SELECT COUNT(*) FROM messages m WHERE m.a = c.a AND m.b = c.b)"+
					" OR last_seq <> (SELECT COALESCE(MAX(seq), 0) FROM messages m WHERE m.a = c.a AND m.b = c.b)")
			none(t, sp, "messages without a conversation",
				"SELECT COUNT(*) FROM messages m LEFT JOIN conversations c ON c.a = m.a AND c.b = m.b WHERE c.a IS NULL")
			none(t, sp, "one-sided friendships",
				"SELECT COUNT(*) FROM friends f LEFT JOIN friends g ON g.user_id = f.friend_id AND g.friend_id = f.user_id WHERE g.user_id IS NULL")
			none(t, sp, "group messages of strangers",
				"SELECT COUNT(*) FROM messages m LEFT JOIN members s ON s.group_id = m.b AND s.user_id = m.sender_id WHERE m.a = 0 AND s.user_id IS NULL")
			none(t, sp, "messages of neither of a pair", "SELECT COUNT(*) FROM messages WHERE a <> 0 AND sender_id NOT IN (a, b)")
			none(t, sp, "members without a cursor",
				"SELECT COUNT(*) FROM members m LEFT JOIN cursors c ON c.user_id = m.user_id AND c.a = 0 AND c.b = m.group_id WHERE c.a IS NULL")
			none(t, sp, "pairs without two cursors",
				"SELECT COUNT(*) FROM conversations v WHERE a <> 0 AND (SELECT COUNT(*) FROM cursors c WHERE c.a = v.a AND c.b = v.b AND c.user_id IN (v.a, v.b)) <> 2")
			none(t, sp, "cursors without a conversation, or beyond it",
				"SELECT COUNT(*) FROM cursors c LEFT JOIN conversations v ON v.a = c.a AND v.b = c.b WHERE v.a IS NULL OR c.delivered > v.last_seq OR c.delivered < v.last_seq - 1")
			none(t, sp, "messages of earlier times behind later ones",
				"SELECT COUNT(*) FROM messages m JOIN messages n ON n.a = m.a AND n.b = m.b AND n.seq = m.seq + 1 WHERE n.sent_at < m.sent_at")
		})
	}
}

func code(reply map[string]any) int { return int(reply["code"].(float64)) }

// Whoever uses a cluster on such a store finds everything as if it had been
// made by frames.
func TestAClusterWorksOnIt(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	res := mustLoad(t, sp, config())
	sp.Run(t, sp.Config(t), workertest.Handlers(), nil)
	e := sp.NewEdge(t, "e1")
	ask := func(s workertest.Session, frame string) map[string]any {
		t.Helper()
		reply := e.Ask(s, frame)
		if code(reply) != 0 {
			t.Fatalf("%s: %v", frame, reply)
		}
		return reply
	}

	// Account 11 is two steps before 13, and its last message waits there.
	bound := e.Reply(e.Publish(workertest.Session{Conn: 1}, fmt.Sprintf(`{"msgType":1,"USERID":13,"password":%q}`, res.Password), nil))
	login := workertest.Decode(t, bound.Payload)
	if code(login) != 0 || bound.Session != channel.SessionBound || login["unread"].(float64) < 1 {
		t.Fatalf("login: %v", login)
	}
	me := e.Bound(bound)
	page := ask(me, `{"msgType":14}`)
	unread := page["messages"].([]any)
	if len(unread) != int(login["unread"].(float64)) || page["more"] != false {
		t.Fatalf("%v unread, but 14 brings %v", login["unread"], page)
	}
	last := unread[0].(map[string]any)
	if last["TOID"].(float64) != 13 || last["FROMID"].(float64) != 11 {
		t.Errorf("the unread message is %v", last)
	}
	history := ask(me, `{"msgType":16,"TOID":11}`)
	if n := len(history["messages"].([]any)); n == 0 || history["lastSeq"] != last["seq"] {
		t.Errorf("%d messages with 11, the last of them %v, not %v", n, history["lastSeq"], last["seq"])
	}
	if friends := ask(me, `{"msgType":8}`)["friends"].([]any); len(friends) != 4 || friends[0].(map[string]any)["USERID"].(float64) != 11 {
		t.Errorf("friends: %v", friends)
	}
	name := login["name"].(string)
	if users := ask(me, fmt.Sprintf(`{"msgType":15,"keyword":%q}`, name[1:]))["users"].([]any); len(users) != 1 || users[0].(map[string]any)["USERID"].(float64) != 13 {
		t.Errorf("search for a part of %q: %v", name, users)
	}

	// What comes now follows what was loaded.
	if seq := ask(me, `{"msgType":4,"TOID":11,"msg":"new"}`)["seq"].(float64); seq != last["seq"].(float64)+1 {
		t.Errorf("a new message has number %v", seq)
	}
	// A loaded message that its sender sends again is known by its frame id and
	// its content: it is the same row that the handler would have made.
	eleven := e.Login(11, 11)
	first := history["messages"].([]any)[0].(map[string]any)
	again := ask(eleven, fmt.Sprintf(`{"msgType":4,"id":"load-1","FROMID":11,"TOID":13,"msg":%q,"sendTime":%.0f}`, first["msg"], first["sendTime"]))
	if again["seq"] != first["seq"] || again["msgId"] != first["msgId"] {
		t.Errorf("%v was sent again, and became %v", first, again)
	}
	if r := e.Ask(me, fmt.Sprintf(`{"msgType":10,"GROUPID":%d}`, res.FirstGroup+1)); code(r) != int(protocol.Conflict) {
		t.Errorf("13 is a member of the second group: %v", r)
	}
	if seq := ask(me, fmt.Sprintf(`{"msgType":9,"GROUPID":%d,"msg":"hello"}`, res.LargeGroup))["seq"].(float64); seq != 1 {
		t.Errorf("the first message in the large group has number %v", seq)
	}
	one := e.Login(res.FirstAccount, 2)
	page = ask(one, fmt.Sprintf(`{"msgType":16,"TOID":%d,"before":%d}`, res.LastAccount, res.LongSeq/2))
	if n := len(page["messages"].([]any)); n != protocol.MaxPage || page["more"] != true || page["lastSeq"].(float64) != float64(res.LongSeq) {
		t.Errorf("a page of the long conversation: %d messages, %v, %v", n, page["more"], page["lastSeq"])
	}
	if r := ask(workertest.Session{Conn: 9}, `{"msgType":2,"name":"new","password":"p"}`); r["USERID"].(float64) != float64(res.LastAccount+1) {
		t.Errorf("a new account: %v", r)
	}
	if r := ask(me, `{"msgType":12,"name":"new"}`); r["GROUPID"].(float64) != float64(res.LargeGroup+1) {
		t.Errorf("a new group: %v", r)
	}
}

func TestAStoreInUseIsRefused(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	sp.Exec(t, "UPDATE sequences SET last_id = CASE name WHEN 'users' THEN 10 ELSE 8 END") // demo data
	cfg := config()
	cfg.Accounts, cfg.Members = 16, 0
	first := mustLoad(t, sp, cfg)
	if first.FirstAccount != 11 || first.FirstGroup != 9 || first.LargeGroup != 0 {
		t.Errorf("behind the demo data: %+v", first)
	}
	if _, err := load.Load(t.Context(), sp.DB, cfg); !errors.Is(err, load.ErrInUse) {
		t.Errorf("a second time: %v", err)
	}
	none(t, sp, "accounts of a load that was refused", "SELECT COUNT(*) - 16 FROM users")
	cfg.AnyStore = true
	second := mustLoad(t, sp, cfg)
	if second.FirstAccount != first.LastAccount+1 || second.FirstGroup != first.LastGroup+1 {
		t.Errorf("%+v, then %+v", first, second)
	}
}

func TestWhatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*load.Config){
		"few accounts":   func(c *load.Config) { c.Accounts = 15 },
		"large group":    func(c *load.Config) { c.Members = 41 },
		"no bytes":       func(c *load.Config) { c.Size = 0 },
		"below 0":        func(c *load.Config) { c.Messages = -1 },
		"no connections": func(c *load.Config) { c.Connections = 0 },
	} {
		cfg := config()
		change(&cfg)
		if _, err := load.Load(t.Context(), nil, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestProgressAndInterruption(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	cfg := config()
	var lines bytes.Buffer
	cfg.Progress = &lines
	mustLoad(t, sp, cfg)
	if !bytes.Contains(lines.Bytes(), []byte("accounts: 40 of 40")) {
		t.Errorf("progress:\n%s", &lines)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cfg.AnyStore = true
	if _, err := load.Load(ctx, sp.DB, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	var last int64
	err := workers.Transact(t.Context(), sp.DB, false, func(tx *workers.Tx) (err error) {
		last, err = workers.LockSequence(t.Context(), tx, "users", true)
		return err
	})
	if err != nil || last != cfg.Accounts {
		t.Errorf("the sequence is left at %d, %v", last, err)
	}
}
