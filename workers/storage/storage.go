// Package storage holds the handlers of sponge.storage: chat frames, the
// cursors that tell what was delivered, and the pages that bring the rest. It
// owns the tables conversations, messages and cursors.
//
// It must not know sockets, nor who is online.
package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// Handler handles 4, 5, 9, 14 and 16, and the edges' reports and
// synchronisations. It keeps nothing.
type Handler struct{}

// New makes the handler.
func New(workers.Resources) (workers.Handler, error) { return Handler{}, nil }

// Prepare implements workers.Handler: nothing here is slow or random.
func (Handler) Prepare(context.Context, []*workers.Frame) error { return nil }

// batch is one call of Handle.
type batch struct {
	tx       *workers.Tx
	frames   []*workers.Frame
	outcomes []workers.Outcome
	convs    map[protocol.Conversation]*conversation
	cursors  map[seat]*cursor
	pages    int // bytes of messages that were read for pages
}

// conversation is a conversation's row, locked for the transaction.
type conversation struct {
	id      protocol.Conversation
	exists  bool  // in the table
	lastSeq int64 // -1: it cannot be: no such user or group
	written bool  // lastSeq moved
}

// Handle implements workers.Handler: first all chat, as one batch; then what
// reads and moves cursors. Frames of one connection that must keep their order
// across the two never share a batch: the edge's barriers see to it.
func (Handler) Handle(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	b := &batch{tx: tx, frames: frames, outcomes: make([]workers.Outcome, len(frames)),
		convs: make(map[protocol.Conversation]*conversation, len(frames)), cursors: map[seat]*cursor{}}
	found, _ := tx.Found.(map[protocol.Conversation]int64)
	if err := b.lock(ctx, found); err != nil {
		return nil, err
	}
	if err := b.lockCursors(ctx); err != nil {
		return nil, err
	}
	if err := b.chat(ctx); err != nil {
		return nil, err
	}
	for i, f := range frames {
		var err error
		switch {
		case f.Type == protocol.Chat || f.Type == protocol.GroupChat:
		case f.Envelope.Kind == envelope.Report:
			b.outcomes[i], err = b.report(ctx, f)
		case f.Envelope.Kind == envelope.Sync:
			b.outcomes[i], err = b.sync(ctx, f)
		case f.Type == protocol.Received:
			b.outcomes[i], err = b.received(ctx, f)
		case f.Type == protocol.Offline:
			b.outcomes[i], err = b.offline(ctx, f)
		case f.Type == protocol.History:
			b.outcomes[i], err = b.history(ctx, f)
		default:
			err = fmt.Errorf("type %s is not handled by storage", f.Type)
		}
		if err != nil {
			return nil, err
		}
	}
	b.saveCursors()
	return b.outcomes, nil
}

// Recall implements workers.Handler: what was stored is found by frame id.
// Reads and cursors are asked again by the edge.
func (Handler) Recall(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	b := &batch{tx: tx, frames: frames, outcomes: make([]workers.Outcome, len(frames))}
	var chats []chat
	for i, f := range frames {
		b.outcomes[i].Unsettled = true
		if c := f.Conversation(); f.User != 0 && c != (protocol.Conversation{}) && (f.Type == protocol.Chat || f.Type == protocol.GroupChat) {
			chats = append(chats, chat{index: i, frame: f, conv: c})
		}
	}
	stored, err := b.stored(ctx, chats)
	if err != nil {
		return nil, err
	}
	a := newArena(chats)
	for _, c := range chats {
		if m, ok := stored[c.key()]; ok && m.hash == c.frame.ContentHash() {
			b.outcomes[c.index] = c.success(a, m.seq, m.sentAt, c.frame.AppendBody(nil, c.frame.User))
		}
	}
	return b.outcomes, nil
}

// locked are the conversations that frames change or decide by, in order.
func locked(frames []*workers.Frame) (ids []protocol.Conversation) {
	for _, f := range frames {
		if f.User == 0 || f.Type == protocol.History || f.Envelope.Kind != envelope.FromClient {
			continue
		}
		if c := f.Conversation(); c != (protocol.Conversation{}) {
			ids = append(ids, c)
		}
	}
	slices.SortFunc(ids, protocol.Conversation.Compare)
	return slices.Compact(ids)
}

// openMost is for how many conversations Open asks: the more there are, the
// less a round trip matters, and the more a prepared statement saves.
const openMost = 32

// By primary key: of few rows the optimizer would go through all, and lock
// those of other lanes.
const lockQuery = "SELECT a, b, last_seq FROM conversations FORCE INDEX (PRIMARY) WHERE (a, b) IN ({}) ORDER BY a, b FOR UPDATE"

