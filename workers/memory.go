package workers

import (
	"context"
	"slices"

	"sponge/pkg/protocol"
)

// Memory is what a batch knows of frames that succeeded before: a repeat gets
// the first success again and has no second effect. It is used within one
// transaction. Rows are in outcomes, by primary key.
type Memory struct {
	id    func(*Frame) [16]byte
	known map[[16]byte]success
	fresh [][16]byte
}

type success struct {
	hash     [32]byte
	recorded int64
	fields   []byte // JSON members of the reply, without braces
}

// FrameID is what most frames are remembered by.
func FrameID(f *Frame) [16]byte { return f.Envelope.FrameID }

// Remember looks up the frames of a batch whose type is remembered. id says by
// what.
func Remember(ctx context.Context, tx *Tx, frames []*Frame, id func(*Frame) [16]byte) (*Memory, error) {
	m := &Memory{id: id, known: map[[16]byte]success{}}
	var ids [][16]byte
	for _, f := range frames {
		if f.Type.Remembered() && f.Envelope.Kind == 0 {
			ids = append(ids, id(f))
		}
	}
	err := In(ctx, tx, "SELECT id, content_hash, recorded_at, reply FROM outcomes WHERE id IN ({})", "?", nil, ids,
		func(a []any, id [16]byte) []any { return append(a, id[:]) },
		func(scan func(...any) error) error {
			var id, hash, fields []byte
			var s success
			if err := scan(&id, &hash, &s.recorded, &fields); err != nil {
				return err
			}
			s.hash, s.fields = [32]byte(hash), fields
			m.known[[16]byte(id)] = s
			return nil
		})
	return m, err
}

// Repeat is the outcome of a frame that succeeded before, at most RememberFor
// ago: its success again, or 409 where the content is another.
func (m *Memory) Repeat(f *Frame) (o Outcome, ok bool) {
	s, ok := m.known[m.id(f)]
	if !ok || f.Time()-s.recorded > RememberFor.Milliseconds() {
		return Outcome{}, false
	}
	if s.hash != f.ContentHash() {
		return Refuse(f, protocol.Errorf(protocol.Conflict, "this id was used for another frame")), true
	}
	return succeed(f, s.fields), true
}

// Keep makes the outcome of a success, remembered from now on. fields are the
// reply's own keys.
func (m *Memory) Keep(f *Frame, fields protocol.Object) Outcome {
	id := m.id(f)
	m.known[id] = success{hash: f.ContentHash(), recorded: f.Time(), fields: fields}
	m.fresh = append(m.fresh, id)
	return succeed(f, fields)
}

func succeed(f *Frame, fields []byte) Outcome {
	reply := protocol.NewReply(nil, f.Type, protocol.OK, f.Echo())
	if len(fields) > 0 {
		reply = append(append(reply, ','), fields...)
	}
	return Outcome{Reply: reply.End()}
}

// Save writes what was kept.
func (m *Memory) Save(tx *Tx) {
	Insert(tx, "INSERT INTO outcomes (id, content_hash, recorded_at, reply) VALUES {}"+
		" ON DUPLICATE KEY UPDATE content_hash = VALUES(content_hash), recorded_at = VALUES(recorded_at), reply = VALUES(reply)",
		"(?,?,?,?)", m.fresh, func(a []any, id [16]byte) []any {
			s := m.known[id]
			return append(a, id[:], s.hash[:], s.recorded, []byte(s.fields))
		})
}

// Recall implements Handler.Recall for handlers whose successes are all in
// outcomes.
func Recall(ctx context.Context, tx *Tx, frames []*Frame, id func(*Frame) [16]byte) ([]Outcome, error) {
	m, err := Remember(ctx, tx, frames, id)
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, len(frames))
	for i, f := range frames {
		o, ok := Outcome{}, false
		if f.Type.Remembered() {
			o, ok = m.Repeat(f)
		}
		if out[i] = o; !ok {
			out[i] = Outcome{Unsettled: true}
		}
	}
	return out, nil
}

// LockSequence locks the row that ids of a kind come from ("users" or
// "groups"), exclusively to give ids out, else shared to conclude that one
// does not exist. It returns the highest id that was given out.
func LockSequence(ctx context.Context, tx *Tx, name string, exclusive bool) (last int64, err error) {
	query := "SELECT last_id FROM sequences WHERE name = ? LOCK IN SHARE MODE"
	if exclusive {
		query = "SELECT last_id FROM sequences WHERE name = ? FOR UPDATE"
	}
	_, err = tx.Get(ctx, query, []any{name}, &last)
	return last, err
}

// AdvanceSequence notes that ids up to last were given out.
func AdvanceSequence(tx *Tx, name string, last int64) {
	tx.Write("UPDATE sequences SET last_id = ? WHERE name = ?", last, name)
}

// Users tells which of some users exist. Users are never deleted, so one that
// is found is certain; where one is missing, the sequence decides under its
// lock: ids are given out in order.
func Users(ctx context.Context, tx *Tx, ids []int64) (map[int64]bool, error) {
	found := make(map[int64]bool, len(ids))
	look := func() error {
		var missing []int64
		for _, id := range ids {
			if !found[id] {
				missing = append(missing, id)
			}
		}
		// By primary key.
		return In(ctx, tx, "SELECT id FROM users WHERE id IN ({})", "?", nil, missing, One,
			func(scan func(...any) error) error {
				var id int64
				err := scan(&id)
				found[id] = true
				return err
			})
	}
	if err := look(); err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return found[id] })
	if len(missing) == 0 {
		return found, nil
	}
	last, err := LockSequence(ctx, tx, "users", false)
	if err != nil || slices.Min(missing) > last {
		return found, err
	}
	return found, look() // registered between the look and the lock
}
