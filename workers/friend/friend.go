// Package friend holds the handlers of sponge.friend: befriend, list friends,
// and search accounts. It owns the table friends.
//
// It must not know messages, groups or passwords.
package friend

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sponge/pkg/protocol"
	"sponge/workers"
)

// Handler handles 6, 8 and 15. It keeps nothing.
type Handler struct{}

// New makes the handler.
func New(workers.Resources) (workers.Handler, error) { return Handler{}, nil }

// Prepare implements workers.Handler: nothing here is slow or random.
func (Handler) Prepare(context.Context, []*workers.Frame) error { return nil }

// Recall implements workers.Handler.
func (Handler) Recall(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	return workers.Recall(ctx, tx, frames, workers.FrameID)
}

// Handle implements workers.Handler.
func (Handler) Handle(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	outcomes := make([]workers.Outcome, len(frames))
	b, err := begin(ctx, tx, frames)
	if err != nil {
		return nil, err
	}
	for i, f := range frames {
		switch f.Type {
		case protocol.Befriend:
			outcomes[i], err = b.befriend(ctx, tx, f)
		case protocol.ListFriends:
			outcomes[i], err = list(ctx, tx, f)
		case protocol.Search:
			outcomes[i], err = search(ctx, tx, f)
		default:
			err = fmt.Errorf("type %s is not handled by friend", f.Type)
		}
		if err != nil {
			return nil, err
		}
	}
	b.memory.Save(tx)
	return outcomes, nil
}

// batch is what the batch's befriendings share: which users exist, with their
// rows locked, and what succeeded before.
type batch struct {
	memory *workers.Memory
	users  map[int64]bool
}

func begin(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) (*batch, error) {
	var ids []int64
	for _, f := range frames {
		if f.Type == protocol.Befriend && f.User != 0 {
			ids = append(ids, f.User)
			if other := f.UserID(protocol.FieldU2); other != 0 {
				ids = append(ids, other)
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	users, err := workers.Users(ctx, tx, ids)
	if err != nil {
		return nil, fmt.Errorf("look for users: %w", err)
	}
	ids = slices.DeleteFunc(ids, func(id int64) bool { return !users[id] })
	// The users' rows are the lock of their friendships, in id order.
	err = workers.In(ctx, tx, "SELECT id FROM users FORCE INDEX (PRIMARY) WHERE id IN ({}) ORDER BY id FOR UPDATE", "?", nil, ids, workers.One,
		func(scan func(...any) error) error { var id int64; return scan(&id) })
	if err != nil {
		return nil, fmt.Errorf("lock users: %w", err)
	}
	memory, err := workers.Remember(ctx, tx, frames, workers.FrameID)
	if err != nil {
		return nil, fmt.Errorf("look for repeats: %w", err)
	}
	return &batch{memory, users}, nil
}

func (b *batch) befriend(ctx context.Context, tx *workers.Tx, f *workers.Frame) (workers.Outcome, error) {
	var other int64
	refused := workers.Check(f, func(v *protocol.Validator) int64 {
		own := v.OwnID(protocol.FieldU1, f.User)
		if other = v.ID(protocol.FieldU2); other != 0 && other == own {
			v.Fail(protocol.FieldU2, "you are your own friend already")
		}
		return own
	})
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	if o, ok := b.memory.Repeat(f); ok {
		return o, nil
	}
	if !b.users[other] {
		return workers.Refuse(f, protocol.Errorf(protocol.NotFound, "there is no user %d", other)), nil
	}
	var already, mine, theirs int64
	// By primary key, and ranges of it.
	_, err := tx.Get(ctx, "SELECT (SELECT COUNT(*) FROM friends WHERE user_id = ? AND friend_id = ?),"+
		" (SELECT COUNT(*) FROM friends WHERE user_id = ?), (SELECT COUNT(*) FROM friends WHERE user_id = ?)",
		[]any{f.User, other, f.User, other}, &already, &mine, &theirs)
	if err != nil {
		return workers.Outcome{}, fmt.Errorf("look for friendship: %w", err)
	}
	switch {
	case already > 0:
		return workers.Refuse(f, protocol.Errorf(protocol.Conflict, "you and %d are friends already", other)), nil
	case mine >= protocol.MaxFriends:
		return workers.Refuse(f, protocol.Errorf(protocol.Forbidden, "you have %d friends, which is the limit", mine)), nil
	case theirs >= protocol.MaxFriends:
		return workers.Refuse(f, protocol.Errorf(protocol.Forbidden, "%d has %d friends, which is the limit", other, theirs)), nil
	}
	tx.Write("INSERT INTO friends (user_id, friend_id, created_at) VALUES (?,?,?), (?,?,?)",
		f.User, other, f.Time(), other, f.User, f.Time())
	return b.memory.Keep(f, protocol.Object(nil).Int("U1", f.User).Int("U2", other)), nil
}

type person struct {
	id   int64
	name string
}

// list answers 8. Who is online is looked up after the commit, with all of the
// batch.
func list(ctx context.Context, tx *workers.Tx, f *workers.Frame) (workers.Outcome, error) {
	refused := workers.Check(f, func(v *protocol.Validator) int64 { return v.OwnID(protocol.FieldFrom, f.User) })
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	var friends []person
	var ids []int64
	// A range of the primary key of friends, then users by theirs.
	err := tx.Query(ctx, "SELECT u.id, u.name FROM friends f JOIN users u ON u.id = f.friend_id WHERE f.user_id = ?",
		[]any{f.User}, func(scan func(...any) error) error {
			var p person
			err := scan(&p.id, &p.name)
			friends, ids = append(friends, p), append(ids, p.id)
			return err
		})
	if err != nil {
		return workers.Outcome{}, fmt.Errorf("list friends: %w", err)
	}
	slices.SortFunc(friends, func(a, b person) int { return cmp.Compare(a.id, b.id) })
	t, echo := f.Type, f.Echo()
	return workers.Outcome{Ask: ids, Render: func(online func(int64) bool) []byte {
		reply := append(protocol.NewReply(nil, t, protocol.OK, echo), `,"friends":[`...)
		for i, p := range friends {
			if i > 0 {
				reply = append(reply, ',')
			}
			reply = append(protocol.Object(append(reply, '{')).Int("USERID", p.id).Text("name", p.name).Bool("online", online(p.id)), '}')
		}
		return protocol.Object(append(reply, ']')).End()
	}}, nil
}
