package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"
)

// scanner reads a line from left to right. It keeps the first error; what
// follows reads as zero. Lines are no JSON of a stranger's, so it knows only
// what AppendLine writes.
type scanner struct {
	b   []byte
	bad bool
}

func (s *scanner) fail() { s.bad = true }

// skip goes on behind text, if that is what comes.
func (s *scanner) skip(text string) bool {
	if s.bad || len(s.b) < len(text) || string(s.b[:len(text)]) != text {
		return false
	}
	s.b = s.b[len(text):]
	return true
}

func (s *scanner) expect(text string) {
	if !s.skip(text) {
		s.fail()
	}
}

func (s *scanner) take(n int) []byte {
	if s.bad || len(s.b) < n {
		s.fail()
		return nil
	}
	out := s.b[:n]
	s.b = s.b[n:]
	return out
}

func (s *scanner) number() string {
	n := 0
	for n < len(s.b) && (s.b[n] >= '0' && s.b[n] <= '9' || n == 0 && s.b[n] == '-') {
		n++
	}
	return string(s.take(n))
}

func (s *scanner) int() int64 {
	n, err := strconv.ParseInt(s.number(), 10, 64)
	s.bad = s.bad || err != nil
	return n
}

func (s *scanner) uint() uint64 {
	n, err := strconv.ParseUint(s.number(), 10, 64)
	s.bad = s.bad || err != nil
	return n
}

func (s *scanner) time() int64 {
	if !s.skip(`"`) {
		return s.int()
	}
	t, err := time.Parse(timeForm, string(s.take(len(timeForm))))
	s.bad = s.bad || err != nil
	s.expect(`"`)
	return t.UnixMilli()
}

// bytes reads what appendBytes wrote, behind the beginning of the name.
func (s *scanner) bytes() []byte {
	if s.skip(`Base64":`) {
		return s.base64()
	}
	s.expect(`":`)
	return s.string()
}

func (s *scanner) base64() []byte {
	s.expect(`"`)
	n := bytes.IndexByte(s.b, '"')
	if s.bad || n < 0 {
		s.fail()
		return nil
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(n))
	n, err := base64.StdEncoding.Strict().Decode(out, s.take(n))
	s.bad = s.bad || err != nil
	s.expect(`"`)
	return out[:n]
}

// string reads a string as a copy, never nil.
func (s *scanner) string() []byte {
	s.expect(`"`)
	out := []byte{}
	for !s.bad {
		n := bytes.IndexAny(s.b, `"\`)
		if n < 0 {
			break
		}
		out = append(out, s.take(n)...)
		if s.skip(`"`) {
			return out
		}
		s.expect(`\`)
		if s.skip(`u00`) {
			var c [1]byte
			if _, err := hex.Decode(c[:], s.take(2)); err != nil {
				s.fail()
			}
			out = append(out, c[0])
		} else {
			out = append(out, s.take(1)...)
		}
	}
	s.fail()
	return nil
}
