package view

import (
	"context"

	"sponge/pkg/journal"
	"sponge/pkg/protocol"
)

// State is what became of a frame.
type State uint8

// The states. NoState is that of records that are no frames, and of all where
// nobody asked.
const (
	NoState State = iota
	// Waiting frames have no journal row in the log yet: no worker has taken them,
	// or it has not said so.
	Waiting
	// Applied frames were handled. A chat frame was stored; of another type, the
	// handler may have refused it (no such group, a wrong password): the log does
	// not tell.
	Applied
	// Refused frames were handled and changed nothing: a chat frame that was not
	// stored, or one whose session proof did not hold where a login is needed.
	Refused
	// Dead frames are those that no handler could take.
	Dead
)

// String is the state as it is printed; empty for NoState.
func (s State) String() string {
	return [...]string{"", "waiting", "applied", "refused", "dead"}[s]
}

// Outcome is what became of a frame.
type Outcome struct {
	State   State
	Journal int64 // the number of the journal row that took it; 0: none did
	Seq     int64 // of an applied chat frame, within its conversation; else 0
}

// MessageKey names a chat frame within its conversation.
type MessageKey struct {
	Conversation protocol.Conversation
	Frame        protocol.FrameID
}

// Message is what a chat frame was stored as.
type Message struct {
	Seq    int64
	SentAt int64    // arrival at the edge, Unix milliseconds
	Hash   [32]byte // protocol.Frame.ContentHash
}

// Messages is where stored messages are looked up.
type Messages interface {
	// Find returns those of the keys that are stored. It is asked for some
	// hundreds at once, from one goroutine.
	Find(ctx context.Context, keys []MessageKey) (map[MessageKey]Message, error)
}

// outcomes tells what became of frames, a batch at a time.
type outcomes struct {
	journal  *journalReader
	messages Messages
	keys     []MessageKey
}

// judge fills in the outcomes of entries, which come in the order of Merge.
func (o *outcomes) judge(ctx context.Context, batch []*Entry) error {
	o.keys = o.keys[:0]
	for _, e := range batch {
		if err := o.handled(ctx, e); err != nil {
			return err
		}
		if key, ok := chatKey(e); ok && e.Outcome.State == Applied {
			o.keys = append(o.keys, key)
		}
	}
	if len(o.keys) == 0 {
		return nil
	}
	found, err := o.messages.Find(ctx, o.keys)
	if err != nil {
		return err
	}
	for _, e := range batch {
		if key, ok := chatKey(e); ok && e.Outcome.State == Applied {
			m, ok := found[key]
			settle(e, m, ok)
		}
	}
	return nil
}

// handled fills in what the journal tells.
func (o *outcomes) handled(ctx context.Context, e *Entry) error {
	switch e.class {
	case rows:
		return nil
	case dead:
		e.Outcome.State = Dead
		return nil
	}
	h, err := o.journal.find(ctx, e.Topic, journal.Place{Partition: e.Partition, Offset: e.Offset}, e.Time)
	if err != nil {
		return err
	}
	e.Outcome.Journal = h.number
	switch {
	case h.number == 0:
		e.Outcome.State = Waiting
	case h.dead:
		e.Outcome.State = Dead
	case h.refused && e.frameType().NeedsSession():
		e.Outcome.State = Refused
	default:
		e.Outcome.State = Applied
	}
	return nil
}

// settle tells a chat frame that was stored from one that was not. A message of
// other content took the id before; one that arrived later was stored when this
// one had been refused.
func settle(e *Entry, m Message, stored bool) {
	if stored && m.SentAt <= e.envelope.Arrival && m.Hash == e.frame.ContentHash() {
		e.Outcome.Seq = m.Seq
		return
	}
	e.Outcome.State = Refused
}

// chatKey names the message that a chat frame may have become. One that belongs
// to no conversation has a key that none has.
func chatKey(e *Entry) (MessageKey, bool) {
	if t := e.frameType(); e.class != frames || t != protocol.Chat && t != protocol.GroupChat {
		return MessageKey{}, false
	}
	return MessageKey{e.conversation(), e.envelope.FrameID}, true
}
