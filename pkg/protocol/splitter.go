package protocol

import "encoding/json"

// Splitter finds the end of one JSON value that arrives in pieces, looking at
// every byte once: a frame that comes a byte at a time costs no more than one
// that comes at once. It checks nothing but brackets and quotes; Parse does
// the rest when the value is whole. The zero value is ready.
type Splitter struct {
	pos     int32
	depth   int32
	str     bool
	escaped bool
}

// Split is what a Splitter found.
type Split int

// The outcomes of Splitter.Next.
const (
	More    Split = iota // the value does not end yet
	Whole                // the value is b[:n]
	Garbage              // no value: skip to the newline at or behind n
)

// Next looks at b, which begins with the value's first byte and holds all that
// has arrived since; more bytes each time until the outcome is not More. A
// number or a word ends only when another byte follows it.
func (s *Splitter) Next(b []byte) (n int, outcome Split) {
	if s.pos == 0 {
		if len(b) == 0 {
			return 0, More
		}
		switch c := b[0]; {
		case c == '{' || c == '[':
			s.depth = 1
		case c == '"':
			s.str = true
		case wordByte(c):
		default:
			return 0, Garbage
		}
		s.pos = 1
	}
	for i := int(s.pos); i < len(b); i++ {
		c := b[i]
		switch {
		case c == '\n' && (s.str || s.depth > 0):
			return i, Garbage
		case s.escaped:
			s.escaped = false
		case s.str:
			if c == '\\' {
				s.escaped = true
			} else if c == '"' {
				if s.str = false; s.depth == 0 {
					return i + 1, Whole
				}
			}
		case s.depth == 0:
			if !wordByte(c) {
				return i, Whole
			}
		case c == '"':
			s.str = true
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			if s.depth--; s.depth == 0 {
				return i + 1, Whole
			}
		}
	}
	s.pos = int32(len(b))
	return len(b), More
}

// wordByte reports whether c may be part of a number, true, false or null.
func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E'
}

// Valid reports whether b, which is no object, is a JSON value all the same:
// then reading goes on right behind it, else on the next line.
func Valid(b []byte) bool { return json.Valid(b) }

// Blank reports whether c may stand between frames.
func Blank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }
