package load

import (
	"strconv"
	"time"

	"sponge/pkg/protocol"
	"sponge/workers"
)

// pair is the conversation of account i with the one step behind it.
func (l *loader) pair(i, step int64) protocol.Conversation {
	return protocol.Pair(l.user+i, l.user+i+step)
}

// pairNumber counts the pairs through, in the order of their conversations;
// the last accounts have fewer behind them.
func pairNumber(i, step int64) int64 { return neighbours*i + step - 1 }

func (l *loader) long() protocol.Conversation { return l.pair(0, l.Accounts-1) }

// conversations makes those of pairs that talk.
func (l *loader) conversations(tx *workers.Tx, from, to int64) error {
	type row struct {
		id   protocol.Conversation
		last int64
	}
	var rows []row
	for i := from; i < to; i++ {
		for step := int64(1); step <= min(neighbours, l.Accounts-1-i); step++ {
			if last := l.pairs.count(pairNumber(i, step)); last > 0 {
				rows = append(rows, row{l.pair(i, step), last})
			}
		}
		if i == 0 && l.Long > 0 {
			rows = append(rows, row{l.long(), l.Long})
		}
	}
	workers.Insert(tx, "INSERT INTO conversations (a, b, last_seq) VALUES {}", "(?,?,?)", rows,
		func(a []any, r row) []any { return append(a, r.id.A, r.id.B, r.last) })
	return nil
}

// message is a row to be.
type message struct {
	conv        protocol.Conversation
	seq, sender int64
	sentAt      int64
}

// pairSender takes turns.
func pairSender(c protocol.Conversation, seq int64) int64 {
	if seq%2 == 1 {
		return c.A
	}
	return c.B
}

// at is when item of items was sent.
func (l *loader) at(item, items int64) int64 {
	return l.begin + item*(days*24*time.Hour).Milliseconds()/items
}

func (l *loader) pairMessages(tx *workers.Tx, from, to int64) error {
	rows := make([]message, 0, to-from)
	for m := from; m < to; m++ {
		p, seq := l.pairs.locate(m)
		conv := l.pair(p/neighbours, p%neighbours+1)
		rows = append(rows, message{conv, seq, pairSender(conv, seq), l.at(m, l.pairs.items)})
	}
	return l.insertMessages(tx, rows)
}

func (l *loader) longMessages(tx *workers.Tx, from, to int64) error {
	rows := make([]message, 0, to-from)
	conv := l.long()
	for m := from; m < to; m++ {
		rows = append(rows, message{conv, m + 1, pairSender(conv, m+1), l.at(m, l.Long)})
	}
	return l.insertMessages(tx, rows)
}

// groupMessages has a group's members take turns.
func (l *loader) groupMessages(tx *workers.Tx, from, to int64) error {
	rows := make([]message, 0, to-from)
	for m := from; m < to; m++ {
		g, seq := l.groups.locate(m)
		sender := l.user + l.members(g)[(seq-1)%groupSize]
		rows = append(rows, message{protocol.GroupOf(l.group + g), seq, sender, l.at(m, l.groups.items)})
	}
	return l.insertMessages(tx, rows)
}

// insertMessages makes of each message the frame that its sender could have
// sent, and its row of that.
func (l *loader) insertMessages(tx *workers.Tx, rows []message) error {
	var f protocol.Frame
	var text []byte
	var failed error
	workers.Insert(tx, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES {}",
		"(?,?,?,?,?,?,?,?)", rows, func(a []any, m message) []any {
			text = m.append(text[:0], l.Size)
			if _, err := f.Parse(text); err != nil {
				failed = err
			}
			id, hash := f.NewFrameID(m.sender), f.ContentHash()
			return append(a, m.conv.A, m.conv.B, m.seq, id[:], m.sender, m.sentAt, hash[:], f.AppendBody(make([]byte, 0, len(text)), m.sender))
		})
	return failed
}

// append appends the message's frame.
func (m *message) append(dst []byte, size int) []byte {
	typ, key, to := protocol.Chat, "TOID", int64(0)
	if m.conv.IsGroup() {
		typ, key, to = protocol.GroupChat, "GROUPID", m.conv.Group()
	} else {
		to = m.conv.Other(m.sender)
	}
	o := protocol.Object(append(dst, `{"msgType":`...))
	o = strconv.AppendInt(o, int64(typ), 10)
	o = o.Text("id", "load-"+strconv.FormatInt(m.seq, 10)).Int("FROMID", m.sender).Int(key, to).Text("msg", m.text(size)).Int("sendTime", m.sentAt)
	return append(o, '}')
}

const filler = " and so on"

// text has size bytes, and begins with the message's number where that fits.
func (m *message) text(size int) string {
	out := make([]byte, 0, size+len(filler))
	out = strconv.AppendInt(append(out, "Message "...), m.seq, 10)
	for len(out) < size {
		out = append(out, filler...)
	}
	return string(out[:size])
}

// cursors makes all of the accounts', in order: their groups', then their
// pairs'.
func (l *loader) cursors(tx *workers.Tx, from, to int64) error {
	type row struct {
		user      int64
		conv      protocol.Conversation
		delivered int64
	}
	var rows []row
	for i := from; i < to; i++ {
		user := l.user + i
		for _, g := range l.groupsOf(i) {
			rows = append(rows, row{user, protocol.GroupOf(l.group + g), l.groups.count(g)})
		}
		if i < l.Members {
			rows = append(rows, row{user, protocol.GroupOf(l.group + l.Groups), 0})
		}
		if i == l.Accounts-1 && l.Long > 0 {
			rows = append(rows, row{user, l.long(), l.Long})
		}
		for _, k := range l.near(i) {
			first, step := min(i, k), max(i, k)-min(i, k)
			conv, last := l.pair(first, step), l.pairs.count(pairNumber(first, step))
			if last == 0 {
				continue
			}
			delivered := last
			if first%unreadEvery == 0 && pairSender(conv, last) != user {
				delivered--
			}
			rows = append(rows, row{user, conv, delivered})
		}
		if i == 0 && l.Long > 0 {
			rows = append(rows, row{user, l.long(), l.Long})
		}
	}
	workers.Insert(tx, "INSERT INTO cursors (user_id, a, b, delivered) VALUES {}", "(?,?,?,?)", rows,
		func(a []any, r row) []any { return append(a, r.user, r.conv.A, r.conv.B, r.delivered) })
	return nil
}
