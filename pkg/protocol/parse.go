package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// ErrIncomplete means that the bytes end before the value does.
var ErrIncomplete = errors.New("protocol: frame is not complete yet")

// SyntaxError means that the bytes are no JSON object, whatever follows.
type SyntaxError struct {
	Offset int // of the offending byte
	Reason string
}

func (e *SyntaxError) Error() string { return e.Reason }

// Field is a key that some frame type knows.
type Field uint8

// The known fields, spelled on the wire as Field.String says.
const (
	FieldType Field = iota
	FieldID
	FieldUser
	FieldPassword
	FieldToken
	FieldConfirm
	FieldName
	FieldFrom
	FieldTo
	FieldMsg
	FieldSendTime
	FieldU1
	FieldU2
	FieldGroup
	FieldDescription
	FieldKeyword
	FieldLimit
	FieldAfter
	FieldBefore
	FieldSeq
	numFields
)

// NoField is an unknown key.
const NoField = numFields

var fieldNames = [numFields]string{"msgType", "id", "USERID", "password", "token", "confirm", "name",
	"FROMID", "TOID", "msg", "sendTime", "U1", "U2", "GROUPID", "description", "keyword",
	"limit", "after", "before", "seq"}

func (f Field) String() string { return fieldNames[f] }

func fieldOf(key []byte) Field {
	switch string(key) { // no allocation: the compiler compares in place
	case "msgType":
		return FieldType
	case "id":
		return FieldID
	case "USERID":
		return FieldUser
	case "password":
		return FieldPassword
	case "token":
		return FieldToken
	case "confirm":
		return FieldConfirm
	case "name":
		return FieldName
	case "FROMID":
		return FieldFrom
	case "TOID":
		return FieldTo
	case "msg":
		return FieldMsg
	case "sendTime":
		return FieldSendTime
	case "U1":
		return FieldU1
	case "U2":
		return FieldU2
	case "GROUPID":
		return FieldGroup
	case "description":
		return FieldDescription
	case "keyword":
		return FieldKeyword
	case "limit":
		return FieldLimit
	case "after":
		return FieldAfter
	case "before":
		return FieldBefore
	case "seq":
		return FieldSeq
	}
	return NoField
}

// serverOwned reports whether key is the server's to set in a chat frame; what
// a client wrote there is dropped.
func serverOwned(key []byte) bool {
	switch string(key) {
	case "seq", "msgId", "time", "code", "error":
		return true
	}
	return false
}

// isSecret reports whether a key, in whatever case, names something that no
// topic, log or archive may hold.
func isSecret(key []byte) bool {
	return bytes.EqualFold(key, []byte("password")) || bytes.EqualFold(key, []byte("token"))
}

// Span is a range of a frame's bytes.
type Span struct{ Start, End int32 }

// Frame is a parsed inbound frame. It points into the bytes it was parsed
// from, which must not change while it is used. The zero value is ready for
// Parse, and one Frame may be parsed into again and again. Not safe for
// concurrent use.
type Frame struct {
	Bytes []byte // the object, from { to }
	Type  Type   // NoType where msgType is missing, doubled or no integer

	// Secrets are the values of keys that name a password or a token, at any
	// depth, in order; none lies within another.
	Secrets []Span

	values [numFields]Span // top-level values of known fields; End 0: absent
	drop   []Span          // top-level members that a push leaves out
	twice  Field           // a known field given twice, else NoField
}

// Parse reads the object at the start of b, strictly by RFC 8259 and UTF-8,
// and returns its length. Raw newlines are refused, which the RFC would allow
// between tokens: on this wire they end a line.
//
// The error is ErrIncomplete where b ends too early, else a *SyntaxError.
func (f *Frame) Parse(b []byte) (n int, err error) {
	*f = Frame{Type: NoType, Secrets: f.Secrets[:0], drop: f.drop[:0], twice: NoField}
	p := parser{b: b, f: f}
	if err := p.object(); err != nil {
		return 0, err
	}
	if !utf8.Valid(b[:p.i]) {
		return 0, &SyntaxError{Offset: invalidAt(b), Reason: "the frame is not valid UTF-8"}
	}
	f.Bytes = b[:p.i]
	if f.twice != FieldType {
		if v, ok := integer(f.value(FieldType)); ok && v <= 1000 {
			f.Type = Type(v)
		}
	}
	return p.i, nil
}

