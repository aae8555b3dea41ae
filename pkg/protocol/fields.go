package protocol

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// value is the raw JSON of a known field, nil where it is absent.
func (f *Frame) value(field Field) []byte {
	v := f.values[field]
	if v.End == 0 {
		return nil
	}
	return f.bytes(v)
}

func (f *Frame) bytes(s Span) []byte { return f.Bytes[s.Start:s.End] }

// Has reports whether a known field is there, whatever its value.
func (f *Frame) Has(field Field) bool { return f.values[field].End != 0 }

// Raw is a known field's value as it was written, nil where it is absent.
func (f *Frame) Raw(field Field) []byte { return f.value(field) }

// integer reads an integer literal: no sign but '-', no fraction, no exponent.
// ok is false for anything else, or beyond 2⁵³−1 either way.
func integer(raw []byte) (v int64, ok bool) {
	digits := raw
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 16 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if v > MaxInt {
		return 0, false
	}
	if len(digits) != len(raw) {
		v = -v
	}
	return v, true
}

// text decodes a JSON string. ok is false for any other value.
func text(raw []byte) (s []byte, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	s = raw[1 : len(raw)-1]
	for _, c := range s {
		if c == '\\' {
			var u string
			if json.Unmarshal(raw, &u) != nil {
				return nil, false
			}
			return []byte(u), true
		}
	}
	return s, true
}

// Text decodes a raw JSON string. ok is false for any other value.
func Text(raw []byte) (s []byte, ok bool) { return text(raw) }

// UserID is a field's value where it is a valid id (1 to 2⁵³−1), else 0. The
// edge uses it to choose a key; validation is the workers'.
func (f *Frame) UserID(field Field) int64 {
	if v, ok := integer(f.value(field)); ok && v > 0 {
		return v
	}
	return 0
}

// ClientID is the client's id, decoded, nil where it is absent or not valid.
func (f *Frame) ClientID() []byte {
	if f.twice == FieldID {
		return nil
	}
	s, ok := text(f.value(FieldID))
	if !ok || len(s) < 1 || len(s) > MaxID {
		return nil
	}
	return s
}

// Echo is the client's id as it was written, to be repeated in the reply; nil
// where it is absent or not valid.
func (f *Frame) Echo() []byte {
	if f.ClientID() == nil {
		return nil
	}
	return f.value(FieldID)
}

// Validator checks a frame's fields one after another and keeps the first
// fault, so that a handler reads what it needs without a branch for each.
type Validator struct {
	f   *Frame
	err *Error
}

// Validate begins with what holds for every type: no known key twice, a valid
// id, no password or token where none belongs.
func (f *Frame) Validate() *Validator {
	v := &Validator{f: f}
	if f.twice != NoField {
		v.fail(f.twice, "the key is given twice")
	}
	if f.Has(FieldID) && f.ClientID() == nil {
		v.fail(FieldID, "a string of 1 to 64 bytes is needed")
	}
	if f.Has(FieldPassword) && f.Type != Login && f.Type != Register {
		v.fail(FieldPassword, "no password belongs here")
	}
	if f.Has(FieldToken) && f.Type != Login {
		v.fail(FieldToken, "no token belongs here")
	}
	return v
}

// Err is the first fault, nil where there is none. It is always 400.
func (v *Validator) Err() *Error { return v.err }

// Fail notes a fault that the caller found.
func (v *Validator) Fail(field Field, reason string) { v.fail(field, reason) }

func (v *Validator) fail(field Field, reason string) {
	if v.err == nil {
		v.err = &Error{Code: Malformed, Field: field.String(), Message: reason}
	}
}

// ID reads a required user or group id.
func (v *Validator) ID(field Field) int64 {
	n, ok := integer(v.f.value(field))
	if !ok || n < 1 {
		v.fail(field, "an integer from 1 to 9007199254740991 is needed")
		return 0
	}
	return n
}

// OwnID reads an id that may be left out, then it means the connection's user.
func (v *Validator) OwnID(field Field, user int64) int64 {
	if !v.f.Has(field) {
		return user
	}
	return v.ID(field)
}

// Int reads an integer from low to high that may be left out.
func (v *Validator) Int(field Field, absent, low, high int64) int64 {
	if !v.f.Has(field) {
		return absent
	}
	n, ok := integer(v.f.value(field))
	if !ok || n < low || n > high {
		v.fail(field, "an integer from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10)+" is needed")
		return absent
	}
	return n
}

// Bool reads true or false; left out, it is false.
func (v *Validator) Bool(field Field) bool {
	switch raw := v.f.value(field); string(raw) {
	case "true":
		return true
	case "false", "":
		return false
	}
	v.fail(field, "true or false is needed")
	return false
}

// Chars reads a required string of low to high characters.
func (v *Validator) Chars(field Field, low, high int) string {
	s, ok := text(v.f.value(field))
	if n := utf8.RuneCount(s); !ok || n < low || n > high {
		v.fail(field, "a string of "+strconv.Itoa(low)+" to "+strconv.Itoa(high)+" characters is needed")
		return ""
	}
	return string(s)
}

// OptionalChars is Chars for a string that may be left out, then it is empty.
func (v *Validator) OptionalChars(field Field, high int) string {
	if !v.f.Has(field) {
		return ""
	}
	return v.Chars(field, 0, high)
}

// NotEmpty checks a required string of at least one byte.
func (v *Validator) NotEmpty(field Field) {
	if raw := v.f.value(field); len(raw) < 3 || raw[0] != '"' {
		v.fail(field, "a string of at least one byte is needed")
	}
}

// Number checks a number of any form that may be left out.
func (v *Validator) Number(field Field) {
	if raw := v.f.value(field); raw != nil && raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		v.fail(field, "a number is needed")
	}
}
