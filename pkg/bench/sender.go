package bench

import (
	"bytes"
	"sync"
	"time"

	"sponge/pkg/client"
	"sponge/pkg/protocol"
)

// sender says the messages of one stream.
type sender struct {
	peer   *peer
	typ    protocol.Type
	index  int // of the stream in its conversation
	stream *stream
	window int // unanswered messages that it keeps; 0: it sends when it is told to

	mu          sync.Mutex // guards the following, and stream's writing side
	fields      protocol.Object
	stamp       int // where in fields the message's stamp begins
	outstanding int
	done        func(*client.Reply)
}

func newSender(p *peer, conv protocol.Conversation, to int64, index int, s *stream, window, size int) *sender {
	snd := &sender{peer: p, typ: protocol.Chat, index: index, stream: s, window: window}
	o := protocol.Object(nil)
	if conv.IsGroup() {
		snd.typ = protocol.GroupChat
		o = o.Int("GROUPID", conv.Group())
	} else {
		o = o.Int("TOID", to)
	}
	o = o.Text("msg", string(bytes.Repeat([]byte{'.'}, size)))
	snd.fields, snd.stamp = o, len(o)-1-size
	snd.done = snd.answered
	return snd
}

// fill sends until the window is full.
func (s *sender) fill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.outstanding < s.window && !s.peer.run.stopped.Load() {
		if !s.say(s.peer.run.since(time.Now())) {
			return
		}
	}
}

// send sends a message that was due at a time of the run.
func (s *sender) send(due int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say(due)
}

// say sends one message. Called with mu held. It reports whether the client
// took it.
func (s *sender) say(due int64) bool {
	n := s.stream.add(due)
	putStamp(s.fields[s.stamp:], s.index, n)
	if err := s.peer.c.Post(s.typ, s.fields, n, s.done); err != nil {
		s.peer.run.fault(closed)
		return false
	}
	s.outstanding++
	return true
}

// retryAfter is the pause after a message that failed.
const retryAfter = 10 * time.Millisecond

// answered takes a reply, and sends the next message in its place.
func (s *sender) answered(r *client.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outstanding--
	run := s.peer.run
	switch {
	case r.Ended != nil:
		run.fault(closed)
		return
	case r.Code != protocol.OK:
		run.fault(code(r.Code))
		if s.window > 0 {
			time.AfterFunc(retryAfter, s.fill)
		}
		return
	}
	e := s.stream.at(r.Tag)
	e.acked = true
	if !e.numbered(r.Seq) {
		run.fault(renumbered)
	}
	at := run.since(r.At)
	s.peer.tally.acked.Add(1)
	if run.measured(e.due) {
		run.acks.record(s.peer.index, time.Duration(at-e.due))
	}
	if s.window > 0 && !run.stopped.Load() {
		s.say(at)
	}
}

// idle reports whether every message was answered.
func (s *sender) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outstanding == 0
}
