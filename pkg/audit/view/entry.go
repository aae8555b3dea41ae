// Package view is what an auditor sees of the log: which records of which
// stretch of time, chosen by what they hold, written one a line, with what became
// of each frame beside it.
//
// It reads through audit.Log and audit.Stream only. It must not know rows: where
// messages are looked up is given in.
package view

import (
	"bytes"
	"encoding/json"

	"sponge/pkg/audit"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

// class is what the records of a topic are.
type class uint8

const (
	frames class = iota // as edges publish them
	rows                // of the journal
	dead                // frames that no handler could take
)

func classOf(topic string) class {
	switch topic {
	case protocol.TopicJournal:
		return rows
	case protocol.TopicDead:
		return dead
	}
	return frames
}

// Entry is a record and what can be told of it. An Entry is filled again and
// again; it is for one goroutine.
type Entry struct {
	audit.Record
	Outcome Outcome // where outcomes were asked for

	class     class
	enveloped bool // the envelope could be read
	envelope  envelope.Envelope
	parsed    bool // isJSON and frame say what they should
	isJSON    bool
	frame     protocol.Frame // of a frame that isJSON
}

// load makes e the entry of a record, whose bytes it keeps.
func (e *Entry) load(r *audit.Record, in envelope.Interner) {
	e.Record, e.Outcome, e.parsed = *r, Outcome{}, false
	e.class = classOf(r.Topic)
	e.enveloped = e.class != rows && e.envelope.ParseInterned(r.Header, in) == nil
	if !e.enveloped {
		e.envelope = envelope.Envelope{}
	}
}

// at is the time that an entry is shown and chosen by: a frame's arrival at its
// edge; of other records, and of one whose envelope cannot be read, when it was
// published.
func (e *Entry) at() int64 {
	if e.class == frames && e.enveloped {
		return e.envelope.Arrival
	}
	return e.Time.UnixMilli()
}

// json reports whether the record's value is JSON on one line; a frame's is an
// object.
func (e *Entry) json() bool {
	if e.parsed {
		return e.isJSON
	}
	e.parsed = true
	if e.class == rows {
		e.isJSON = json.Valid(e.Value) && bytes.IndexByte(e.Value, '\n') < 0
		return e.isJSON
	}
	n, err := e.frame.Parse(e.Value)
	e.isJSON = err == nil && n == len(e.Value)
	return e.isJSON
}

// frameType is protocol.NoType where the record is no frame.
func (e *Entry) frameType() protocol.Type {
	if e.class == rows || !e.json() {
		return protocol.NoType
	}
	return e.frame.Type
}

// proven is the user that the session proof names, 0 without one.
func (e *Entry) proven() int64 {
	if e.envelope.Proof == nil {
		return 0
	}
	return e.envelope.Proof.User()
}

// user is whose frame it is: whom the proof names, else whom a login is for.
func (e *Entry) user() int64 {
	if u := e.proven(); u != 0 {
		return u
	}
	return e.claimed()
}

// claimed is whom a login is for, 0 for other frames.
func (e *Entry) claimed() int64 {
	if e.frameType() != protocol.Login {
		return 0
	}
	return e.frame.UserID(protocol.FieldUser)
}

// conversation is what a frame of the types that name one belongs to.
func (e *Entry) conversation() protocol.Conversation {
	switch e.frameType() {
	case protocol.Chat, protocol.GroupChat, protocol.JoinGroup, protocol.Received, protocol.History:
		return e.frame.Conversation(e.proven())
	}
	return protocol.Conversation{}
}

// rest is the value of one of the record's further headers.
func (e *Entry) rest(key string) []byte {
	for _, h := range e.Rest {
		if h.Key == key {
			return h.Value
		}
	}
	return nil
}
