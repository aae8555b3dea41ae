package edge

import (
	"slices"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

// Bounds of delivery marks.
const (
	maxMarks    = 4096 // ranges of a connection that are remembered; the oldest go
	maxReported = 512  // ranges in one record; the newest
	searchBack  = 64   // ranges that are looked at for one that continues
)

// marks are the seqs that were written to a connection and that the user's
// delivered cursors have not passed, as far as the edge knows; and, beside them,
// what was written lately.
type marks struct {
	seen
	ranges   []envelope.Range // the one that grew last is near the end
	fresh    bool             // something was not reported yet
	reportAt int64            // when to, by Edge.now
	more     bool             // a synchronisation goes on, since then, once the outbox is empty
	since    int64            // with more: Unix milliseconds
}

// add notes a range.
func (m *marks) add(r envelope.Range) { m.ranges = addRange(m.ranges, r) }

// addRange adds a range to a list, as the continuation of an earlier one where
// it is. Of a list that is full, the oldest go.
func addRange(list []envelope.Range, r envelope.Range) []envelope.Range {
	for i := len(list) - 1; i >= max(0, len(list)-searchBack); i-- {
		x := &list[i]
		if x.Conversation == r.Conversation && r.From <= x.To+1 && r.To >= x.From-1 {
			x.From, x.To = min(x.From, r.From), max(x.To, r.To)
			return list
		}
	}
	if len(list) >= maxMarks {
		list = slices.Delete(list, 0, maxMarks/8)
	}
	return append(list, r)
}

// settle drops what lies at or below a conversation's delivered cursor.
func (m *marks) settle(cursor envelope.Range) {
	m.ranges = slices.DeleteFunc(m.ranges, func(r envelope.Range) bool {
		return r.Conversation == cursor.Conversation && r.To <= cursor.To
	})
	for i := range m.ranges {
		if r := &m.ranges[i]; r.Conversation == cursor.Conversation {
			r.From = max(r.From, cursor.To+1)
		}
	}
}

// take returns what is to be told to the workers now.
func (m *marks) take() []envelope.Range {
	if m == nil {
		return nil
	}
	m.fresh = false
	return m.ranges[max(0, len(m.ranges)-maxReported):]
}

// delivers reports whether what a reply to t shows counts as delivered once it
// is written: not where the client confirms itself, but one's own messages need
// no confirmation.
func (c *conn) delivers(t protocol.Type) bool {
	return !c.confirm || t == protocol.Chat || t == protocol.GroupChat
}

// mark notes what the client has been shown.
func (c *conn) mark(r envelope.Range) {
	if c.proof == nil {
		return
	}
	if c.marks == nil {
		c.marks = &marks{}
	}
	c.marks.add(r)
	if !c.marks.fresh {
		c.reportLater()
	}
}

// settleMarks takes the cursors of an answer.
func (c *conn) settleMarks(cursors []envelope.Range) {
	if c.marks == nil {
		return
	}
	for _, r := range cursors {
		c.marks.settle(r)
	}
	if len(c.marks.ranges) == 0 {
		c.marks.ranges, c.marks.fresh = nil, false
	}
}
