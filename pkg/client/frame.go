package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sponge/pkg/protocol"
)

// Frame is what the server sends: a reply, a push or a notice. What it points
// into holds only until the callback that got it returns; Clone keeps it.
type Frame struct {
	Raw  []byte // the whole object
	Type protocol.Type
	Code protocol.Code // of a reply

	// Keys that chat frames and their replies carry; 0 where absent.
	From, To, Group int64
	Seq             int64
	Time            int64 // when the edge received the message, Unix milliseconds

	At time.Time // when the bytes were read

	id  []byte // raw content of the string
	msg []byte // the raw string, with its quotes
}

// Conversation is where a push belongs.
func (f *Frame) Conversation() protocol.Conversation {
	if f.Type == protocol.GroupChat {
		return protocol.GroupOf(f.Group)
	}
	return protocol.Pair(f.From, f.To)
}

// RawText is a push's msg as it was written, without quotes, escapes left as
// they are.
func (f *Frame) RawText() []byte {
	if len(f.msg) < 2 {
		return nil
	}
	return f.msg[1 : len(f.msg)-1]
}

// Text is a push's msg, decoded.
func (f *Frame) Text() string {
	s, _ := protocol.Text(f.msg)
	return string(s)
}

// Decode reads a frame's own keys.
func (f *Frame) Decode(into any) error {
	if err := json.Unmarshal(f.Raw, into); err != nil {
		return fmt.Errorf("client: reply %s: %w", f.Type, err)
	}
	return nil
}

// Messages are the chat frames of a 114 or 116, and whether there are more.
func (f *Frame) Messages() (list []*Frame, more bool, err error) {
	var p struct {
		Messages []json.RawMessage
		More     bool
	}
	if err := f.Decode(&p); err != nil {
		return nil, false, err
	}
	for _, raw := range p.Messages {
		m := &Frame{}
		if err := m.parse(raw); err != nil {
			return nil, false, err
		}
		m.At = f.At
		list = append(list, m)
	}
	return list, p.More, nil
}

// Clone is a frame that may be kept.
func (f *Frame) Clone() *Frame {
	var k Frame
	if k.parse(slices.Clone(f.Raw)) != nil {
		return &Frame{Type: f.Type, Code: f.Code, At: f.At} // no object: made by this package
	}
	k.At = f.At
	return &k
}

// Err is the failure that a reply tells, nil for a success. It is always a
// *protocol.Error.
func (f *Frame) Err() error {
	if f.Code == protocol.OK {
		return nil
	}
	var said struct{ Error, Field string }
	if len(f.Raw) > 0 && json.Unmarshal(f.Raw, &said) != nil {
		said.Error = string(f.Raw)
	}
	return &protocol.Error{Code: f.Code, Field: said.Field, Message: said.Error}
}

var errNoFrame = errors.New("client: the server sent what is no frame")

// parse finds the keys that matter in one line. It looks only as closely as it
// must to find them: the server is not under test here.
func (f *Frame) parse(line []byte) error {
	*f = Frame{Raw: line, Type: protocol.NoType}
	if len(line) < 2 || line[0] != '{' {
		return errNoFrame
	}
	i := blanks(line, 1)
	for i < len(line) && line[i] == '"' {
		keyEnd := stringEnd(line, i)
		if keyEnd < 0 {
			return errNoFrame
		}
		key := line[i+1 : keyEnd-1]
		i = blanks(line, keyEnd)
		if i >= len(line) || line[i] != ':' {
			return errNoFrame
		}
		start := blanks(line, i+1)
		end := valueEnd(line, start)
		if end <= start {
			return errNoFrame
		}
		f.set(key, line[start:end])
		if i = blanks(line, end); i < len(line) && line[i] == ',' {
			i = blanks(line, i+1)
		}
	}
	if i != len(line)-1 || line[i] != '}' || f.Type == protocol.NoType {
		return errNoFrame
	}
	return nil
}

func (f *Frame) set(key, value []byte) {
	switch string(key) { // no allocation: the compiler compares in place
	case "msgType":
		f.Type = protocol.Type(number(value))
	case "code":
		f.Code = protocol.Code(number(value))
	case "FROMID":
		f.From = number(value)
	case "TOID":
		f.To = number(value)
	case "GROUPID":
		f.Group = number(value)
	case "seq":
		f.Seq = number(value)
	case "time":
		f.Time = number(value)
	case "msg":
		f.msg = value
	case "id":
		if len(value) >= 2 && value[0] == '"' {
			f.id = value[1 : len(value)-1]
		}
	}
}

func blanks(b []byte, i int) int {
	for i < len(b) && protocol.Blank(b[i]) {
		i++
	}
	return i
}

// number reads digits; 0 for anything else, which no id or seq is.
func number(b []byte) (n int64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// stringEnd is the index behind the string that begins at i, -1 if it does not
// end.
func stringEnd(b []byte, i int) int {
	for j := i + 1; ; {
		k := bytes.IndexByte(b[j:], '"')
		if k < 0 {
			return -1
		}
		j += k
		slashes := 0
		for b[j-1-slashes] == '\\' { // ends at the opening quote
			slashes++
		}
		j++
		if slashes%2 == 0 {
			return j
		}
	}
}

// valueEnd is the index behind the value that begins at i, -1 if it does not
// end.
func valueEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			if i = stringEnd(b, i); i < 0 || depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				if depth < 0 {
					return i // a word's end: the brace is the object's
				}
				return i + 1
			}
		case ',', ' ':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return -1
}
