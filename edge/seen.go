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
	shown lately
	// own are those that pushes of the user's own messages have shown. Shown
	// has them, too, but also those that a 14 has passed over.
	own    lately
	turnAt int64 // when recent becomes older, by Edge.now
}

// lately are ranges of two spans of time.
type lately struct{ recent, older []envelope.Range }

func (l *lately) add(ranges []envelope.Range) {
	for _, r := range ranges {
		l.recent = addRange(l.recent, r)
	}
}

func (l *lately) turn() { l.older, l.recent = l.recent, nil }

// has reports whether one of the ranges has all of r.
func (l *lately) has(r envelope.Range) bool {
	for _, list := range [2][]envelope.Range{l.recent, l.older} {
		for i := len(list) - 1; i >= 0; i-- {
			if x := &list[i]; x.Conversation == r.Conversation && x.From <= r.From && r.To <= x.To {
				return true
			}
		}
	}
	return false
}

// remember notes what the client is shown.
func (c *conn) remember(ranges []envelope.Range) {
	if c.marks == nil {
		c.marks = &marks{}
	}
	if c.marks.shown.recent == nil {
		c.marks.turnAt = c.edge.now() + seenFor.Milliseconds()
	}
	c.marks.shown.add(ranges)
}

// rememberOwn notes, behind remember, what a push of the user's own messages
// has shown.
func (c *conn) rememberOwn(ranges []envelope.Range) {
	if c.state == open && c.marks != nil {
		c.marks.own.add(ranges)
	}
}

// forget lets go of what has had its time. A process that was stopped for long
// forgets half of it at once, and the rest no sooner than later.
func (c *conn) forget(now int64) {
	m := c.marks
	if m == nil || now < m.turnAt {
		return
	}
	m.shown.turn()
	m.own.turn()
	m.turnAt = now + seenFor.Milliseconds()
	if m.shown.older == nil && len(m.ranges) == 0 && !m.more {
		c.marks = nil
	}
}

// unseen leaves out the lines that the client has been shown on this
// connection. Lines are others' messages, with the seqs of ranges in order; it
// takes them whole where they are not.
func (c *conn) unseen(lines []byte, ranges []envelope.Range) ([]byte, []envelope.Range) {
	if c.marks == nil || len(ranges) == 0 {
		return lines, ranges
	}
	if len(ranges) == 1 && ranges[0].From == ranges[0].To {
		if c.marks.shown.has(ranges[0]) {
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
			if c.marks.shown.has(one) {
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
