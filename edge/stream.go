package edge

import (
	"bytes"
	"errors"

	"sponge/pkg/protocol"
)

// stream finds frames in the bytes of a connection. It holds no bytes, only
// what is known of the frame that has not arrived completely, and gives the
// same items however the bytes are cut. The zero value is ready.
type stream struct {
	split   *protocol.Splitter // of the value that has begun, nil where none has
	skipped int32              // >0: bytes of a malformed line that were passed already, and one
}

type itemKind uint8

const (
	itemNone      itemKind = iota // nothing but blanks, or of a skipped line
	itemPartial                   // a frame has begun
	itemFrame                     // a frame of a known type
	itemMalformed                 // no known frame: err and echo say what is wrong
	itemOversized                 // nothing behind it can be read
)

// item is what comes next in a stream.
type item struct {
	kind itemKind
	n    int // bytes up to its end; of itemPartial, up to its begin
	err  *protocol.Error
	echo []byte // the id of a frame of an unknown type
	skip int    // >0: the rest of the line is no frame; how much of it n covers
}

// next finds the next item at the start of b, which holds all bytes that have
// not been passed. f is parsed into. Nothing is passed before accept is called
// with the item, but for itemNone and itemPartial: of those the caller drops n
// bytes; after itemNone it goes on, after itemPartial it waits for more.
func (s *stream) next(b []byte, max int, f *protocol.Frame) item {
	n := 0
	if s.skipped > 0 {
		room := max + 1 - int(s.skipped-1) // the newline must be among these
		end := bytes.IndexByte(b[:min(len(b), room)], '\n')
		switch {
		case end >= 0:
			s.skipped = 0
			return item{kind: itemNone, n: end + 1}
		case len(b) >= room:
			return item{kind: itemOversized, n: len(b)}
		default:
			s.skipped += int32(len(b))
			return item{kind: itemNone, n: len(b)}
		}
	}
	if s.split == nil {
		for n < len(b) && protocol.Blank(b[n]) {
			n++
		}
	}
	if n == len(b) {
		return item{kind: itemNone, n: n}
	}
	it := s.value(b[n:], max, f)
	it.n += n
	return it
}

// value finds the item that begins at b[0].
func (s *stream) value(b []byte, max int, f *protocol.Frame) item {
	object := b[0] == '{'
	most := b[:min(len(b), max)] // what lies behind the limit decides nothing
	if object && s.split == nil {
		n, err := f.Parse(most)
		if !errors.Is(err, protocol.ErrIncomplete) {
			return s.parsed(b, n, err, f)
		}
	}
	if s.split == nil {
		s.split = new(protocol.Splitter)
	}
	n, outcome := s.split.Next(b)
	if outcome == protocol.More && len(b) <= max {
		return item{kind: itemPartial}
	}
	s.split = nil // next may be asked again
	switch {
	case object:
		// Also where it is too large already: a fault within the limit decides.
		n, err := f.Parse(most)
		return s.parsed(b, n, err, f)
	case outcome == protocol.More || n > max:
		return item{kind: itemOversized, n: len(b)}
	case outcome == protocol.Whole && protocol.Valid(b[:n]):
		return item{kind: itemMalformed, n: n, err: protocol.Errorf(protocol.Malformed, "a frame is a JSON object")}
	}
	return item{kind: itemMalformed, n: n, skip: n + 1, err: protocol.Errorf(protocol.Malformed, "not JSON: a frame begins with {")}
}

// parsed judges what Parse found within the limit, when no more is to come.
func (s *stream) parsed(b []byte, n int, err error, f *protocol.Frame) item {
	var fault *protocol.SyntaxError
	switch {
	case errors.As(err, &fault):
		at := fault.Offset
		return item{kind: itemMalformed, n: at, skip: at + 1, err: protocol.Errorf(protocol.Malformed, "%s", fault.Reason)}
	case err != nil:
		return item{kind: itemOversized, n: len(b)}
	case !f.Type.Known():
		return item{kind: itemMalformed, n: n, err: unknownType(f), echo: f.Echo()}
	}
	return item{kind: itemFrame, n: n}
}

func unknownType(f *protocol.Frame) *protocol.Error {
	e := &protocol.Error{Code: protocol.Malformed, Field: protocol.FieldType.String()}
	fault := f.Validate().Err()
	switch {
	case !f.Has(protocol.FieldType):
		e.Message = "msgType is missing"
	case fault != nil && fault.Field == e.Field:
		e.Message = fault.Message
	case f.Type == protocol.NoType && !digits(f.Raw(protocol.FieldType)):
		e.Message = "msgType must be an integer"
	default:
		e.Message = "msgType is not one that this server knows"
	}
	return e
}

func digits(b []byte) bool {
	for _, c := range bytes.TrimPrefix(b, []byte{'-'}) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// accept passes an item that next found.
func (s *stream) accept(it item) {
	s.split = nil
	s.skipped = int32(it.skip)
}

// end is the item at the end of the stream, or of a WebSocket message, where b
// is a frame that has begun.
func (s *stream) end(b []byte, f *protocol.Frame) item {
	it := item{kind: itemMalformed, n: len(b), err: protocol.Errorf(protocol.Malformed, "the frame is not complete")}
	var fault *protocol.SyntaxError
	switch {
	case len(b) == 0 || s.skipped > 0:
		it.kind = itemNone
	case b[0] != '{':
		it.err = protocol.Errorf(protocol.Malformed, "a frame is a JSON object")
	default:
		if _, err := f.Parse(b); errors.As(err, &fault) {
			it.err = protocol.Errorf(protocol.Malformed, "%s", fault.Reason)
		}
	}
	return it
}
