// Package group holds the handlers of sponge.group: create and join. It owns
// the tables groups and members.
//
// It must not know messages beyond the number that a member joins behind.
package group

import (
	"context"
	"fmt"
	"slices"

	"sponge/pkg/protocol"
	"sponge/workers"
)

// Handler handles 10 and 12. It keeps nothing.
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
	b, err := begin(ctx, tx, frames)
	if err != nil {
		return nil, err
	}
	outcomes := make([]workers.Outcome, len(frames))
	for i, f := range frames {
		switch f.Type {
		case protocol.CreateGroup:
			outcomes[i], err = b.create(ctx, tx, f)
		case protocol.JoinGroup:
			outcomes[i], err = b.join(ctx, tx, f)
		default:
			err = fmt.Errorf("type %s is not handled by group", f.Type)
		}
		if err != nil {
			return nil, err
		}
	}
	if b.last != b.first {
		workers.AdvanceSequence(tx, "groups", b.last)
	}
	b.memory.Save(tx)
	return outcomes, nil
}

// batch is what the batch's frames share: the joined groups' conversations,
// locked, and the sequence.
type batch struct {
	memory      *workers.Memory
	lastSeq     map[int64]int64 // by group, for those that exist
	first, last int64           // group ids
}

func begin(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) (*batch, error) {
	b := &batch{lastSeq: map[int64]int64{}}
	var joined []int64
	creates := false
	for _, f := range frames {
		creates = creates || f.Type == protocol.CreateGroup
		if id := f.UserID(protocol.FieldGroup); f.Type == protocol.JoinGroup && id != 0 {
			joined = append(joined, id)
		}
	}
	slices.Sort(joined)
	joined = slices.Compact(joined)
	if err := b.lock(ctx, tx, joined); err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(joined, func(id int64) bool { _, ok := b.lastSeq[id]; return ok })
	if creates || len(missing) > 0 {
		last, err := workers.LockSequence(ctx, tx, "groups", creates)
		if err != nil {
			return nil, fmt.Errorf("lock groups' sequence: %w", err)
		}
		b.first, b.last = last, last
		// What was created between the two locks is there now.
		missing = slices.DeleteFunc(missing, func(id int64) bool { return id > last })
		if err := b.lock(ctx, tx, missing); err != nil {
			return nil, err
		}
	}
	var err error
	if b.memory, err = workers.Remember(ctx, tx, frames, workers.FrameID); err != nil {
		return nil, fmt.Errorf("look for repeats: %w", err)
	}
	return b, nil
}

// lock locks groups' conversation rows, by primary key.
func (b *batch) lock(ctx context.Context, tx *workers.Tx, groups []int64) error {
	err := workers.In(ctx, tx, "SELECT b, last_seq FROM conversations FORCE INDEX (PRIMARY) WHERE a = 0 AND b IN ({}) ORDER BY b FOR UPDATE", "?", nil, groups,
		workers.One, func(scan func(...any) error) error {
			var id, seq int64
			err := scan(&id, &seq)
			b.lastSeq[id] = seq
			return err
		})
	if err != nil {
		return fmt.Errorf("lock groups: %w", err)
	}
	return nil
}

func (b *batch) create(ctx context.Context, tx *workers.Tx, f *workers.Frame) (workers.Outcome, error) {
	var name, description string
	refused := workers.Check(f, func(v *protocol.Validator) int64 {
		name = v.Chars(protocol.FieldName, 1, protocol.MaxName)
		description = v.OptionalChars(protocol.FieldDescription, protocol.MaxDescript)
		return v.OwnID(protocol.FieldFrom, f.User)
	})
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	if o, ok := b.memory.Repeat(f); ok {
		return o, nil
	}
	b.last++
	id := b.last
	tx.Write("INSERT INTO `groups` (id, name, description, creator_id, created_at) VALUES (?,?,?,?,?)",
		id, name, description, f.User, f.Time())
	tx.Write("INSERT INTO conversations (a, b, last_seq) VALUES (0,?,0)", id)
	b.lastSeq[id] = 0
	addMember(tx, id, f, 0)
	return b.memory.Keep(f, fields(id, name, description)), nil
}

func fields(id int64, name, description string) protocol.Object {
	return protocol.Object(nil).Int("GROUPID", id).Text("name", name).Text("description", description)
}

// addMember makes the frame's user a member who sees what comes after seq.
func addMember(tx *workers.Tx, group int64, f *workers.Frame, seq int64) {
	tx.Write("INSERT INTO members (group_id, user_id, joined_seq, joined_at) VALUES (?,?,?,?)", group, f.User, seq, f.Time())
	// A cursor may be left from an earlier membership.
	tx.Write("INSERT INTO cursors (user_id, a, b, delivered, `read`) VALUES (?,0,?,?,?)"+
		" ON DUPLICATE KEY UPDATE delivered = VALUES(delivered), `read` = VALUES(`read`)", f.User, group, seq, seq)
}

func (b *batch) join(ctx context.Context, tx *workers.Tx, f *workers.Frame) (workers.Outcome, error) {
	var id int64
	refused := workers.Check(f, func(v *protocol.Validator) int64 {
		id = v.ID(protocol.FieldGroup)
		return v.OwnID(protocol.FieldFrom, f.User)
	})
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	if o, ok := b.memory.Repeat(f); ok {
		return o, nil
	}
	seq, ok := b.lastSeq[id]
	if !ok {
		return workers.Refuse(f, protocol.Errorf(protocol.NotFound, "there is no group %d", id)), nil
	}
	var member int64
	already, err := tx.Get(ctx, "SELECT user_id FROM members WHERE group_id = ? AND user_id = ?", []any{id, f.User}, &member)
	if err != nil {
		return workers.Outcome{}, fmt.Errorf("look for member: %w", err)
	}
	if already {
		return workers.Refuse(f, protocol.Errorf(protocol.Conflict, "you are a member of group %d already", id)), nil
	}
	addMember(tx, id, f, seq)
	var name, description string
	if _, err := tx.Get(ctx, "SELECT name, description FROM `groups` WHERE id = ?", []any{id}, &name, &description); err != nil {
		return workers.Outcome{}, fmt.Errorf("read group: %w", err)
	}
	return b.memory.Keep(f, fields(id, name, description)), nil
}
