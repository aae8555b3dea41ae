package protocol

import (
	"crypto/sha256"
	"strconv"
	"unicode/utf8"
)

// AppendBody appends what a chat frame leaves in the store: the frame as sent,
// without the sender's id and the server's own keys, FROMID filled in, up to
// but without the closing brace. AppendPush completes it.
func (f *Frame) AppendBody(dst []byte, from int64) []byte {
	pos := int32(0)
	end := int32(len(f.Bytes) - 1)
	begin := len(dst)
	for _, m := range f.drop {
		dst = append(dst, f.Bytes[pos:m.Start]...)
		pos = m.End
		for pos < end && Blank(f.Bytes[pos]) {
			pos++
		}
		if f.Bytes[pos] == ',' {
			pos++
		}
	}
	dst = append(dst, f.Bytes[pos:end]...)
	for n := len(dst); n > begin+1 && (Blank(dst[n-1]) || dst[n-1] == ','); n-- {
		dst = dst[:n-1]
	}
	if !f.Has(FieldFrom) {
		dst = append(dst, `,"FROMID":`...)
		dst = strconv.AppendInt(dst, from, 10)
	}
	return dst
}

// AppendPush appends a stored chat frame as its recipients get it, without a
// newline.
func AppendPush(dst, body []byte, seq int64, msgID string, time int64) []byte {
	dst = append(dst, body...)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendInt(dst, seq, 10)
	dst = append(dst, `,"msgId":"`...)
	dst = append(dst, msgID...)
	dst = append(dst, `","time":`...)
	dst = strconv.AppendInt(dst, time, 10)
	return append(dst, '}')
}

// ContentHash tells frames of the same id apart: SHA-256 of the frame's bytes.
// Sealed secrets are left out, since no two seals of the same secret are
// alike.
func (f *Frame) ContentHash() [32]byte {
	if len(f.Secrets) == 0 {
		return sha256.Sum256(f.Bytes)
	}
	h := sha256.New()
	pos := int32(0)
	for _, s := range f.Secrets {
		h.Write(f.Bytes[pos:s.Start])
		pos = s.End
	}
	h.Write(f.Bytes[pos:])
	return [32]byte(h.Sum(nil))
}

// ReplaceSecrets appends the frame with the value of each secret replaced by
// what seal returns for it, which must be a JSON value.
func (f *Frame) ReplaceSecrets(dst []byte, seal func(raw []byte) ([]byte, error)) ([]byte, error) {
	pos := int32(0)
	for _, s := range f.Secrets {
		sealed, err := seal(f.bytes(s))
		if err != nil {
			return nil, err
		}
		dst = append(dst, f.Bytes[pos:s.Start]...)
		dst = append(dst, sealed...)
		pos = s.End
	}
	return append(dst, f.Bytes[pos:]...), nil
}

// Object builds one JSON object for the wire, key by key. It is a byte slice
// so that many can be built into one buffer.
type Object []byte

// NewReply begins the reply to t. echo is the request's id as it was written,
// or nil.
func NewReply(dst []byte, t Type, code Code, echo []byte) Object {
	dst = append(dst, `{"msgType":`...)
	dst = strconv.AppendInt(dst, int64(t.Reply()), 10)
	dst = append(dst, `,"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	if echo != nil {
		dst = append(append(dst, `,"id":`...), echo...)
	}
	return dst
}

// NewFailure is the whole reply to a frame that failed.
func NewFailure(dst []byte, t Type, e *Error, echo []byte) []byte {
	o := NewReply(dst, t, e.Code, echo).Text("error", e.Message)
	if e.Field != "" {
		o = o.Text("field", e.Field)
	}
	return o.End()
}

// NewNotice is the whole notice that a connection is about to be closed:
// why, whether to come back, and after how many milliseconds.
func NewNotice(dst []byte, reason string, reconnect bool, afterMs int64) []byte {
	dst = append(dst, `{"msgType":98`...)
	return Object(dst).Text("reason", reason).Bool("reconnect", reconnect).Int("after", afterMs).End()
}

// Int adds a key with an integer.
func (o Object) Int(key string, v int64) Object {
	return strconv.AppendInt(o.key(key), v, 10)
}

// Bool adds a key with true or false.
func (o Object) Bool(key string, v bool) Object {
	return strconv.AppendBool(o.key(key), v)
}

// Text adds a key with a string.
func (o Object) Text(key, v string) Object { return AppendText(o.key(key), v) }

// Raw adds a key with a JSON value.
func (o Object) Raw(key string, v []byte) Object { return append(o.key(key), v...) }

// End closes the object and ends the line.
func (o Object) End() []byte { return append(o, '}', '\n') }

func (o Object) key(key string) []byte {
	if n := len(o); n > 0 && o[n-1] != '{' {
		o = append(o, ',')
	}
	o = append(append(o, '"'), key...)
	return append(o, '"', ':')
}

// AppendText appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func AppendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r < 0x20 || r == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
