package login

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// batch is one call of Handle. Sessions are locked and read all at once, the
// frames are decided one after another in memory, and what they changed is
// written all at once.
type batch struct {
	h        *Handler
	tx       *workers.Tx
	frames   []*workers.Frame
	outcomes []workers.Outcome
	now      time.Time // one for all, so that all agree on what has expired

	sessions map[keys.SessionID]session // that exist, after the frames so far
	changed  map[keys.SessionID]bool    // to be written, or removed where not in sessions
	names    map[int64]string           // of sessions' users
	entered  []int                      // the frames that logged in
}

// session is a session's row, locked for the transaction.
type session struct{ user, expires int64 }

func compareIDs(x, y keys.SessionID) int { return bytes.Compare(x[:], y[:]) }

// lock locks the sessions that frames name, in order: a logout elsewhere must
// not be undone, nor a proof be made of a session that has ended.
func (b *batch) lock(ctx context.Context) error {
	var ids []keys.SessionID
	for _, f := range b.frames {
		switch in, _ := f.Input.(*input); {
		case f.Envelope.Kind == envelope.Renew || f.Type == protocol.Logout:
			if f.User != 0 {
				ids = append(ids, f.Session)
			}
		case f.Type == protocol.Login && in.byToken && in.err == nil:
			ids = append(ids, in.session)
		}
	}
	slices.SortFunc(ids, compareIDs)
	ids = slices.Compact(ids)
	// By primary key. In a small table the optimizer would go through all rows,
	// and wait for those that another worker has locked.
	// The names come along; what is in a subquery is not locked.
	return workers.In(ctx, b.tx, "SELECT id, user_id, expires_at, (SELECT name FROM users WHERE users.id = user_id)"+
		" FROM sessions FORCE INDEX (PRIMARY) WHERE id IN ({}) ORDER BY id FOR UPDATE",
		"?", nil, ids, func(a []any, id keys.SessionID) []any { return append(a, id[:]) }, func(scan func(...any) error) error {
			var id []byte
			var s session
			var name sql.NullString
			if err := scan(&id, &s.user, &s.expires, &name); err != nil {
				return err
			}
			b.sessions[keys.SessionID(id)], b.names[s.user] = s, name.String
			return nil
		})
}

// find is a session that has not expired.
func (b *batch) find(id keys.SessionID) (s session, ok bool) {
	s, ok = b.sessions[id]
	return s, ok && s.expires > b.now.UnixMilli()
}

// login decides a login; welcome makes its reply.
func (b *batch) login(i int, f *workers.Frame) workers.Outcome {
	in := f.Input.(*input)
	if in.err != nil {
		return workers.Refuse(f, in.err)
	}
	if in.byToken {
		if s, ok := b.find(in.session); !ok || s.user != in.user {
			return workers.Refuse(f, wrong())
		}
	}
	if f.User != 0 && f.User != in.user {
		return workers.Refuse(f, protocol.Errorf(protocol.Conflict, "this connection is logged in as %d: log out first", f.User))
	}
	b.sessions[in.session] = session{in.user, b.now.Add(b.h.cfg.SessionTime).UnixMilli()}
	b.changed[in.session] = true
	b.entered = append(b.entered, i)
	return workers.Outcome{Session: channel.SessionBound, Confirm: in.confirm, Proof: b.prove(f, in.user, in.session)}
}

func (b *batch) prove(f *workers.Frame, user int64, id keys.SessionID) *keys.Proof {
	return b.h.key.Prove(user, id, f.Envelope.Node, f.Envelope.Conn, b.now.Add(b.h.cfg.ProofTime))
}

func (b *batch) renew(f *workers.Frame) workers.Outcome {
	s, ok := b.find(f.Session)
	if f.User == 0 || !ok {
		return workers.Outcome{Code: protocol.Unauthorized, Session: channel.SessionRevoked}
	}
	return workers.Outcome{Session: channel.SessionBound, Proof: b.prove(f, s.user, f.Session)}
}

func (b *batch) logout(f *workers.Frame) workers.Outcome {
	if err := workers.Check(f, func(v *protocol.Validator) int64 { return v.OwnID(protocol.FieldUser, f.User) }); err != nil {
		return workers.Refuse(f, err)
	}
	if _, ok := b.sessions[f.Session]; ok {
		delete(b.sessions, f.Session)
		b.changed[f.Session] = true
	}
	return workers.Outcome{Reply: protocol.NewReply(nil, f.Type, protocol.OK, f.Echo()).End(), Session: channel.SessionEnded}
}

// welcome makes the replies to those who logged in.
func (b *batch) welcome(ctx context.Context) error {
	if len(b.entered) == 0 {
		return nil
	}
	users := make([]int64, 0, len(b.entered))
	for _, i := range b.entered {
		users = append(users, b.frames[i].Input.(*input).user)
	}
	slices.Sort(users)
	users = slices.Compact(users)
	unnamed := slices.DeleteFunc(slices.Clone(users), func(id int64) bool { _, ok := b.names[id]; return ok })
	// By primary key.
	err := workers.In(ctx, b.tx, "SELECT id, name FROM users WHERE id IN ({})", "?", nil, unnamed, workers.One,
		func(scan func(...any) error) error {
			var id int64
			var name string
			err := scan(&id, &name)
			b.names[id] = name
			return err
		})
	if err != nil {
		return fmt.Errorf("read names: %w", err)
	}
	unread, err := b.h.unread(ctx, b.tx, users)
	if err != nil {
		return fmt.Errorf("count unread: %w", err)
	}
	for _, i := range b.entered {
		f, o := b.frames[i], &b.outcomes[i]
		in := f.Input.(*input)
		o.Reply = protocol.NewReply(nil, f.Type, protocol.OK, f.Echo()).
			Int("USERID", in.user).Text("name", b.names[in.user]).Text("token", in.token).Int("unread", unread[in.user]).End()
		o.CaughtUp = unread[in.user] == 0
	}
	return nil
}

// store writes the sessions that have changed.
func (b *batch) store() {
	var kept, ended []keys.SessionID
	for id := range b.changed {
		if _, ok := b.sessions[id]; ok {
			kept = append(kept, id)
		} else {
			ended = append(ended, id)
		}
	}
	slices.SortFunc(kept, compareIDs)
	slices.SortFunc(ended, compareIDs)
	workers.Insert(b.tx, "INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES {} ON DUPLICATE KEY UPDATE expires_at = VALUES(expires_at)",
		"(?,?,?,?)", kept, func(a []any, id keys.SessionID) []any {
			s := b.sessions[id]
			return append(a, id[:], s.user, b.now.UnixMilli(), s.expires)
		})
	// One by one: DELETE takes no index hint, and a list would go through all rows,
	// as above. They share a round trip all the same.
	for _, id := range ended {
		b.tx.Write("DELETE FROM sessions WHERE id = ?", id[:])
	}
}
