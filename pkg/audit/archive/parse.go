package archive

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// errLine means a line that AppendLine does not write.
var errLine = errors.New("archive: no line of an archive")

// ParseLine reads what AppendLine wrote. The message has no bytes of the line's.
func ParseLine(line []byte) (queue.Message, error) {
	s := scanner{b: line}
	m := s.message()
	if s.bad {
		return queue.Message{}, fmt.Errorf("%w: at byte %d", errLine, len(line)-len(s.b))
	}
	return m, nil
}

// lineOffset is a line's offset, at less cost than ParseLine.
func lineOffset(line []byte) (int64, error) {
	s := scanner{b: line}
	s.expect(`{"offset":`)
	n := s.int()
	if s.bad {
		return 0, errLine
	}
	return n, nil
}

// lineTime is the time of a line's record in Unix milliseconds, at less cost
// than ParseLine.
func lineTime(line []byte) (int64, error) {
	s := scanner{b: line}
	s.expect(`{"offset":`)
	s.int()
	s.expect(`,"time":`)
	ms := s.time()
	if s.bad {
		return 0, errLine
	}
	return ms, nil
}

func (s *scanner) message() (m queue.Message) {
	s.expect(`{"offset":`)
	m.Offset = s.int()
	s.expect(`,"time":`)
	m.Time = time.UnixMilli(s.time())
	switch {
	case s.skip(`,"header":`):
		m.Header = s.base64()
	case s.skip(`,"arrival":`):
		m.Header = s.envelope()
	}
	if s.skip(`,"headers":[`) {
		m.Rest = s.rest()
	}
	if s.skip(`,"key`) {
		m.Key = s.bytes()
	}
	switch {
	case s.skip(`,"frameBase64":`):
		m.Value = s.base64()
		s.expect(`}`)
	case s.skip(`,"frame":`):
		// The frame is the last field, so it needs no look into it.
		if n := len(s.b) - 1; n < 1 || s.b[n] != '}' {
			s.fail()
		} else {
			m.Value, s.b = bytes.Clone(s.b[:n]), nil
		}
	default:
		s.expect(`}`)
	}
	s.bad = s.bad || len(s.b) > 0
	return m
}

// envelope reads an envelope's fields behind the name of the first, and encodes
// them again.
func (s *scanner) envelope() []byte {
	var e envelope.Envelope
	e.Arrival = s.time()
	s.expect(`,"request":`)
	e.Request = uint32(s.uint())
	s.expect(`,"frameId":"`)
	if id := s.take(2 * len(e.FrameID)); id != nil {
		if _, err := hex.Decode(e.FrameID[:], id); err != nil {
			s.fail()
		}
	}
	s.expect(`"`)
	if s.skip(`,"kind":`) {
		e.Kind = s.kind()
	}
	if s.skip(`,"since":`) {
		e.Since = s.int()
	}
	if s.skip(`,"ranges":[`) {
		for again := true; again && !s.bad; again = s.skip(`,`) {
			var n [4]int64
			for i := range n {
				s.expect("[,,,"[i : i+1])
				n[i] = s.int()
			}
			s.expect(`]`)
			e.Ranges = append(e.Ranges, envelope.Range{Conversation: protocol.Conversation{A: n[0], B: n[1]}, From: n[2], To: n[3]})
		}
		s.expect(`]`)
	}
	s.expect(`,"node":`)
	e.Node = string(s.string())
	s.expect(`,"conn":`)
	e.Conn = s.uint()
	s.expect(`,"peer":`)
	e.Peer = string(s.string())
	if s.skip(`,"user":`) {
		user := s.int()
		s.expect(`,"proof":`)
		b := s.base64()
		if len(b) != keys.ProofSize {
			s.fail()
			return nil
		}
		proof := keys.Proof(b)
		if proof.User() != user {
			s.fail()
		}
		e.Proof = &proof
	}
	if s.bad {
		return nil
	}
	return e.Append(make([]byte, 0, 128))
}

func (s *scanner) kind() envelope.Kind {
	for _, k := range []envelope.Kind{envelope.Report, envelope.Sync, envelope.Renew} {
		if s.skip(`"` + k.String() + `"`) {
			return k
		}
	}
	return envelope.Kind(s.uint())
}

func (s *scanner) rest() (out []queue.Header) {
	for again := true; again && !s.bad; again = s.skip(`,`) {
		var h queue.Header
		s.expect(`{"key`)
		h.Key = string(s.bytes())
		if s.skip(`,"value`) {
			h.Value = s.bytes()
		}
		s.expect(`}`)
		out = append(out, h)
	}
	s.expect(`]`)
	return out
}