// invalidAt is where b, which is not valid UTF-8, ceases to be.
func invalidAt(b []byte) int {
	for i := 0; ; {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
}

// parser walks one object. A bit for each open level says whether the level is
// an object or a list.
type parser struct {
	b     []byte
	i     int
	f     *Frame
	kinds uint64 // bit depth-1: 1 for an object, 0 for a list
	depth int

	memberStart int   // of the current top-level member's key
	member      Field // the current top-level member
	dropped     bool  // the current top-level member is left out of pushes

	secretDepth int // of the outermost secret that is open; 0: none
	secretStart int
}

func (p *parser) fail(reason string) error { return &SyntaxError{Offset: p.i, Reason: reason} }

// blanks skips white space and returns the byte behind it, not consumed.
func (p *parser) blanks() (byte, error) {
	for p.i < len(p.b) {
		switch c := p.b[p.i]; c {
		case ' ', '\t', '\r':
			p.i++
		case '\n':
			return 0, p.fail("a newline within a frame ends it; write newlines in strings as \\n")
		default:
			return c, nil
		}
	}
	return 0, ErrIncomplete
}

func (p *parser) object() error {
	if len(p.b) == 0 {
		return ErrIncomplete
	}
	if p.b[0] != '{' {
		return p.fail("a frame is a JSON object")
	}
	if err := p.open(); err != nil {
		return err
	}
	for {
		done, err := p.next()
		if done || err != nil {
			return err
		}
	}
}

// open enters the object or list at p.i.
func (p *parser) open() error {
	if p.depth == MaxDepth {
		return p.fail("the frame is nested too deeply")
	}
	bit := uint64(1) << p.depth
	p.kinds &^= bit
	if p.b[p.i] == '{' {
		p.kinds |= bit
	}
	p.depth++
	p.i++
	c, err := p.blanks()
	if err != nil {
		return err
	}
	if c == '}' || c == ']' {
		return nil // next closes it
	}
	return p.element()
}

// element reads a member or a list's element up to the end of a plain value,
// or to the inside of a nested one.
func (p *parser) element() error {
	if p.kinds>>(p.depth-1)&1 == 1 {
		if err := p.key(); err != nil {
			return err
		}
	}
	c, err := p.blanks()
	if err != nil {
		return err
	}
	switch {
	case c == '{' || c == '[':
		return p.open()
	case c == '"':
		_, err = p.str()
	case c == '-' || c >= '0' && c <= '9':
		err = p.number()
	case c == 't':
		err = p.literal("true")
	case c == 'f':
		err = p.literal("false")
	case c == 'n':
		err = p.literal("null")
	default:
		err = p.fail("not JSON: a value is missing")
	}
	if err == nil {
		p.ended()
	}
	return err
}

func (p *parser) key() error {
	c, err := p.blanks()
	if err != nil {
		return err
	}
	if c != '"' {
		return p.fail("not JSON: a key is missing its quotes")
	}
	start := p.i
	escaped, err := p.str()
	if err != nil {
		return err
	}
	key := p.b[start+1 : p.i-1]
	if escaped {
		var s string
		if json.Unmarshal(p.b[start:p.i], &s) == nil {
			key = []byte(s)
		}
	}
	if c, err = p.blanks(); err != nil {
		return err
	}
	if c != ':' {
		return p.fail("not JSON: a colon is missing after a key")
	}
	p.i++
	if _, err = p.blanks(); err != nil {
		return err
	}
	if p.secretDepth == 0 && isSecret(key) {
		p.secretDepth, p.secretStart = p.depth, p.i
	}
	if p.depth == 1 {
		p.member, p.memberStart, p.dropped = fieldOf(key), start, serverOwned(key)
		if p.member == FieldID {
			p.dropped = true
		}
		if p.member != NoField {
			if p.f.values[p.member].End != 0 && p.f.twice == NoField {
				p.f.twice = p.member
			}
			p.f.values[p.member].Start = int32(p.i)
		}
	}
	return nil
}

// ended notes the value that ends at p.i.
func (p *parser) ended() {
	if p.secretDepth == p.depth {
		p.f.Secrets = append(p.f.Secrets, Span{int32(p.secretStart), int32(p.i)})
		p.secretDepth = 0
	}
	if p.depth == 1 {
		if p.member != NoField {
			p.f.values[p.member].End = int32(p.i)
		}
		if p.dropped {
			p.f.drop = append(p.f.drop, Span{int32(p.memberStart), int32(p.i)})
		}
	}
}

// next reads what follows a value: a comma and another, or the end of a level.
func (p *parser) next() (done bool, err error) {
	c, err := p.blanks()
	if err != nil {
		return false, err
	}
	inObject := p.kinds>>(p.depth-1)&1 == 1
	switch {
	case c == ',':
		p.i++
		return false, p.element()
	case c == '}' && inObject, c == ']' && !inObject:
		p.i++
		p.depth--
		if p.depth == 0 {
			return true, nil
		}
		p.ended()
		return false, nil
	case inObject:
		return false, p.fail("not JSON: a comma or a closing brace is missing")
	default:
		return false, p.fail("not JSON: a comma or a closing bracket is missing")
	}
}

func (p *parser) str() (escaped bool, err error) {
	i, b := p.i+1, p.b
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			p.i = i + 1
			return escaped, nil
		case c == '\\':
			escaped = true
			if i+1 >= len(b) {
				return false, ErrIncomplete
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				for k := 2; k < 6; k++ {
					if i+k >= len(b) {
						return false, ErrIncomplete
					}
					if !isHex(b[i+k]) {
						p.i = i + k
						return false, p.fail("not JSON: \\u takes four hexadecimal digits")
					}
				}
				i += 6
			default:
				p.i = i + 1
				return false, p.fail("not JSON: unknown escape in a string")
			}
		case c < 0x20:
			p.i = i
			if c == '\n' {
				return false, p.fail("a newline within a frame ends it; write newlines in strings as \\n")
			}
			return false, p.fail("not JSON: control characters in strings are written as escapes")
		default:
			i++
		}
	}
	p.i = i
	return false, ErrIncomplete
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func (p *parser) digits() int {
	start := p.i
	for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
		p.i++
	}
	return p.i - start
}

