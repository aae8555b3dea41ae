package login_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"pgregory.net/rapid"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/login"
	"sponge/workers/storage"
	"sponge/workers/workertest"
)

var services workertest.Services

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("60") // each is some ten transactions
	}
	workertest.Main(m, &services)
}

const users = 4 // accounts 1 to users, whose password is their id; 1 has an unread message

// world is a database with accounts, and the handler over it.
type world struct {
	*workertest.Space
	handler workers.Handler
	sealer  *keys.Sealer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{Space: services.NewSpace(t)}
	w.sealer = keys.NewSealer(w.Key.Seal())
	cfg := w.Config(t)
	var err error
	if w.handler, err = login.New(storage.Unread)(workers.Resources{Config: &cfg, DB: w.DB, Key: w.Key}); err != nil {
		t.Fatal(err)
	}
	for id := 1; id <= users; id++ {
		verifier, err := argon2id.CreateHash(fmt.Sprint(id), &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
		if err != nil {
			t.Fatal(err)
		}
		w.Exec(t, "INSERT INTO users (id, name, verifier, created_at) VALUES (?,?,?,0)", id, fmt.Sprintf("user%d", id), verifier)
	}
	w.Exec(t, "UPDATE sequences SET last_id = ? WHERE name = 'users'", users)
	w.Exec(t, "INSERT INTO conversations (a, b, last_seq) VALUES (1,2,1)")
	w.Exec(t, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES (1,2,1,'',2,0,'','{')")
	w.Exec(t, "INSERT INTO cursors (user_id, a, b, delivered) VALUES (1,1,2,0), (2,1,2,0)")
	return w
}

// handle runs prepared frames as one batch.
func (w *world) handle(t testing.TB, frames ...*workers.Frame) []workers.Outcome {
	t.Helper()
	out, err := w.try(frames...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) try(frames ...*workers.Frame) (out []workers.Outcome, err error) {
	err = workers.Transact(context.Background(), w.DB, false, func(tx *workers.Tx) (err error) {
		out, err = w.handler.Handle(context.Background(), tx, frames)
		return err
	})
	return out, err
}

func (w *world) prepare(t testing.TB, frames ...*workers.Frame) {
	t.Helper()
	if err := w.handler.Prepare(context.Background(), frames); err != nil {
		t.Fatal(err)
	}
}

// session adds a row for a token.
func (w *world) session(t testing.TB, token string, user int64, expires time.Time) {
	t.Helper()
	id := keys.TokenID(token)
	w.Exec(t, "INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES (?,?,0,?)", id[:], user, expires.UnixMilli())
}

// frame makes a frame as the runtime hands it over; user and session are the
// connection's. %s in the text are secrets, which are sealed.
func (w *world) frame(t testing.TB, user int64, session string, text string, secrets ...string) *workers.Frame {
	t.Helper()
	f := &workers.Frame{User: user, Envelope: envelope.Envelope{Node: "e1", Conn: 7, Arrival: 1}}
	if user != 0 {
		f.Session = keys.TokenID(session)
	}
	sealed := make([]any, len(secrets))
	for i, s := range secrets {
		raw, err := w.sealer.Seal(fmt.Appendf(nil, "%q", s))
		if err != nil {
			t.Fatal(err)
		}
		sealed[i] = string(raw)
	}
	if _, err := f.Parse(fmt.Appendf(nil, text, sealed...)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	f.Envelope.FrameID = f.NewFrameID(user)
	return f
}

func (w *world) renewal(t testing.TB, user int64, session string) *workers.Frame {
	t.Helper()
	f := w.frame(t, user, session, `{"msgType":1}`)
	f.Envelope.Kind = envelope.Renew
	return f
}

// model says simply what the topic's frames should do.
type model struct {
	sessions map[string]known
	made     int // sessions by passwords
}

// known is a row of sessions.
type known struct {
	user    int64
	expired bool
}

// of is whose session a token is of, 0 where it is of none.
func (m *model) of(token string) int64 {
	if k := m.sessions[token]; !k.expired {
		return k.user
	}
	return 0
}

// step is a frame, and what it should do: it returns the code of its outcome.
type step struct {
	frame *workers.Frame
	do    func(m *model) protocol.Code
}

// draw makes any frame of the topic. Of the tokens t0 to t5, each has a row of
// its owner's, an expired one, or none.
func (w *world) draw(t *testing.T, rt *rapid.T) step {
	own := rapid.Int64Range(0, users).Draw(rt, "logged in as")
	session := rapid.SampledFrom(tokens).Draw(rt, "by the session of")
	user := rapid.Int64Range(1, users+1).Draw(rt, "user")
	extra := rapid.SampledFrom([]string{"", `,"id":"i"`, `,"confirm":true`, `,"confirm":7`}).Draw(rt, "extra")
	login := fmt.Sprintf(`{"msgType":1,"USERID":%d`, user)
	// enter is what a login does whose secret is right or not.
	enter := func(right bool, success func()) protocol.Code {
		switch {
		case extra == `,"confirm":7`:
			return protocol.Malformed
		case !right:
			return protocol.Unauthorized
		case own != 0 && own != user:
			return protocol.Conflict
		}
		success()
		return protocol.OK
	}
	switch rapid.IntRange(0, 9).Draw(rt, "kind") {
	case 0:
		return step{w.renewal(t, own, session), func(m *model) protocol.Code {
			if own == 0 || m.of(session) == 0 {
				return protocol.Unauthorized
			}
			return protocol.OK
		}}
	case 1, 2:
		whom := rapid.SampledFrom([]string{"", fmt.Sprintf(`,"USERID":%d`, user), `,"id":"o"`}).Draw(rt, "whom")
		return step{w.frame(t, own, session, `{"msgType":3`+whom+`}`), func(m *model) protocol.Code {
			switch {
			case own == 0:
				return protocol.Unauthorized
			case strings.Contains(whom, "USERID") && user != own:
				return protocol.Forbidden
			}
			delete(m.sessions, session)
			return protocol.OK
		}}
	case 3:
		password := rapid.SampledFrom([]string{fmt.Sprint(user), "wrong"}).Draw(rt, "password")
		return step{w.frame(t, own, session, login+`,"password":%s`+extra+`}`, password), func(m *model) protocol.Code {
			return enter(password != "wrong" && user <= users, func() { m.made++ })
		}}
	case 4:
		id := rapid.SampledFrom([]string{"", `,"id":"r"`}).Draw(rt, "id")
		return step{w.frame(t, own, session, `{"msgType":2,"name":"new","password":%s`+id+`}`, "p"), func(*model) protocol.Code { return protocol.OK }}
	case 5:
		return step{w.frame(t, own, session, login+`,"password":%s,"token":%s}`, "1", "t1"), func(*model) protocol.Code { return protocol.Malformed }}
	}
	i := rapid.IntRange(0, len(tokens)-1).Draw(rt, "token")
	if rapid.IntRange(0, 3).Draw(rt, "own token") > 0 {
		user = owner(i)
		login = fmt.Sprintf(`{"msgType":1,"USERID":%d`, user)
	}
	return step{w.frame(t, own, session, login+`,"token":%s`+extra+`}`, tokens[i]), func(m *model) protocol.Code {
		return enter(m.of(tokens[i]) == user, func() {})
	}}
}

var tokens = []string{"t0", "t1", "t2", "t3", "t4", "t5"}

func owner(token int) int64 { return int64(token%users + 1) }

// row is what stands in sessions, without times that only the clock decides.
type row struct {
	id     [16]byte
	user   int64
	moved  bool // expires_at, by a login
	lately bool // created
}

func (w *world) rows(t testing.TB, start time.Time) (out []row) {
	t.Helper()
	rows, err := w.DB.Query("SELECT id, user_id, expires_at > ?, created_at > 0 FROM sessions ORDER BY id", start.Add(24*time.Hour).UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var id []byte
		if err := rows.Scan(&id, &r.user, &r.moved, &r.lately); err != nil {
			t.Fatal(err)
		}
		r.id = [16]byte(id)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// outcome is an outcome without what is random, or which second it was.
func (w *world) outcome(t *rapid.T, f *workers.Frame, o workers.Outcome) string {
	proof := "no proof"
	if o.Proof != nil {
		if err := w.Key.Check(o.Proof, f.Envelope.Node, f.Envelope.Conn); err != nil || time.Until(o.Proof.Expiry()) < time.Minute {
			t.Fatalf("proof until %s: %v", o.Proof.Expiry(), err)
		}
		proof = fmt.Sprintf("%d by %x", o.Proof.User(), o.Proof.Session())
	}
	return fmt.Sprintf("%d %s session %d, %s, confirm %t, caught up %t, input %t", o.Code, o.Reply, o.Session, proof, o.Confirm, o.CaughtUp, o.JournalInput != nil)
}

// However frames are gathered into batches, each gets the same outcome, the one
// that the model has, and the same rows are left.
func TestABatchDoesWhatItsFramesDoOneByOne(t *testing.T) {
	t.Parallel()
	batch, single := newWorld(t), newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		start := time.Now()
		m := &model{sessions: map[string]known{}}
		for i, token := range tokens {
			switch rapid.IntRange(0, 3).Draw(rt, "session") {
			case 0:
			case 1:
				m.sessions[token] = known{owner(i), true}
			default:
				m.sessions[token] = known{owner(i), false}
			}
		}
		for _, w := range []*world{batch, single} {
			w.Exec(t, "DELETE FROM sessions")
			for token, k := range m.sessions {
				expires := start.Add(time.Hour)
				if k.expired {
					expires = start.Add(-time.Minute)
				}
				w.session(t, token, k.user, expires)
			}
		}
		var steps []step
		var frames []*workers.Frame
		for range rapid.IntRange(1, 12).Draw(rt, "frames") {
			s := batch.draw(t, rt)
			steps, frames = append(steps, s), append(frames, s.frame)
		}
		batch.prepare(t, frames...)
		together := batch.handle(t, frames...)
		for i, f := range frames {
			alone := single.outcome(rt, f, single.with(batch).handle(t, f)[0])
			if got := batch.outcome(rt, f, together[i]); got != alone {
				rt.Fatalf("frame %d, %s:\n%s\nin a batch, alone\n%s", i, f.Bytes, got, alone)
			}
			if want := steps[i].do(m); together[i].Code != want {
				rt.Fatalf("frame %d, %s: %s, not code %d", i, f.Bytes, together[i].Reply, want)
			}
		}
		left := batch.rows(t, start)
		if want := single.rows(t, start); !slices.Equal(left, want) {
			rt.Fatalf("a batch leaves sessions\n%+v\nframes one by one\n%+v", left, want)
		}
		if len(left) != len(m.sessions)+m.made {
			rt.Fatalf("there are %d sessions, not %v and %d new ones", len(left), m.sessions, m.made)
		}
		for token := range m.sessions {
			if id := keys.TokenID(token); !slices.ContainsFunc(left, func(r row) bool { return r.id == id }) {
				rt.Fatalf("the session of %s has ended", token)
			}
		}
	})
	for _, table := range []string{"users", "outcomes", "name_grams"} {
		if got, want := batch.Int(t, "SELECT COUNT(*) FROM "+table), single.Int(t, "SELECT COUNT(*) FROM "+table); got != want || got == 0 {
			t.Errorf("batches leave %d rows in %s, frames one by one %d", got, table, want)
		}
	}
}

// with is w's database with the handler, and so the key, of another.
func (w *world) with(other *world) *world {
	space := *w.Space
	space.Key = other.Key
	w.Space = &space
	return &world{w.Space, other.handler, other.sealer}
}

// A token login that comes while a logout is being committed elsewhere waits
// for it, and does not bring the session back.
func TestLogoutElsewhereIsNotUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.session(t, "t0", 1, time.Now().Add(time.Hour))
	elsewhere, err := w.DB.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Exec("DELETE FROM sessions"); err != nil {
		t.Fatal(err)
	}
	frames := []*workers.Frame{w.frame(t, 0, "", `{"msgType":1,"USERID":1,"token":%s}`, "t0"), w.renewal(t, 1, "t0")}
	w.prepare(t, frames...)
	type result struct {
		out []workers.Outcome
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := w.try(frames...)
		done <- result{out, err}
	}()
	tick := time.NewTicker(150 * time.Millisecond) // who asks more often is told what was
	defer tick.Stop()
	for w.Int(t, "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id"+
		" WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()") == 0 {
		select {
		case r := <-done:
			t.Fatalf("decided without waiting for the logout: %+v, %v", r.out, r.err)
		case <-tick.C:
		}
	}
	if err := elsewhere.Commit(); err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	if r.out[0].Code != protocol.Unauthorized || r.out[1].Session != channel.SessionRevoked {
		t.Errorf("after the logout: login %s, renewal %v", r.out[0].Reply, r.out[1].Session)
	}
	if n := w.Int(t, "SELECT COUNT(*) FROM sessions"); n != 0 {
		t.Errorf("%d sessions are back", n)
	}
}

// Whoever is making a friend has users' rows locked: nobody's login waits for
// that.
func TestLoginWaitsForNoUsersRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.session(t, "t0", 1, time.Now().Add(time.Hour))
	elsewhere, err := w.DB.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Rollback()
	if _, err := elsewhere.Exec("SELECT id FROM users WHERE id < 3 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	frames := []*workers.Frame{w.frame(t, 0, "", `{"msgType":1,"USERID":1,"token":%s}`, "t0"),
		w.frame(t, 0, "", `{"msgType":1,"USERID":2,"password":%s}`, "2")}
	w.prepare(t, frames...)
	for i, o := range w.handle(t, frames...) { // else the wait for the lock times out
		if reply := workertest.Decode(t, o.Reply); o.Code != 0 || reply["name"] != fmt.Sprint("user", i+1) {
			t.Errorf("login: %s", o.Reply)
		}
	}
}

// Workers whose batches name the same sessions in any order never deadlock.
func TestBatchesWithTheSameSessionsNeverDeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const sessions, workerCount, batches = 300, 3, 8 // most of them are more than one list has
	failed := make(chan error, workerCount)
	for i := range sessions {
		w.session(t, fmt.Sprint("s", i), int64(i%users+1), time.Now().Add(time.Hour))
	}
	for n := range workerCount {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		var all [][]*workers.Frame
		for range batches {
			var frames []*workers.Frame
			for _, i := range random.Perm(sessions)[:sessions*5/6] {
				token, user := fmt.Sprint("s", i), int64(i%users+1)
				switch random.IntN(8) {
				case 0:
					frames = append(frames, w.frame(t, user, token, `{"msgType":3}`))
				case 1:
					frames = append(frames, w.renewal(t, user, token))
				default:
					frames = append(frames, w.frame(t, 0, "", fmt.Sprintf(`{"msgType":1,"USERID":%d`, user)+`,"token":%s}`, token))
				}
			}
			w.prepare(t, frames...)
			all = append(all, frames)
		}
		go func() {
			var err error
			for _, frames := range all {
				_, e := w.try(frames...)
				err = errors.Join(err, e)
			}
			failed <- err
		}()
	}
	for range workerCount {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// A batch costs as many statements as another ten times its size. (Logouts, which
// are seldom, add one each, all in one round trip.)
func TestStatementsOfABatchDoNotGrowWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	statements := func(n int) (count int64) {
		t.Helper()
		var frames []*workers.Frame
		for i := range n {
			token, user := fmt.Sprint("s", n, "-", i), int64(i%users+1)
			w.session(t, token, user, time.Now().Add(time.Hour))
			frames = append(frames, w.frame(t, 0, "", fmt.Sprintf(`{"msgType":1,"USERID":%d`, user)+`,"token":%s}`, token),
				w.renewal(t, user, token), w.frame(t, 0, "", fmt.Sprintf(`{"msgType":1,"USERID":%d`, user)+`,"token":%s}`, token+"?"))
		}
		w.prepare(t, frames...)
		var before, after string
		err := workers.Transact(t.Context(), w.DB, false, func(tx *workers.Tx) error {
			var name string
			questions := func(into *string) error {
				_, err := tx.Get(t.Context(), "SHOW SESSION STATUS LIKE 'Questions'", nil, &name, into)
				return err
			}
			if err := questions(&before); err != nil {
				return err
			}
			out, err := w.handler.Handle(t.Context(), tx, frames)
			if err != nil {
				return err
			}
			for i, o := range out {
				if want := protocol.Code(0); i%3 == 2 && o.Code != protocol.Unauthorized || i%3 < 2 && o.Code != want {
					return fmt.Errorf("frame %d: %s", i, o.Reply)
				}
			}
			return questions(&after)
		})
		if err != nil {
			t.Fatal(err)
		}
		var a, b int64
		if _, err := fmt.Sscan(before+" "+after, &a, &b); err != nil {
			t.Fatal(err)
		}
		return b - a
	}
	few, many := statements(3), statements(30)
	if few != many || many > 10 {
		t.Errorf("%d statements for 9 frames, %d for 90", few, many)
	}
}

// Of passwords, which take long to hash, few are in a batch; of other frames any
// number, but none that came behind a password of its partition that must wait.
func TestPortions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	portion := w.handler.(workers.Portioner).Portion
	password := w.frame(t, 0, "", `{"msgType":1,"USERID":1,"password":%s}`, "1")
	register := w.frame(t, 0, "", `{"msgType":2,"name":"x","password":%s}`, "1")
	kinds := []*workers.Frame{password, register, w.frame(t, 0, "", `{"msgType":1,"USERID":1,"token":%s}`, "t"),
		w.renewal(t, 1, "t"), w.frame(t, 1, "t", `{"msgType":3}`), {}}
	hashed := func(frames []*workers.Frame) (n int) {
		for _, f := range frames {
			if f.Type == protocol.Register || f.Type == protocol.Login && f.Has(protocol.FieldPassword) {
				n++
			}
		}
		return n
	}
	first, rest := portion(slices.Repeat([]*workers.Frame{password}, 1000))
	most := len(first)
	if most < 1 || most > 100 || len(rest) != 1000-most {
		t.Fatalf("of 1000 passwords %d are a batch, %d wait", most, len(rest))
	}
	rapid.Check(t, func(t *rapid.T) {
		var frames []*workers.Frame
		for p := range rapid.IntRange(1, 4).Draw(t, "partitions") {
			for i := range rapid.IntRange(0, 3*most).Draw(t, "frames") {
				f := *rapid.SampledFrom(kinds).Draw(t, "kind")
				f.Partition, f.Offset = p, int64(i)
				frames = append(frames, &f)
			}
		}
		batch, later := portion(frames)
		if len(frames) > 0 && len(batch) == 0 || len(batch)+len(later) != len(frames) {
			t.Fatalf("%d frames are parted into %d and %d", len(frames), len(batch), len(later))
		}
		if n := hashed(batch); n > most || len(later) > 0 && n < most {
			t.Fatalf("%d passwords are in a batch, though %d may be, and %d frames wait", n, most, len(later))
		}
		next, behind := map[int]int64{}, map[int]bool{} // behind a password that waits
		for i, f := range slices.Concat(batch, later) {
			if f.Offset != next[f.Partition] {
				t.Fatalf("partition %d: %d comes before %d", f.Partition, f.Offset, next[f.Partition])
			}
			next[f.Partition]++
			if i >= len(batch) && !behind[f.Partition] && hashed([]*workers.Frame{f}) == 0 {
				t.Fatal("a frame waits that needs no hashing, behind no password that waits")
			}
			behind[f.Partition] = i >= len(batch)
		}
	})
}

// BenchmarkArgon2id is what the parameters for passwords cost by themselves, on
// all cores: what `sponge bench login` is compared with.
func BenchmarkArgon2id(b *testing.B) {
	params := &argon2id.Params{Memory: 19456, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	verifier, err := argon2id.CreateHash("a password", params)
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if same, err := argon2id.ComparePasswordAndHash("a password", verifier); err != nil || !same {
				b.Error(same, err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "passwords/s")
}
