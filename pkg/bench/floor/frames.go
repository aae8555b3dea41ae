package floor

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
)

// What is under way: as in `sponge bench chat --pairs 50 --window 16`.
const (
	pairs  = 50
	window = 16
	flying = pairs * window
)

// firstUser is where the ids of the stages' users begin: half of those that
// the wire allows, which no sequence reaches.
const firstUser = int64(1) << 52

// stampSize is how long the number at the begin of each message is: hex.
const stampSize = 16

// frames makes the frames of the pairs' senders, item n for pair n modulo
// pairs, each with its number in it. Safe for concurrent use.
type frames struct {
	seed  [16]byte
	frame [pairs][]byte // with the number left open
	stamp [pairs]int    // where it begins
	key   [pairs][]byte
	place map[string]int // of keys
}

// newFrames makes frames whose messages have size bytes. seed makes their ids
// different from another run's.
func newFrames(size int, seed [16]byte) (*frames, error) {
	if size < stampSize || size > protocol.MaxFrame-1024 {
		return nil, fmt.Errorf("a message has from %d to %d bytes", stampSize, protocol.MaxFrame-1024)
	}
	f := &frames{seed: seed, place: map[string]int{}}
	for i := range f.frame {
		o := protocol.Object(`{"msgType":4`).Text("id", fmt.Sprintf("%X.%d", seed[:6], 1000+i)).
			Int("TOID", conversation(i).B).Text("msg", string(bytes.Repeat([]byte{'.'}, size)))
		f.frame[i], f.stamp[i] = append(o, '}'), len(o)-1-size
		f.key[i] = []byte(conversation(i).String())
		f.place[string(f.key[i])] = i
	}
	return f, nil
}

// conversation is a pair's.
func conversation(pair int) protocol.Conversation {
	return protocol.Pair(firstUser+int64(2*pair), firstUser+int64(2*pair+1))
}

func pairOf(n int64) int { return int(n % pairs) }

// append appends item n's frame, without a newline.
func (f *frames) append(dst []byte, n int64) []byte {
	begin := len(dst)
	dst = append(dst, f.frame[pairOf(n)]...)
	var b [stampSize / 2]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	hex.Encode(dst[begin+f.stamp[pairOf(n)]:], b[:])
	return dst
}

var msgKey = []byte(`"msg":"`)

// numberIn finds the number of the frame in text.
func numberIn(text []byte) (n int64, ok bool) {
	var b [stampSize / 2]byte
	at := bytes.Index(text, msgKey)
	if at < 0 || len(text) < at+len(msgKey)+stampSize {
		return 0, false
	}
	if _, err := hex.Decode(b[:], text[at+len(msgKey):][:stampSize]); err != nil {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b[:])), true
}

// id is item n's frame id: as random as a hash of a client's id is.
func (f *frames) id(n int64) protocol.FrameID {
	var b [24]byte
	copy(b[:], f.seed[:])
	binary.BigEndian.PutUint64(b[16:], uint64(n))
	sum := sha256.Sum256(b[:])
	return protocol.FrameID(sum[:16])
}

// appendHeader appends the header of item n's record.
func (f *frames) appendHeader(dst []byte, n int64, now time.Time) []byte {
	e := envelope.Envelope{FrameID: f.id(n), Node: "edge:0123456789abcdef", Conn: uint64(1000 + pairOf(n)), Request: uint32(n),
		Arrival: now.UnixMilli(), Peer: "127.0.0.1:54321", Proof: &keys.Proof{}}
	return e.Append(dst)
}
