package storage

import (
	"cmp"
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
	if _, absent := f.Input.(absent); absent || !row.exists && !row.written {
		// No row is locked, so that the first message may be committed before this
		// is, by the owner of its partition: the journal says that it was not seen.
		o := workers.Refuse(f, tooEarly(f.UserID(protocol.FieldSeq)))
		o.JournalInput = []byte(absentInput)
		return o, nil
	}
	at := b.cursors[seat{f.User, conv}]
	seq := f.UserID(protocol.FieldSeq)
	switch {
	case !at.exists && conv.IsGroup():
		return workers.Refuse(f, notMember(conv)), nil
	case seq > row.lastSeq:
		return workers.Refuse(f, tooEarly(seq)), nil
	case seq <= at.delivered:
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
	at.move(behind)
	return workers.Outcome{}, nil
}

func tooEarly(seq int64) *protocol.Error {
	return protocol.Errorf(protocol.NotFound, "the conversation has no message %d yet", seq)
}

// absent is the Input of a 5 that met no conversation when it was handled, and
// absentInput what the journal has of it.
type absent struct{}

const absentInput = `{"conversation":"absent"}`

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

// seat is a user in a conversation.
type seat struct {
	user int64
	conv protocol.Conversation
}

func (s seat) compare(other seat) int {
	return cmp.Or(cmp.Compare(s.user, other.user), s.conv.Compare(other.conv))
}

func seatArgs(a []any, s seat) []any { return append(a, s.user, s.conv.A, s.conv.B) }

// cursor is a cursor's row, locked for the transaction.
type cursor struct {
	seat
	exists    bool
	delivered int64
	last      int64 // the conversation's last seq
	moved     bool  // since it was written
}

func (c *cursor) move(to int64) { c.delivered, c.moved = to, true }

// lockCursors reads and locks the cursors that the batch's frames speak of, in
// order.
func (b *batch) lockCursors(ctx context.Context) error {
	var seats []seat
	var convs []protocol.Conversation
	need := func(s seat) {
		if b.cursors[s] == nil {
			b.cursors[s] = &cursor{seat: s}
			seats, convs = append(seats, s), append(convs, s.conv)
		}
	}
	for _, f := range b.frames {
		if f.User == 0 {
			continue
		}
		for _, r := range f.Envelope.Ranges {
			need(seat{f.User, r.Conversation})
		}
		if f.Type == protocol.Received && f.Envelope.Kind == envelope.FromClient {
			need(seat{f.User, f.Conversation()})
		}
	}
	slices.SortFunc(seats, seat.compare)
	// By primary key.
	err := workers.In(ctx, b.tx, "SELECT user_id, a, b, delivered FROM cursors FORCE INDEX (PRIMARY)"+
		" WHERE (user_id, a, b) IN ({}) ORDER BY user_id, a, b FOR UPDATE", "(?,?,?)", nil, seats, seatArgs,
		func(scan func(...any) error) error {
			var s seat
			var delivered int64
			if err := scan(&s.user, &s.conv.A, &s.conv.B, &delivered); err != nil {
				return err
			}
			b.cursors[s].exists, b.cursors[s].delivered = true, delivered
			return nil
		})
	if err != nil {
		return fmt.Errorf("lock cursors: %w", err)
	}
	slices.SortFunc(convs, protocol.Conversation.Compare)
	last := map[protocol.Conversation]int64{}
	// By primary key.
	err = workers.In(ctx, b.tx, "SELECT a, b, last_seq FROM conversations WHERE (a, b) IN ({})", "(?,?)", nil, slices.Compact(convs), convArgs,
		func(scan func(...any) error) error {
			var c protocol.Conversation
			var seq int64
			err := scan(&c.A, &c.B, &seq)
			last[c] = seq
			return err
		})
	if err != nil {
		return fmt.Errorf("read conversations: %w", err)
	}
	for s, c := range b.cursors {
		c.last = last[s.conv]
	}
	return nil
}

// saveCursors writes the cursors that have moved.
func (b *batch) saveCursors() {
	var moved []*cursor
	for _, c := range b.cursors {
		if c.moved {
			c.moved = false
			moved = append(moved, c)
		}
	}
	slices.SortFunc(moved, func(x, y *cursor) int { return x.compare(y.seat) })
	workers.Insert(b.tx, "INSERT INTO cursors (user_id, a, b, delivered) VALUES {} ON DUPLICATE KEY UPDATE delivered = VALUES(delivered)",
		"(?,?,?,?)", moved, func(a []any, c *cursor) []any { return append(seatArgs(a, c.seat), c.delivered) })
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
	row := b.cursors[seat{user, conv}]
	if !row.exists {
		return 0, false, nil
	}
	at = row.delivered
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
	// An edge reports what it was told, which was committed before; a number
	// beyond that is no report of an edge of ours.
	if at > row.delivered && at <= row.last {
		row.move(at)
	}
	return row.delivered, true, nil
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
