// Package channel is the way back: one bounded Redis stream for each edge
// node, to which workers add the results of a batch in one entry and from
// which the edge reads on from its last entry.
//
// Stream ids are 0-1, 0-2, 0-3 …, given by Redis: an edge that reads an id
// which does not follow the last one knows that entries were lost. An edge
// makes its stream when it starts and keeps it alive with its lease; workers
// never make one (NOMKSTREAM), so results for a dead node vanish.
//
// It must not know rows, sockets or what a payload says.
package channel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
)

// Limits of a channel.
const (
	MaxEntries = 4096    // entries that a stream keeps about; older ones are lost, and the edge notices
	MaxEntry   = 1 << 20 // bytes after which a batch's results go on in another entry
)

// maxLife bounds what is believed of a proof's life, in milliseconds.
const maxLife = 366 * 24 * 3600 * 1000

// ErrEntry means an entry that does not decode.
var ErrEntry = errors.New("channel: malformed entry")

// Key is the stream of a node (name:nonce).
func Key(namespace, node string) string { return namespace + "sponge:edge:" + node }

// Field is the stream entry's only field.
const Field = "d"

// SessionChange says what a reply did to the connection's session.
type SessionChange uint8

// The session changes.
const (
	SessionKept    SessionChange = 0
	SessionBound   SessionChange = 1 // to Result.Proof; Confirm as the client asked
	SessionEnded   SessionChange = 2 // by a logout: the connection stays
	SessionRevoked SessionChange = 3 // a renewal was refused: the connection is closed
)

// Result is one thing that a batch tells a node: a reply to one request
// (Request > 0), the answer to a frame that the edge made (Request 0), or a
// push to many connections.
type Result struct {
	Conns   []uint64 // one for a reply, any number for a push
	Push    bool
	Sender  int64  // of a push: whose message it is; 0 where nobody said
	Request uint32 // of the reply; 0 for the answer to a Report, Sync or Renew
	Payload []byte // what to write, with its newlines; empty: nothing

	// Shown are the seqs that the connection has seen once Payload is written:
	// the pushed seq, the sender's own, a synchronisation's in the order of its
	// lines, or a page's. A page leaves the user's own messages out, but its
	// ranges run over them.
	Shown []envelope.Range

	// CaughtUp says that once Payload is written, nothing that others had sent
	// so far waits for a 14 of this connection.
	CaughtUp bool

	// More says of the answer to a Sync that it was cut: another one, with the
	// same Since (Unix milliseconds, 0 or more) and Payload's messages among its
	// ranges, goes on.
	More  bool
	Since int64

	// Unsettled says of a request that it was handled, and that nobody knows its
	// outcome any more: the edge publishes it again. Everything else is empty.
	Unsettled bool

	// Cursors tell where the user's delivered cursors stand (To) after a
	// Report, a Sync or a 14: ranges up to there need no more reports.
	Cursors []envelope.Range

	Session SessionChange
	Proof   *keys.Proof // with SessionBound
	Confirm bool        // with SessionBound: the client confirms with 5

	// Life is for how long Proof holds from now on, with SessionBound, in whole
	// milliseconds. Its expiry is by the workers' clock, which the edge's may not
	// agree with.
	Life time.Duration
}

const (
	flagPush = 1 << iota
	flagShown
	flagCursors
	flagSession
	flagSender
	flagCaughtUp
	flagMore
	flagUnsettled
)

// Append encodes r behind an entry.
func (r *Result) Append(dst []byte) []byte {
	flags := byte(0)
	if r.Push {
		flags |= flagPush
	}
	if len(r.Shown) > 0 {
		flags |= flagShown
	}
	if len(r.Cursors) > 0 {
		flags |= flagCursors
	}
	if r.Session != SessionKept {
		flags |= flagSession
	}
	if r.Push && r.Sender > 0 {
		flags |= flagSender
	}
	if r.CaughtUp {
		flags |= flagCaughtUp
	}
	if r.More {
		flags |= flagMore
	}
	if r.Unsettled {
		flags |= flagUnsettled
	}
	dst = append(dst, flags)
	if r.Push {
		dst = binary.AppendUvarint(dst, uint64(len(r.Conns)))
	}
	for _, c := range r.Conns {
		dst = binary.AppendUvarint(dst, c)
	}
	if !r.Push {
		dst = binary.AppendUvarint(dst, uint64(r.Request))
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Payload)))
	dst = append(dst, r.Payload...)
	if flags&flagShown != 0 {
		dst = envelope.AppendRanges(dst, r.Shown)
	}
	if flags&flagCursors != 0 {
		dst = envelope.AppendRanges(dst, r.Cursors)
	}
	if flags&flagSession != 0 {
		dst = append(dst, byte(r.Session))
		if r.Session == SessionBound {
			confirm := byte(0)
			if r.Confirm {
				confirm = 1
			}
			dst = append(append(dst, confirm), r.Proof[:]...)
			dst = binary.AppendUvarint(dst, uint64(max(r.Life, 0).Milliseconds()))
		}
	}
	if flags&flagSender != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.Sender))
	}
	if flags&flagMore != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.Since))
	}
	return dst
}

// Decode calls yield for each result of an entry, in order. The Result and its
// slices are reused and Payload aliases entry: yield copies what it keeps.
func Decode(entry []byte, yield func(*Result)) error {
	rd := envelope.NewReader(entry)
	var r Result
	conns := make([]uint64, 0, 16)
	for rd.Len() > 0 {
		flags := rd.Bytes(1)[0]
		n := uint64(1)
		if flags&flagPush != 0 {
			if n = rd.Uint(); n > uint64(rd.Len()) {
				return ErrEntry
			}
		}
		conns = conns[:0]
		for range n {
			conns = append(conns, rd.Uint())
		}
		r = Result{Conns: conns, Push: flags&flagPush != 0, CaughtUp: flags&flagCaughtUp != 0, More: flags&flagMore != 0,
			Unsettled: flags&flagUnsettled != 0}
		if !r.Push {
			r.Request = uint32(rd.Uint())
		}
		r.Payload = rd.Bytes(int(min(rd.Uint(), 1<<30)))
		if flags&flagShown != 0 {
			r.Shown = rd.Ranges()
		}
		if flags&flagCursors != 0 {
			r.Cursors = rd.Ranges()
		}
		if flags&flagSession != 0 {
			if b := rd.Bytes(1); b != nil {
				r.Session = SessionChange(b[0])
			}
			if r.Session == SessionBound {
				if b := rd.Bytes(1 + keys.ProofSize); b != nil {
					proof := keys.Proof(b[1:])
					r.Confirm, r.Proof = b[0] == 1, &proof
				}
				r.Life = time.Duration(min(rd.Uint(), maxLife)) * time.Millisecond
			}
		}
		if flags&flagSender != 0 {
			r.Sender = int64(rd.Uint())
		}
		if flags&flagMore != 0 {
			r.Since = int64(rd.Uint())
		}
		if err := rd.Err(); err != nil {
			return fmt.Errorf("%w: %w", ErrEntry, err)
		}
		yield(&r)
	}
	return nil
}
