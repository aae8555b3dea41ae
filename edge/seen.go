package edge

import (
	"bytes"
	"time"

	"sponge/pkg/envelope"
)

// seenFor is for how long, at least, a connection knows what it was shown, and
// at most twice as long: a worker may announce a message long after another
// has put it into the answer to a 14, and one that takes over from another
// announces again.
const seenFor = 2 * time.Minute

// seen are the seqs that were written to a connection lately, delivered or not.
// An idle connection forgets them.
type seen struct {
	recent, older []envelope.Range
	// own are those that pushes of the user's own messages have shown. Recent
	// has them, too, but also those that a 14 has passed over.
	own, ownOlder []envelope.Range
	turnAt        int64 // when recent becomes older, by Edge.now
}

// remember notes what the client is shown.
func (c *conn) remember(ranges []envelope.Range) {
	if c.marks == nil {
		c.marks = &marks{}
	}
	s := &c.marks.seen
	if s.recent == nil {
		s.turnAt = c.edge.now() + seenFor.Milliseconds()
	}
	for _, r := range ranges {
		s.recent = addRange(s.recent, r)
	}
}

// rememberOwn notes, behind remember, what a push of the user's own messages
// has shown.
func (c *conn) rememberOwn(ranges []envelope.Range) {
	if c.state != open || c.marks == nil {
		return
	}
	for _, r := range ranges {
		c.marks.own = addRange(c.marks.own, r)
	}
}

// forget lets go of what has had its time. A process that was stopped for long
// forgets half of it at once, and the rest no sooner than later.
func (c *conn) forget(now int64) {
	m := c.marks
	if m == nil || now < m.turnAt {
		return
	}
	m.older, m.recent = m.recent, nil
	m.ownOlder, m.own = m.own, nil
	m.turnAt = now + seenFor.Milliseconds()
	if m.older == nil && len(m.ranges) == 0 && !m.more {
		c.marks = nil
	}
}

// has reports whether all of a range was shown.
func (s *seen) has(r envelope.Range) bool { return covers(s.recent, r) || covers(s.older, r) }

// hasOwn reports whether pushes of the user's own messages have shown all of it.
func (s *seen) hasOwn(r envelope.Range) bool { return covers(s.own, r) || covers(s.ownOlder, r) }

// covers reports whether a range of list has all of r.
func covers(list []envelope.Range, r envelope.Range) bool {
	for i := len(list) - 1; i >= 0; i-- {
		if x := &list[i]; x.Conversation == r.Conversation && x.From <= r.From && r.To <= x.To {
			return true
		}
	}
	return false
}

// unseen leaves out the lines that the client has been shown on this
// connection. Lines are others' messages, with the seqs of ranges in order; it
// takes them whole where they are not.
func (c *conn) unseen(lines []byte, ranges []envelope.Range) ([]byte, []envelope.Range) {
	if c.marks == nil || len(ranges) == 0 {
		return lines, ranges
	}
	if len(ranges) == 1 && ranges[0].From == ranges[0].To {
		if c.marks.has(ranges[0]) {
			c.edge.metrics.drops[Shown].Inc()
			return nil, nil
		}
		return lines, ranges
	}
	seqs := int64(0)
	for _, r := range ranges {
		seqs += r.To - r.From + 1
	}
	if seqs != int64(bytes.Count(lines, []byte{'\n'})) {
		return lines, ranges
	}
	var left []byte
	var shown []envelope.Range
	for _, r := range ranges {
		for seq := r.From; seq <= r.To; seq++ {
			end := bytes.IndexByte(lines, '\n') + 1
			one := envelope.Range{Conversation: r.Conversation, From: seq, To: seq}
			if c.marks.has(one) {
				c.edge.metrics.drops[Shown].Inc()
			} else {
				left = append(left, lines[:end]...)
				shown = addRange(shown, one)
			}
			lines = lines[end:]
		}
	}
	return left, shown
}