// Open implements workers.Opener: it locks the batch's conversations.
func (Handler) Open(frames []*workers.Frame) *workers.Opening {
	ids := locked(frames)
	if len(ids) == 0 || len(ids) > openMost {
		return nil
	}
	found := make(map[protocol.Conversation]int64, len(ids))
	var args []any
	for _, id := range ids {
		args = convArgs(args, id)
	}
	return &workers.Opening{
		Query: lockQuery, Item: "(?,?)", N: len(ids),
		Args:  args,
		Row:   rowOf(func(id protocol.Conversation, seq int64) { found[id] = seq }),
		Found: found,
	}
}

// lock locks the batch's conversations, all at once and in order: frames of
// several partitions may want the same one (5 goes by its user). found has those
// that Open has locked; nil: it was not asked.
func (b *batch) lock(ctx context.Context, found map[protocol.Conversation]int64) error {
	ids := locked(b.frames)
	for _, id := range ids {
		b.convs[id] = &conversation{id: id, lastSeq: -1}
		if seq, ok := found[id]; ok {
			b.convs[id].exists, b.convs[id].lastSeq = true, seq
		}
	}
	if found == nil {
		if err := b.lockRows(ctx, ids); err != nil {
			return fmt.Errorf("lock conversations: %w", err)
		}
	}
	return b.lockMissing(ctx, ids)
}

// lockRows locks by primary key, in the order of ids.
func (b *batch) lockRows(ctx context.Context, ids []protocol.Conversation) error {
	return workers.In(ctx, b.tx, lockQuery, "(?,?)", nil, ids, convArgs, rowOf(func(id protocol.Conversation, seq int64) {
		b.convs[id].exists, b.convs[id].lastSeq = true, seq
	}))
}

// rowOf scans what lockQuery selects.
func rowOf(take func(id protocol.Conversation, seq int64)) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var id protocol.Conversation
		var seq int64
		err := scan(&id.A, &id.B, &seq)
		if err == nil {
			take(id, seq)
		}
		return err
	}
}

func convArgs(a []any, c protocol.Conversation) []any { return append(a, c.A, c.B) }

// lockMissing decides what conversations without a row are: pairs of users who
// have not talked yet, or none at all. A pair's row cannot appear meanwhile:
// this transaction holds the partition that all its chat goes through.
func (b *batch) lockMissing(ctx context.Context, ids []protocol.Conversation) error {
	var groups []protocol.Conversation
	var users []int64
	for _, id := range ids {
		switch {
		case b.convs[id].exists:
		case id.IsGroup():
			groups = append(groups, id)
		default:
			users = append(users, id.A, id.B)
		}
	}
	if len(users) > 0 {
		slices.Sort(users)
		found, err := workers.Users(ctx, b.tx, slices.Compact(users))
		if err != nil {
			return fmt.Errorf("look for users: %w", err)
		}
		for _, id := range ids {
			if c := b.convs[id]; !c.exists && found[id.A] && found[id.B] {
				c.lastSeq = 0
			}
		}
	}
	if len(groups) > 0 {
		last, err := workers.LockSequence(ctx, b.tx, "groups", false)
		if err != nil {
			return fmt.Errorf("lock groups' sequence: %w", err)
		}
		groups = slices.DeleteFunc(groups, func(c protocol.Conversation) bool { return c.Group() > last })
		if err := b.lockRows(ctx, groups); err != nil {
			return fmt.Errorf("lock new groups: %w", err)
		}
	}
	return nil
}

// Restore implements workers.Replayer.
func (Handler) Restore(f *workers.Frame, input json.RawMessage) error {
	if f.Input = nil; string(input) == absentInput {
		f.Input = absent{}
	}
	return nil
}

// Guess implements workers.Replayer.
func (Handler) Guess(*workers.Frame) error { return nil }

// Part implements workers.Parter. Cursors are their conversations', and a frame
// that reports several is several.
func (Handler) Part(f *workers.Frame, lane func(protocol.Conversation) int, to func(int, *workers.Frame)) {
	if f.Type == protocol.Chat || f.Type == protocol.GroupChat || f.Type == protocol.Received && f.Envelope.Kind == envelope.FromClient {
		to(lane(f.Conversation()), f)
		return
	}
	ranges := map[int][]envelope.Range{}
	for _, r := range f.Envelope.Ranges {
		n := lane(r.Conversation)
		ranges[n] = append(ranges[n], r)
	}
	for n, some := range ranges {
		part := *f
		part.Envelope.Ranges = some
		to(n, &part)
	}
}