// number needs a byte behind the number, which an object always has.
func (p *parser) number() error {
	if p.b[p.i] == '-' {
		p.i++
	}
	first := p.i
	switch n := p.digits(); {
	case p.i == len(p.b):
		return ErrIncomplete
	case n == 0 || n > 1 && p.b[first] == '0':
		return p.fail("not JSON: malformed number")
	}
	if p.b[p.i] == '.' {
		p.i++
		if n := p.digits(); p.i == len(p.b) {
			return ErrIncomplete
		} else if n == 0 {
			return p.fail("not JSON: malformed number")
		}
	}
	if p.b[p.i]|0x20 == 'e' {
		p.i++
		if p.i < len(p.b) && (p.b[p.i] == '+' || p.b[p.i] == '-') {
			p.i++
		}
		if n := p.digits(); p.i == len(p.b) {
			return ErrIncomplete
		} else if n == 0 {
			return p.fail("not JSON: malformed number")
		}
	}
	return nil
}

func (p *parser) literal(word string) error {
	for k := range len(word) {
		if p.i+k >= len(p.b) {
			return ErrIncomplete
		}
		if p.b[p.i+k] != word[k] {
			p.i += k
			return p.fail("not JSON: unknown word")
		}
	}
	p.i += len(word)
	return nil
}
