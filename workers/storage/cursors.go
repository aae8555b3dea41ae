package storage

import (
	"context"
	"fmt"
	"slices"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// received answers 5: all up to a seq has arrived. Success is silent.
func (b *batch) received(ctx context.Context, f *workers.Frame) (workers.Outcome, error) {
	conv, refused := b.addressee(f, func(v *protocol.Validator) { v.Int(protocol.FieldSeq, 0, 1, protocol.MaxInt) })
	if refused == nil && !f.Has(protocol.FieldSeq) {
		refused = &protocol.Error{Code: protocol.Malformed, Field: protocol.FieldSeq.String(), Message: "a seq is needed"}
	}
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	row := b.convs[conv]
	if row.lastSeq < 0 {
		return workers.Refuse(f, noSuch(conv, f.User)), nil
	}
	delivered, ok, err := b.cursor(ctx, f.User, conv)
	if err != nil {
		return workers.Outcome{}, err
	}
	seq := f.UserID(protocol.FieldSeq)
	switch {
	case !ok && conv.IsGroup():
		return workers.Refuse(f, notMember(conv)), nil
	case seq > row.lastSeq:
		return workers.Refuse(f, protocol.Errorf(protocol.NotFound, "the conversation has no message %d yet", seq)), nil
	case seq <= delivered:
		return workers.Outcome{}, nil
	}
	// The user's own messages right behind need no confirmation. The
	// conversation is locked, so none comes between.
	behind := row.lastSeq
	next, err := b.firstOther(ctx, f.User, conv, seq, row.lastSeq+1)
	if err != nil {
		return workers.Outcome{}, err
	}
	if next != 0 {
		behind = next - 1
	}
	return workers.Outcome{}, b.moveCursor(ctx, f.User, conv, behind)
}

// addressee reads TOID or GROUPID, of which a frame has one.
func (b *batch) addressee(f *workers.Frame, check func(*protocol.Validator)) (protocol.Conversation, *protocol.Error) {
	refused := workers.Check(f, func(v *protocol.Validator) int64 {
		if f.Has(protocol.FieldGroup) {
			v.ID(protocol.FieldGroup)
			if f.Has(protocol.FieldTo) {
				v.Fail(protocol.FieldTo, "give either TOID or GROUPID")
			}
		} else {
			v.ID(protocol.FieldTo)
		}
		check(v)
		return v.OwnID(protocol.FieldFrom, f.User)
	})
	return f.Conversation(), refused
}

// cursor reads and locks a cursor, by primary key.
func (b *batch) cursor(ctx context.Context, user int64, c protocol.Conversation) (delivered int64, ok bool, err error) {
	ok, err = b.tx.Get(ctx, "SELECT delivered FROM cursors WHERE user_id = ? AND a = ? AND b = ? FOR UPDATE",
		[]any{user, c.A, c.B}, &delivered)
	if err != nil {
		return 0, false, fmt.Errorf("read cursor: %w", err)
	}
	return delivered, ok, nil
}

func (b *batch) moveCursor(ctx context.Context, user int64, c protocol.Conversation, to int64) error {
	if _, err := b.tx.Exec(ctx, "UPDATE cursors SET delivered = ? WHERE user_id = ? AND a = ? AND b = ?", to, user, c.A, c.B); err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	return nil
}

// report takes what an edge has written to one of a user's connections.
func (b *batch) report(ctx context.Context, f *workers.Frame) (workers.Outcome, error) {
	if f.User == 0 {
		return workers.Outcome{Code: protocol.Unauthorized}, nil
	}
	cursors, err := b.settle(ctx, f)
	return workers.Outcome{Cursors: cursors}, err
}

// settle moves the user's cursors over the envelope's ranges. A range moves a
// cursor only if nothing but the user's own messages lies between; else the
// cursor stays, and the edge keeps the range for the next 14. It returns where
// the cursors stand now.
func (b *batch) settle(ctx context.Context, f *workers.Frame) ([]envelope.Range, error) {
	ranges := slices.Clone(f.Envelope.Ranges)
	slices.SortFunc(ranges, func(x, y envelope.Range) int {
		if c := x.Conversation.Compare(y.Conversation); c != 0 {
			return c
		}
		return int(x.From - y.From)
	})
	var cursors []envelope.Range
	for len(ranges) > 0 {
		conv := ranges[0].Conversation
		n := 0
		for n < len(ranges) && ranges[n].Conversation == conv {
			n++
		}
		at, ok, err := b.settleOne(ctx, f.User, conv, ranges[:n])
		if err != nil {
			return nil, err
		}
		if !ok { // left the group meanwhile: nothing is waited for
			at = ranges[n-1].To
		}
		cursors = append(cursors, envelope.Range{Conversation: conv, To: at})
		ranges = ranges[n:]
	}
	return cursors, nil
}

func (b *batch) settleOne(ctx context.Context, user int64, conv protocol.Conversation, ranges []envelope.Range) (at int64, ok bool, err error) {
	from, ok, err := b.cursor(ctx, user, conv)
	if err != nil || !ok {
		return 0, ok, err
	}
	at = from
	for _, r := range ranges {
		if r.To <= at {
			continue
		}
		if r.From > at+1 {
			other, err := b.firstOther(ctx, user, conv, at, r.From)
			if err != nil {
				return 0, false, err
			}
			if other != 0 {
				break
			}
		}
		at = r.To
	}
	if at == from {
		return at, true, nil
	}
	// An edge reports what it was told, which was committed before; a number
	// beyond that is no report of an edge of ours.
	var last int64
	if _, err := b.tx.Get(ctx, "SELECT last_seq FROM conversations WHERE a = ? AND b = ?", []any{conv.A, conv.B}, &last); err != nil {
		return 0, false, fmt.Errorf("read conversation: %w", err)
	}
	if at > last {
		return from, true, nil
	}
	return at, true, b.moveCursor(ctx, user, conv, at)
}

// firstOther is the first message of somebody else between two seqs, 0 where
// there is none: a range of the primary key.
func (b *batch) firstOther(ctx context.Context, user int64, c protocol.Conversation, after, before int64) (seq int64, err error) {
	_, err = b.tx.Get(ctx, "SELECT seq FROM messages WHERE a = ? AND b = ? AND seq > ? AND seq < ? AND sender_id <> ? ORDER BY seq LIMIT 1",
		[]any{c.A, c.B, after, before, user}, &seq)
	if err != nil {
		return 0, fmt.Errorf("look for others' messages: %w", err)
	}
	return seq, nil
}
