// Package workers is the runtime that turns topics into rows. For the
// partitions that the consumer group assigns to it, in a loop: take whatever
// has arrived, prepare, open one MySQL transaction, lock the partitions' rows
// in applied, handle, advance them, add the journal row as the last statement,
// commit, announce through the channels.
//
// MySQL is the only authority on what has taken effect, so effects happen once
// whatever dies: a worker that lost its partition without noticing finds the
// row moved on, and a new owner announces again what was applied but perhaps
// not announced.
//
// # Locks
//
// Every transaction takes its row locks in this order, each kind sorted:
// applied, users, conversations, sequences, cursors, sessions. Whoever concludes
// that an id does not exist holds its sequence's row, shared, while concluding;
// rows that have appeared since are locked behind it. Where that makes a circle,
// InnoDB finds it, and the batch that it ends is repeated.
//
// The package knows records, transactions and channels. What frames mean is
// the handlers' (login, friend, group, storage below this folder), which know
// rows and never sockets.
package workers

import (
	"context"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
)

// Rules is the version of the rules by which handlers decide; the journal
// carries it, so that a replay can refuse what it does not know. It grows with
// every change that would decide an old record differently.
const Rules = 1

// Frame is one record as a handler sees it.
type Frame struct {
	protocol.Frame
	Envelope  envelope.Envelope
	Partition int
	Offset    int64

	// User and Session are from a proof that holds; 0: not logged in.
	User    int64
	Session keys.SessionID

	// Input is what Prepare made for Handle.
	Input any

	key    []byte // the record's
	header []byte
	broken error // the record is no frame at all
	size   int
}

// Time is the frame's time: when it arrived at the edge, in Unix milliseconds.
// Handlers know no other clock, so that a replay decides the same.
func (f *Frame) Time() int64 { return f.Envelope.Arrival }

// Conversation is the conversation that the frame belongs to.
func (f *Frame) Conversation() protocol.Conversation { return f.Frame.Conversation(f.User) }

// Outcome is what became of one frame. The zero value answers nothing, which
// ends the request all the same.
type Outcome struct {
	Code  protocol.Code // of the reply, for metrics
	Reply []byte        // the line to write, with its newline

	// Render makes Reply after the commit, told who of Ask is online.
	Render func(online func(user int64) bool) []byte
	Ask    []int64

	Push *Push

	// As in channel.Result.
	Shown   []envelope.Range
	Cursors []envelope.Range

	CaughtUp bool
	More     bool
	Session  channel.SessionChange
	Proof    *keys.Proof
	Confirm  bool

	// JournalInput is what decided rows besides the record, as JSON; nil where
	// the record alone did.
	JournalInput []byte

	// Unsettled means that nobody knows this outcome any more: the edge is told,
	// and asks again.
	Unsettled bool
}

// Push is a stored message on its way to everyone in its conversation, but
// the connection that sent it.
type Push struct {
	Conversation protocol.Conversation
	Seq          int64
	Payload      []byte // with its newline
}

// Handler is the logic of one topic: a function over a batch that keeps
// nothing between calls.
type Handler interface {
	// Prepare does what is slow or random, outside any transaction, and leaves
	// it in the frames' Input. An error means that the whole batch is tried
	// again later.
	Prepare(ctx context.Context, frames []*Frame) error

	// Handle changes rows within tx and returns one outcome a frame, in their
	// order. It may be called again with the same frames after a rollback. An
	// error rolls everything back: see Fault for whose it is.
	Handle(ctx context.Context, tx *Tx, frames []*Frame) ([]Outcome, error)

	// Recall finds the outcomes of frames that were applied before, without
	// changing anything; Unsettled where nothing is remembered.
	Recall(ctx context.Context, tx *Tx, frames []*Frame) ([]Outcome, error)
}

// Opener is a Handler that knows the first read of its Handle before there is a
// transaction: it then goes in the round trip that begins it.
type Opener interface {
	// Open returns the read, or nil where it has none, or one that is worth a
	// round trip of its own. It is asked for each transaction, and where
	// another owner of some partitions comes in at that moment, it was told of
	// frames that Handle is not.
	Open(frames []*Frame) *Opening
}

// Opening is a query at the begin of a transaction. {} in the query becomes N
// item placeholders, as for In.
type Opening struct {
	Query, Item string
	N           int
	Args        []any
	Row         func(scan func(...any) error) error // called for each row

	// Found is what Row has gathered; Handle has it as Tx.Found.
	Found any
}

// Portioner is a Handler whose Prepare is slow for some frames: it bounds how
// many of them are in one batch, so that the first does not wait for the last.
type Portioner interface {
	// Portion parts frames that have arrived together into those that are a
	// batch, at least one, and those that are for later: of each partition the
	// last ones, since none may overtake another. Some may be no frames at all;
	// those have no type.
	Portion(frames []*Frame) (batch, later []*Frame)
}

// Refuse is the outcome of a frame that failed.
func Refuse(f *Frame, e *protocol.Error) Outcome {
	return Outcome{Code: e.Code, Reply: protocol.NewFailure(nil, f.Type, e, f.Echo())}
}

// Check begins the validation of a frame: 401 where it needs a session and has
// none. check reads the fields; own is the id that must be the user's, or 0
// where the frame has none.
func Check(f *Frame, check func(v *protocol.Validator) (own int64)) *protocol.Error {
	if f.User == 0 && f.Type.NeedsSession() {
		return protocol.Errorf(protocol.Unauthorized, "log in first")
	}
	v := f.Validate()
	own := check(v)
	if err := v.Err(); err != nil {
		return err
	}
	if own != 0 && own != f.User {
		return protocol.Errorf(protocol.Forbidden, "you are logged in as %d and cannot speak for %d", f.User, own)
	}
	return nil
}
