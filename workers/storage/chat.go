package storage

import (
	"context"
	"fmt"
	"slices"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// chat is one valid chat frame on its way to a row.
type chat struct {
	index int
	frame *workers.Frame
	conv  protocol.Conversation
	seq   int64
	hash  [32]byte
	body  []byte
}

// key is what a message is unique by.
type key struct {
	conv  protocol.Conversation
	frame protocol.FrameID
}

func (c *chat) key() key { return key{c.conv, c.frame.Envelope.FrameID} }

// message is a stored one, as far as a repeat needs it.
type message struct {
	seq, sentAt int64
	hash        [32]byte
}

// chat numbers and stores the batch's chat frames. Repeats are rare, so the
// rows are inserted without looking for them first; a duplicate key makes the
// runtime ask again with Careful set.
func (b *batch) chat(ctx context.Context) error {
	chats := make([]chat, 0, len(b.frames))
	for i, f := range b.frames {
		if f.Type != protocol.Chat && f.Type != protocol.GroupChat {
			continue
		}
		if refused := checkChat(f); refused != nil {
			b.outcomes[i] = workers.Refuse(f, refused)
			continue
		}
		c := f.Conversation()
		if b.convs[c].lastSeq < 0 {
			b.outcomes[i] = workers.Refuse(f, noSuch(c, f.User))
			continue
		}
		chats = append(chats, chat{index: i, frame: f, conv: c})
	}
	chats, err := b.membersOnly(ctx, chats)
	if err != nil || len(chats) == 0 {
		return err
	}
	known := map[key]message{}
	if b.tx.Careful {
		if known, err = b.stored(ctx, chats); err != nil {
			return err
		}
	}
	a := newArena(chats)
	fresh := chats[:0]
	for _, c := range chats {
		c.hash = c.frame.ContentHash()
		if m, ok := known[c.key()]; ok {
			b.outcomes[c.index] = c.repeat(a, m)
			continue
		}
		conv := b.convs[c.conv]
		conv.lastSeq++
		conv.written = true
		c.seq = conv.lastSeq
		c.body = a.take(func(b []byte) []byte { return c.frame.AppendBody(b, c.frame.User) })
		known[c.key()] = message{c.seq, c.frame.Time(), c.hash}
		b.outcomes[c.index] = c.success(a, c.seq, c.frame.Time(), c.body)
		fresh = append(fresh, c)
	}
	b.store(fresh)
	return nil
}

func checkChat(f *workers.Frame) *protocol.Error {
	return workers.Check(f, func(v *protocol.Validator) int64 {
		if f.Type == protocol.GroupChat {
			v.ID(protocol.FieldGroup)
		} else {
			v.ID(protocol.FieldTo)
		}
		v.NotEmpty(protocol.FieldMsg)
		v.Number(protocol.FieldSendTime)
		return v.OwnID(protocol.FieldFrom, f.User)
	})
}

func noSuch(c protocol.Conversation, user int64) *protocol.Error {
	if c.IsGroup() {
		return protocol.Errorf(protocol.NotFound, "there is no group %d", c.Group())
	}
	return protocol.Errorf(protocol.NotFound, "there is no user %d", c.Other(user))
}

func notMember(c protocol.Conversation) *protocol.Error {
	return protocol.Errorf(protocol.Forbidden, "you are not a member of group %d", c.Group())
}

// membersOnly refuses group chat of those who are not members. The groups'
// rows are locked, so nobody joins or leaves meanwhile.
func (b *batch) membersOnly(ctx context.Context, chats []chat) ([]chat, error) {
	member := map[seat]bool{}
	var seats []seat
	for _, c := range chats {
		if s := (seat{c.frame.User, c.conv}); c.conv.IsGroup() {
			if _, ok := member[s]; !ok {
				member[s] = false
				seats = append(seats, s)
			}
		}
	}
	if len(seats) == 0 {
		return chats, nil
	}
	// By primary key.
	err := workers.In(ctx, b.tx, "SELECT group_id, user_id FROM members WHERE (group_id, user_id) IN ({})", "(?,?)", nil, seats,
		func(a []any, s seat) []any { return append(a, s.conv.Group(), s.user) },
		func(scan func(...any) error) error {
			var s seat
			err := scan(&s.conv.B, &s.user) // a group's other half is 0
			member[s] = true
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("look for members: %w", err)
	}
	return slices.DeleteFunc(chats, func(c chat) bool {
		if !c.conv.IsGroup() || member[seat{c.frame.User, c.conv}] {
			return false
		}
		b.outcomes[c.index] = workers.Refuse(c.frame, notMember(c.conv))
		return true
	}), nil
}

// stored finds messages by frame id, by the unique key messages_frame.
func (b *batch) stored(ctx context.Context, chats []chat) (map[key]message, error) {
	found := map[key]message{}
	err := workers.In(ctx, b.tx, "SELECT a, b, frame_id, seq, sent_at, content_hash FROM messages WHERE (a, b, frame_id) IN ({})",
		"(?,?,?)", nil, chats,
		func(a []any, c chat) []any { return append(a, c.conv.A, c.conv.B, c.frame.Envelope.FrameID[:]) },
		func(scan func(...any) error) error {
			var k key
			var m message
			var frame, hash []byte
			if err := scan(&k.conv.A, &k.conv.B, &frame, &m.seq, &m.sentAt, &hash); err != nil {
				return err
			}
			k.frame, m.hash = protocol.FrameID(frame), [32]byte(hash)
			found[k] = m
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("look for repeats: %w", err)
	}
	return found, nil
}

// store writes the rows: messages, the conversations' last numbers, and both
// users' cursors where a pair has just begun to talk.
func (b *batch) store(chats []chat) {
	workers.Insert(b.tx, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES {}",
		"(?,?,?,?,?,?,?,?)", chats, func(a []any, c chat) []any {
			return append(a, c.conv.A, c.conv.B, c.seq, c.frame.Envelope.FrameID[:], c.frame.User, c.frame.Time(), c.hash[:], c.body)
		})
	var written []*conversation
	var seats []seat
	for _, c := range b.convs {
		if !c.written {
			continue
		}
		written = append(written, c)
		if !c.exists {
			seats = append(seats, seat{c.id.A, c.id})
			if c.id.B != c.id.A {
				seats = append(seats, seat{c.id.B, c.id})
			}
		}
	}
	slices.SortFunc(written, func(x, y *conversation) int { return x.id.Compare(y.id) })
	workers.Insert(b.tx, "INSERT INTO conversations (a, b, last_seq) VALUES {} ON DUPLICATE KEY UPDATE last_seq = VALUES(last_seq)",
		"(?,?,?)", written, func(a []any, c *conversation) []any { return append(a, c.id.A, c.id.B, c.lastSeq) })
	workers.Insert(b.tx, "INSERT INTO cursors (user_id, a, b, delivered) VALUES {}", "(?,?,?,0)", seats, seatArgs)
}

// arena is memory for what a batch's chats become: three allocations instead
// of several for each.
type arena struct {
	bytes  []byte
	shown  []envelope.Range
	pushes []workers.Push
}

func newArena(chats []chat) *arena {
	size := 0
	for i := range chats {
		size += 2*len(chats[i].frame.Bytes) + 360
	}
	return &arena{bytes: make([]byte, 0, size), shown: make([]envelope.Range, 0, len(chats)), pushes: make([]workers.Push, 0, len(chats))}
}

// take returns what f appends, as a slice of its own.
func (a *arena) take(f func([]byte) []byte) []byte {
	begin := len(a.bytes)
	a.bytes = f(a.bytes)
	return a.bytes[begin:len(a.bytes):len(a.bytes)]
}

// reply answers the sender: the number and time of the message.
func (c *chat) reply(a *arena, seq, sentAt int64) []byte {
	return a.take(func(dst []byte) []byte {
		f := c.frame
		reply := protocol.NewReply(dst, f.Type, protocol.OK, f.Echo())
		if c.conv.IsGroup() {
			reply = reply.Int("GROUPID", c.conv.Group())
		} else {
			reply = reply.Int("TOID", c.conv.Other(f.User))
		}
		return reply.Int("seq", seq).Text("msgId", f.Envelope.FrameID.String()).Int("time", sentAt).End()
	})
}

func (c *chat) success(a *arena, seq, sentAt int64, body []byte) workers.Outcome {
	payload := a.take(func(dst []byte) []byte {
		return append(protocol.AppendPush(dst, body, seq, c.frame.Envelope.FrameID.String(), sentAt), '\n')
	})
	n := len(a.shown)
	a.shown = append(a.shown, envelope.Range{Conversation: c.conv, From: seq, To: seq})
	a.pushes = append(a.pushes, workers.Push{Conversation: c.conv, Seq: seq, Payload: payload})
	return workers.Outcome{Reply: c.reply(a, seq, sentAt), Shown: a.shown[n : n+1 : n+1], Push: &a.pushes[len(a.pushes)-1]}
}

// repeat is the outcome of a frame that is stored already: its first success,
// and no second push.
func (c *chat) repeat(a *arena, m message) workers.Outcome {
	if m.hash != c.hash {
		return workers.Refuse(c.frame, protocol.Errorf(protocol.Conflict, "this id was used for another message"))
	}
	return workers.Outcome{Reply: c.reply(a, m.seq, m.sentAt)}
}
