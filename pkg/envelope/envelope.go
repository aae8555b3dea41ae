// Package envelope is what an edge writes around a frame: the one header of a
// Kafka record that tells workers, and later auditors, which connection sent
// the frame, when, in whose session, and what the connection was shown so far.
//
// The encoding is versioned and only ever grows: records already written stay
// readable. It must not know what a frame means.
package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"

	"sponge/pkg/keys"
	"sponge/pkg/protocol"
)

// HeaderKey is the key of the record header that holds an Envelope.
const HeaderKey = "sponge"

// version is the first byte of every encoding.
const version = 1

// ErrVersion means an envelope that a newer Sponge wrote, or none at all.
var ErrVersion = errors.New("envelope: unknown version")

// ErrTruncated means an envelope that ends too early.
var ErrTruncated = errors.New("envelope: truncated")

// Kind tells who made the frame.
type Kind uint8

// The kinds of frames. All but FromClient are made by the edge on behalf of a
// connection, carry its proof, and are answered to the edge, not the client.
const (
	FromClient Kind = 0
	Report     Kind = 1 // 5: what was written to the connection, in Ranges
	Sync       Kind = 2 // 14: push what was missed since Since, but Ranges
	Renew      Kind = 3 // 1: a fresh proof for the session
)

// String is the kind as a metric label.
func (k Kind) String() string {
	switch k {
	case FromClient:
		return "client"
	case Report:
		return "report"
	case Sync:
		return "sync"
	case Renew:
		return "renew"
	}
	return "unknown"
}

// Range is a run of seqs of one conversation, From to To inclusive, that were
// written to a connection.
type Range struct {
	Conversation protocol.Conversation
	From, To     int64
}

// Envelope is all that a worker knows of a frame besides its bytes.
type Envelope struct {
	Kind    Kind
	FrameID protocol.FrameID
	Node    string // the edge node and its start nonce, name:nonce
	Conn    uint64 // the connection, unique within Node
	Request uint32 // the frame's number on its connection; replies name it
	Arrival int64  // Unix milliseconds by the edge's clock
	Peer    string // the client's address
	Proof   *keys.Proof
	Ranges  []Range // with 14, Report and Sync
	Since   int64   // with Sync: Unix milliseconds
}

// Append encodes e behind dst.
func (e *Envelope) Append(dst []byte) []byte {
	dst = append(dst, version, byte(e.Kind))
	dst = append(dst, e.FrameID[:]...)
	dst = appendString(dst, e.Node)
	dst = binary.AppendUvarint(dst, e.Conn)
	dst = binary.AppendUvarint(dst, uint64(e.Request))
	dst = binary.AppendUvarint(dst, uint64(e.Arrival))
	dst = appendString(dst, e.Peer)
	if e.Proof != nil {
		dst = append(append(dst, 1), e.Proof[:]...)
	} else {
		dst = append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(e.Since))
	return AppendRanges(dst, e.Ranges)
}

// Parse decodes b into e. Strings and the proof are copied; b may be reused.
// What stands behind the known fields is left to later versions.
func (e *Envelope) Parse(b []byte) error { return e.ParseInterned(b, nil) }

// Interner keeps strings that come again and again, such as nodes and peers.
// A nil one keeps nothing. Not safe for concurrent use.
type Interner map[string]string

// maxInterned bounds an Interner; beyond it begins anew.
const maxInterned = 1 << 14

func (in Interner) string(b []byte) string {
	if s, ok := in[string(b)]; ok { // no allocation
		return s
	}
	s := string(b)
	if in != nil {
		if len(in) >= maxInterned {
			clear(in)
		}
		in[s] = s
	}
	return s
}

// ParseInterned is Parse with the strings from in.
func (e *Envelope) ParseInterned(b []byte, in Interner) error {
	if len(b) < 2 || b[0] != version {
		return ErrVersion
	}
	r := Reader{b: b[2:]}
	*e = Envelope{Kind: Kind(b[1])}
	copy(e.FrameID[:], r.Bytes(16))
	e.Node = in.string(r.block())
	e.Conn = r.Uint()
	e.Request = uint32(r.Uint())
	e.Arrival = int64(r.Uint())
	e.Peer = in.string(r.block())
	if flag := r.Bytes(1); len(flag) == 1 && flag[0] == 1 {
		if p := r.Bytes(keys.ProofSize); p != nil {
			proof := keys.Proof(p)
			e.Proof = &proof
		}
	}
	e.Since = int64(r.Uint())
	e.Ranges = r.Ranges()
	if err := r.Err(); err != nil {
		return fmt.Errorf("envelope of frame %s: %w", e.FrameID, err)
	}
	return nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// AppendRanges encodes ranges behind dst.
func AppendRanges(dst []byte, ranges []Range) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ranges)))
	for _, r := range ranges {
		dst = binary.AppendUvarint(dst, uint64(r.Conversation.A))
		dst = binary.AppendUvarint(dst, uint64(r.Conversation.B))
		dst = binary.AppendUvarint(dst, uint64(r.From))
		dst = binary.AppendUvarint(dst, uint64(r.To-r.From))
	}
	return dst
}

// Reader decodes the primitives that Sponge's binary encodings are made of. It
// keeps the first error; what follows reads as zero.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader reads from b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is ErrTruncated when something was missing.
func (r *Reader) Err() error {
	if r.bad {
		return ErrTruncated
	}
	return nil
}

// Len is how many bytes are left, 0 after an error.
func (r *Reader) Len() int { return len(r.b) }

// Bytes reads n bytes, which alias the input; nil when they are missing.
func (r *Reader) Bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// Uint reads a varint.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// String reads a string.
func (r *Reader) String() string { return string(r.block()) }

// block reads bytes behind their length; they alias the input.
func (r *Reader) block() []byte { return r.Bytes(int(min(r.Uint(), 1<<30))) }

// Ranges reads what AppendRanges wrote.
func (r *Reader) Ranges() []Range {
	n := r.Uint()
	if n == 0 || n > uint64(len(r.b)/4) { // a range takes four bytes at least
		r.bad = r.bad || n != 0
		return nil
	}
	out := make([]Range, 0, n)
	for range n {
		var x Range
		x.Conversation.A = int64(r.Uint())
		x.Conversation.B = int64(r.Uint())
		x.From = int64(r.Uint())
		x.To = x.From + int64(r.Uint())
		out = append(out, x)
	}
	return out
}
