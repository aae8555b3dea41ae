package storage

import (
	"context"
	"fmt"
	"slices"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// Bounds of what one frame may read.
const (
	convsAtOnce = 500  // conversations that are listed at once
	maxConvs    = 5000 // conversations that one frame looks at
	maxSync     = 1000 // messages that one synchronisation pushes

	// batchPages are the bytes of pages that one batch reads. Once they are
	// used up, a page ends behind its first message, and says that there is more.
	batchPages = 32 << 20
)

// pending is a conversation that has messages above a user's cursor.
type pending struct {
	conv            protocol.Conversation
	delivered, last int64
}

// pendings lists them, in order, behind a conversation: a range of cursors'
// primary key, conversations by theirs.
func pendings(ctx context.Context, tx *workers.Tx, user int64, behind protocol.Conversation) ([]pending, error) {
	var out []pending
	err := tx.Query(ctx, "SELECT c.a, c.b, c.delivered, v.last_seq FROM cursors c JOIN conversations v ON v.a = c.a AND v.b = c.b"+
		" WHERE c.user_id = ? AND (c.a > ? OR c.a = ? AND c.b > ?) AND v.last_seq > c.delivered ORDER BY c.a, c.b LIMIT ?",
		[]any{user, behind.A, behind.A, behind.B, convsAtOnce}, func(scan func(...any) error) error {
			var p pending
			err := scan(&p.conv.A, &p.conv.B, &p.delivered, &p.last)
			out = append(out, p)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list conversations with news: %w", err)
	}
	return out, nil
}

// eachPending calls visit for each of them until it says that it has enough,
// or maxConvs have been looked at. all is false where some are left. What lies
// above a cursor may all be the user's own, so a visit may find nothing.
func eachPending(ctx context.Context, tx *workers.Tx, user int64, visit func(pending) (enough bool, err error)) (all bool, err error) {
	behind := protocol.Conversation{A: -1}
	for range maxConvs / convsAtOnce {
		list, err := pendings(ctx, tx, user, behind)
		if err != nil {
			return false, err
		}
		for _, p := range list {
			if enough, err := visit(p); enough || err != nil {
				return false, err
			}
			behind = p.conv
		}
		if len(list) < convsAtOnce {
			return true, nil
		}
	}
	return false, nil
}

// page collects messages up to a number and a size.
type page struct {
	list  []byte // joined by sep
	sep   byte
	count int
	most  int
	bytes int
	full  bool // a message was left out
}

// newPage begins a page of most messages and so many bytes at most.
func (b *batch) newPage(sep byte, most, bytes int) page {
	return page{sep: sep, most: most, bytes: min(bytes, batchPages-b.pages)}
}

// add appends a message unless the page is full then. The first one always
// fits, so that whoever asks again comes to an end.
func (p *page) add(body []byte, seq int64, frame []byte, sentAt int64) bool {
	size := len(body) + 96
	if p.full || p.count == p.most || p.count > 0 && len(p.list)+size > p.bytes {
		p.full = true
		return false
	}
	if p.count > 0 {
		p.list = append(p.list, p.sep)
	}
	p.list = protocol.AppendPush(p.list, body, seq, protocol.FrameID(frame).String(), sentAt)
	p.count++
	return true
}

// selectMessages is a range of the primary key; filter must not widen it.
func selectMessages(filter, order string) string {
	return "SELECT seq, sender_id, frame_id, sent_at, body FROM messages WHERE a = ? AND b = ? AND seq > ? AND seq < ?" +
		filter + " ORDER BY seq " + order + " LIMIT ?"
}

// read adds messages of others between two seqs, and returns the last seq that
// was looked at: before-1 when all were taken.
func (b *batch) read(ctx context.Context, p *page, user int64, c protocol.Conversation, after, before, since int64, taken func(seq int64)) (int64, error) {
	query, args := selectMessages(" AND sender_id <> ?", "ASC"), []any{c.A, c.B, after, before, user}
	if since > 0 {
		query, args = selectMessages(" AND sender_id <> ? AND sent_at >= ?", "ASC"), append(args, since)
	}
	upTo := before - 1
	args = append(args, p.most-p.count+1)
	err := b.tx.Query(ctx, query, args, func(scan func(...any) error) error {
		var seq, sender, sentAt int64
		var frame, body []byte
		if err := scan(&seq, &sender, &frame, &sentAt, &body); err != nil {
			return err
		}
		full := p.full
		if p.add(body, seq, frame, sentAt) {
			if taken != nil {
				taken(seq)
			}
		} else if !full {
			upTo = seq - 1
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read messages: %w", err)
	}
	return upTo, nil
}

// holes are the runs of seqs above delivered, up to last, that no range of the
// conversation covers, as (after, before) pairs.
func holes(p pending, ranges []envelope.Range) [][2]int64 {
	var mine []envelope.Range
	for _, r := range ranges {
		if r.Conversation == p.conv && r.To > p.delivered {
			mine = append(mine, r)
		}
	}
	slices.SortFunc(mine, func(x, y envelope.Range) int { return int(x.From - y.From) })
	var out [][2]int64
	at := p.delivered
	for _, r := range mine {
		if r.From > at+1 {
			out = append(out, [2]int64{at, min(r.From, p.last+1)})
		}
		at = max(at, r.To)
	}
	if at < p.last {
		out = append(out, [2]int64{at, p.last + 1})
	}
	return out
}

// offline answers 14: others' messages above the delivered cursors that the
// connection has not been shown. The edge reports the page once it is written,
// and with the next 14 at the latest.
func (b *batch) offline(ctx context.Context, f *workers.Frame) (workers.Outcome, error) {
	refused := workers.Check(f, func(v *protocol.Validator) int64 { return v.OwnID(protocol.FieldFrom, f.User) })
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	cursors, err := b.settle(ctx, f)
	if err != nil {
		return workers.Outcome{}, err
	}
	if b.tx.Replaying {
		return workers.Outcome{}, nil
	}
	b.saveCursors() // the queries below read them
	p := b.newPage(',', protocol.MaxPage, protocol.MaxPageBytes)
	var shown []envelope.Range
	all, err := eachPending(ctx, b.tx, f.User, func(conv pending) (bool, error) {
		upTo := conv.last
		for _, hole := range holes(conv, f.Envelope.Ranges) {
			if upTo, err = b.read(ctx, &p, f.User, conv.conv, hole[0], hole[1], 0, nil); err != nil {
				return false, err
			}
			if p.full {
				break
			}
			upTo = conv.last
		}
		if upTo > conv.delivered {
			// With the ranges that the edge holds, all up to there is shown.
			shown = append(shown, envelope.Range{Conversation: conv.conv, From: conv.delivered + 1, To: upTo})
		}
		return p.full, nil
	})
	if err != nil {
		return workers.Outcome{}, err
	}
	b.pages += len(p.list)
	reply := append(protocol.NewReply(make([]byte, 0, len(p.list)+96), f.Type, protocol.OK, f.Echo()), `,"messages":[`...)
	reply = append(append(reply, p.list...), ']')
	return workers.Outcome{Reply: reply.Bool("more", !all).End(), Shown: shown, Cursors: cursors, CaughtUp: all}, nil
}

// sync pushes what a connection missed while its channel was lost. What does
// not fit is brought by another one, whose ranges have what this one brought.
func (b *batch) sync(ctx context.Context, f *workers.Frame) (workers.Outcome, error) {
	if f.User == 0 {
		return workers.Outcome{Code: protocol.Unauthorized}, nil
	}
	cursors, err := b.settle(ctx, f)
	if err != nil {
		return workers.Outcome{}, err
	}
	if b.tx.Replaying {
		return workers.Outcome{}, nil
	}
	b.saveCursors() // the queries below read them
	p := b.newPage('\n', maxSync, protocol.MaxPageBytes)
	var shown []envelope.Range
	all, err := eachPending(ctx, b.tx, f.User, func(conv pending) (bool, error) {
		for _, hole := range holes(conv, f.Envelope.Ranges) {
			_, err := b.read(ctx, &p, f.User, conv.conv, hole[0], hole[1], f.Envelope.Since, func(seq int64) {
				if n := len(shown); n > 0 && shown[n-1].Conversation == conv.conv && shown[n-1].To == seq-1 {
					shown[n-1].To = seq
				} else {
					shown = append(shown, envelope.Range{Conversation: conv.conv, From: seq, To: seq})
				}
			})
			if err != nil {
				return false, err
			}
		}
		return p.full, nil
	})
	if err != nil {
		return workers.Outcome{}, err
	}
	b.pages += len(p.list)
	if p.count > 0 {
		p.list = append(p.list, '\n')
	}
	return workers.Outcome{Reply: p.list, Shown: shown, Cursors: cursors, More: !all}, nil
}

// history answers 16: a page of one conversation, ascending.
func (b *batch) history(ctx context.Context, f *workers.Frame) (workers.Outcome, error) {
	after, before, limit := int64(0), int64(0), int64(0)
	conv, refused := b.addressee(f, func(v *protocol.Validator) {
		after = v.Int(protocol.FieldAfter, 0, 0, protocol.MaxInt)
		before = v.Int(protocol.FieldBefore, protocol.MaxInt, 1, protocol.MaxInt)
		limit = v.Int(protocol.FieldLimit, protocol.MaxPage, 1, protocol.MaxPage)
	})
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	last, low, refused, err := b.readable(ctx, f.User, conv)
	if err != nil {
		return workers.Outcome{}, err
	}
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	// After a seq, the page begins there; else it ends at its upper bound.
	order := "DESC"
	if f.Has(protocol.FieldAfter) {
		order = "ASC"
	}
	type row struct {
		seq, sentAt int64
		frame, body []byte
	}
	var rows []row
	size := 0
	more := false
	p := b.newPage(',', int(limit), protocol.MaxPageBytes)
	before = min(before, last+1) // what came meanwhile lies beyond lastSeq
	err = b.tx.Query(ctx, selectMessages("", order), []any{conv.A, conv.B, max(after, low), before, limit + 1}, func(scan func(...any) error) error {
		var r row
		var sender int64
		if err := scan(&r.seq, &sender, &r.frame, &r.sentAt, &r.body); err != nil {
			return err
		}
		if size += len(r.body) + 97; more || len(rows) == p.most || len(rows) > 0 && size > p.bytes {
			more = true
			return nil
		}
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		return workers.Outcome{}, fmt.Errorf("read history: %w", err)
	}
	if order == "DESC" {
		slices.Reverse(rows)
	}
	for _, r := range rows {
		p.add(r.body, r.seq, r.frame, r.sentAt)
	}
	b.pages += len(p.list)
	reply := append(protocol.NewReply(make([]byte, 0, len(p.list)+128), f.Type, protocol.OK, f.Echo()), `,"messages":[`...)
	reply = append(append(reply, p.list...), ']')
	return workers.Outcome{Reply: reply.Bool("more", more).Int("lastSeq", last).End()}, nil
}

// readable tells the conversation's last seq and the seq behind which the user
// may read, or why not at all.
func (b *batch) readable(ctx context.Context, user int64, c protocol.Conversation) (last, low int64, refused *protocol.Error, err error) {
	exists, err := b.tx.Get(ctx, "SELECT last_seq FROM conversations WHERE a = ? AND b = ?", []any{c.A, c.B}, &last)
	if err != nil {
		return 0, 0, nil, fmt.Errorf("read conversation: %w", err)
	}
	if c.IsGroup() {
		if !exists {
			return 0, 0, noSuch(c, user), nil
		}
		member, err := b.tx.Get(ctx, "SELECT joined_seq FROM members WHERE group_id = ? AND user_id = ?", []any{c.Group(), user}, &low)
		if err == nil && !member {
			refused = notMember(c)
		}
		return last, low, refused, err
	}
	if !exists {
		var id int64
		found, err := b.tx.Get(ctx, "SELECT id FROM users WHERE id = ?", []any{c.Other(user)}, &id)
		if err == nil && !found {
			refused = noSuch(c, user)
		}
		return 0, 0, refused, err
	}
	return last, 0, nil, nil
}
