package storage_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/storage"
	"sponge/workers/workertest"
)

var services workertest.Services

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("25") // each is some hundred transactions
	}
	workertest.Main(m, &services)
}

// model says simply what numbering and cursors should do: it knows what was
// sent, what each user's only connection was shown, and what its edge still
// keeps because no cursor has moved over it.
type model struct {
	t     *rapid.T
	sp    *workertest.Space
	users []int64
	group protocol.Conversation
	sent  map[protocol.Conversation][]message // index seq-1
	shown map[seat][]bool                     // index seq-1
	held  map[seat][]bool                     // shown, but above the cursor as the edge knows it

	frames int // sent, to give each an id
}

type message struct {
	from  int64
	frame *workers.Frame
	reply string
}

type seat struct {
	user int64
	conv protocol.Conversation
}

func newModel(t *rapid.T, sp *workertest.Space, first int64) *model {
	m := &model{t: t, sp: sp, group: protocol.GroupOf(first), sent: map[protocol.Conversation][]message{},
		shown: map[seat][]bool{}, held: map[seat][]bool{}}
	m.exec("INSERT INTO conversations (a, b, last_seq) VALUES (0,?,0)", first)
	for u := first; u < first+3; u++ {
		m.users = append(m.users, u)
		m.exec("INSERT INTO users (id, name, verifier, created_at) VALUES (?,'u','',0)", u)
		m.exec("INSERT INTO members (group_id, user_id, joined_seq, joined_at) VALUES (?,?,0,0)", first, u)
		m.exec("INSERT INTO cursors (user_id, a, b, delivered) VALUES (?,0,?,0)", u, first)
	}
	m.exec("UPDATE sequences SET last_id = ?", first+10)
	return m
}

func (m *model) exec(query string, args ...any) {
	if _, err := m.sp.DB.Exec(query, args...); err != nil {
		m.t.Fatalf("%s: %v", query, err)
	}
}

func (m *model) frame(user int64, text string, env envelope.Envelope) *workers.Frame {
	f := &workers.Frame{User: user, Envelope: env}
	if _, err := f.Parse([]byte(text)); err != nil {
		m.t.Fatal(err)
	}
	f.Envelope.FrameID = f.NewFrameID(user)
	return f
}

// handle runs frames as one batch, as the runtime does: optimistically, and
// again with care where a repeat was met.
func (m *model) handle(frames ...*workers.Frame) []workers.Outcome {
	var out []workers.Outcome
	try := func(careful bool) error {
		return workers.Transact(context.Background(), m.sp.DB, careful, func(tx *workers.Tx) (err error) {
			out, err = storage.Handler{}.Handle(context.Background(), tx, frames)
			return err
		})
	}
	err := try(false)
	if err != nil {
		err = try(true)
	}
	if err != nil {
		m.t.Fatalf("handle: %v", err)
	}
	return out
}

func (m *model) conversations(user int64) []protocol.Conversation {
	out := []protocol.Conversation{m.group}
	for _, u := range m.users {
		out = append(out, protocol.Pair(user, u))
	}
	return out
}

func mark(seqs map[seat][]bool, s seat, seq int64, v bool) {
	for int64(len(seqs[s])) < seq {
		seqs[s] = append(seqs[s], false)
	}
	seqs[s][seq-1] = v
}

func isMarked(seqs map[seat][]bool, s seat, seq int64) bool {
	return seq <= int64(len(seqs[s])) && seqs[s][seq-1]
}

// show is a push, or a reply of the user's own, that reached the connection.
func (m *model) show(s seat, seq int64) {
	mark(m.shown, s, seq, true)
	mark(m.held, s, seq, true)
}

// send is a batch of chats, some of them repeats. Each push reaches each
// recipient or, as when there is no connection, does not.
func (m *model) send(t *rapid.T) {
	var frames []*workers.Frame
	var convs []protocol.Conversation
	var wanted []string // the reply of a repeat
	for i := range rapid.IntRange(1, 6).Draw(t, "frames") {
		user := rapid.SampledFrom(m.users).Draw(t, "from")
		conv := rapid.SampledFrom(m.conversations(user)).Draw(t, "conversation")
		if old := m.sent[conv]; len(old) > 0 && rapid.IntRange(0, 4).Draw(t, "repeat") == 0 {
			again := rapid.SampledFrom(old).Draw(t, "which")
			frames, convs, wanted = append(frames, again.frame), append(convs, conv), append(wanted, again.reply)
			continue
		}
		m.frames++
		text := fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"%d","id":"%d"}`, conv.Other(user), i, m.frames)
		if conv.IsGroup() {
			text = fmt.Sprintf(`{"msgType":9,"GROUPID":%d,"msg":"%d"}`, conv.Group(), i)
		}
		frames, convs, wanted = append(frames, m.frame(user, text, envelope.Envelope{Arrival: 1})), append(convs, conv), append(wanted, "")
	}
	for i, o := range m.handle(frames...) {
		f, conv := frames[i], convs[i]
		if wanted[i] != "" {
			if string(o.Reply) != wanted[i] || o.Push != nil {
				t.Fatalf("repeat got %s, not %s", o.Reply, wanted[i])
			}
			continue
		}
		next := int64(len(m.sent[conv]) + 1)
		if o.Push == nil || o.Push.Seq != next {
			t.Fatalf("%s in %s: %s, not seq %d", f.Bytes, conv, o.Reply, next)
		}
		m.sent[conv] = append(m.sent[conv], message{f.User, f, string(o.Reply)})
		m.show(seat{f.User, conv}, next)
		for _, u := range m.users {
			if u != f.User && (conv.IsGroup() || conv.Has(u)) && rapid.Bool().Draw(t, "online") {
				m.show(seat{u, conv}, next)
			}
		}
	}
}

// ranges is what the edge would attach: all that it keeps for the user.
func (m *model) ranges(user int64) (out []envelope.Range) {
	for _, conv := range m.conversations(user) {
		s := seat{user, conv}
		for seq := int64(1); seq <= int64(len(m.held[s])); seq++ {
			if !m.held[s][seq-1] {
				continue
			}
			if n := len(out); n > 0 && out[n-1].Conversation == conv && out[n-1].To == seq-1 {
				out[n-1].To = seq
			} else {
				out = append(out, envelope.Range{Conversation: conv, From: seq, To: seq})
			}
		}
	}
	return out
}

func (m *model) settle(user int64, cursors []envelope.Range) {
	for _, c := range cursors {
		s := seat{user, c.Conversation}
		for seq := int64(1); seq <= min(c.To, int64(len(m.held[s]))); seq++ {
			m.held[s][seq-1] = false
		}
	}
}

func (m *model) report(t *rapid.T) {
	user := rapid.SampledFrom(m.users).Draw(t, "user")
	f := m.frame(user, `{"msgType":5}`, envelope.Envelope{Kind: envelope.Report, Ranges: m.ranges(user)})
	m.settle(user, m.handle(f)[0].Cursors)
}

// forget is a connection that closes before its edge could report.
func (m *model) forget(t *rapid.T) {
	user := rapid.SampledFrom(m.users).Draw(t, "user")
	for s := range m.held {
		if s.user == user {
			delete(m.held, s)
		}
	}
}

func (m *model) offline(t *rapid.T) {
	m.fetch(rapid.SampledFrom(m.users).Draw(t, "user"))
}

// fetch is a 14: it brings, in order, every message of others that the edge
// does not know to be shown and that lies above the cursor; so everything that
// was never shown at all.
func (m *model) fetch(user int64) (n int) {
	ranges := m.ranges(user)
	o := m.handle(m.frame(user, `{"msgType":14}`, envelope.Envelope{Ranges: ranges}))[0]
	var reply struct {
		Messages []struct {
			FROMID, TOID, GROUPID, Seq int64
		}
		More bool
	}
	if err := json.Unmarshal(o.Reply, &reply); err != nil {
		m.t.Fatal(err)
	}
	last := map[protocol.Conversation]int64{}
	for _, msg := range reply.Messages {
		conv := protocol.GroupOf(msg.GROUPID)
		if msg.GROUPID == 0 {
			conv = protocol.Pair(msg.FROMID, msg.TOID)
		}
		s := seat{user, conv}
		if msg.Seq <= last[conv] || msg.FROMID == user || isMarked(m.held, s, msg.Seq) {
			m.t.Fatalf("14 of %d brought seq %d of %s from %d, after %d, with %v attached", user, msg.Seq, conv, msg.FROMID, last[conv], ranges)
		}
		last[conv] = msg.Seq
		m.show(s, msg.Seq)
	}
	m.settle(user, o.Cursors)
	for _, r := range o.Shown { // what the page lets the edge report
		for seq := r.From; seq <= r.To; seq++ {
			mark(m.held, seat{user, r.Conversation}, seq, true)
		}
	}
	for _, conv := range m.conversations(user) {
		for i, msg := range m.sent[conv] {
			if s := (seat{user, conv}); msg.from != user && !isMarked(m.shown, s, int64(i+1)) {
				m.t.Fatalf("14 of %d did not bring seq %d of %s", user, i+1, conv)
			}
		}
	}
	return len(reply.Messages)
}

// check holds the cursors to the promise: none has moved over a message that
// was never shown.
func (m *model) check(t *rapid.T) {
	for _, user := range m.users {
		for _, conv := range m.conversations(user) {
			var delivered int64
			err := m.sp.DB.QueryRow("SELECT COALESCE(MAX(delivered), 0) FROM cursors WHERE user_id = ? AND a = ? AND b = ?",
				user, conv.A, conv.B).Scan(&delivered)
			if err != nil {
				t.Fatal(err)
			}
			for i, msg := range m.sent[conv][:min(delivered, int64(len(m.sent[conv])))] {
				if msg.from != user && !isMarked(m.shown, seat{user, conv}, int64(i+1)) {
					t.Fatalf("the cursor of %d in %s is at %d, but %d was never shown", user, conv, delivered, i+1)
				}
			}
		}
	}
}

func TestNumberingAndCursorsAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	first := int64(1)
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, sp, first)
		first += 100
		rt.Repeat(map[string]func(*rapid.T){
			"": m.check, "send": m.send, "report": m.report, "forget": m.forget, "offline": m.offline,
		})
		for _, user := range m.users { // in the end everyone has everything, and nothing is left
			m.fetch(user)
			m.settle(user, m.handle(m.frame(user, `{"msgType":5}`, envelope.Envelope{Kind: envelope.Report, Ranges: m.ranges(user)}))[0].Cursors)
			if n := m.fetch(user); n != 0 {
				rt.Fatalf("a second 14 of %d brought %d again", user, n)
			}
			if left := m.ranges(user); len(left) != 0 {
				rt.Fatalf("the edge keeps %v of %d for ever", left, user)
			}
			err := workers.Transact(context.Background(), sp.DB, false, func(tx *workers.Tx) error {
				n, err := storage.Unread(context.Background(), tx, []int64{user})
				if n[user] != 0 {
					rt.Errorf("unread of %d: %d", user, n[user])
				}
				return err
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
	})
}
