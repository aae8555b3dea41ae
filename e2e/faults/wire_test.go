//go:build faults

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"

	"sponge/pkg/protocol"
)

// wireFrame is what the history needs of any frame, of either side.
type wireFrame struct {
	Type     protocol.Type `json:"msgType"`
	ID       string        `json:"id"`
	Code     protocol.Code `json:"code"`
	From     int64         `json:"FROMID"`
	To       int64         `json:"TOID"`
	Group    int64         `json:"GROUPID"`
	Seq      int64         `json:"seq"`
	Text     string        `json:"msg"`
	Messages []wireFrame   `json:"messages"`
}

func (f *wireFrame) conversation() protocol.Conversation {
	if f.Type == protocol.GroupChat {
		return protocol.GroupOf(f.Group)
	}
	return protocol.Pair(f.From, f.To)
}

// spot is a message's place.
type spot struct {
	conv protocol.Conversation
	seq  int64
}

// wire is one connection of a device, with everything that goes over it told
// to the history.
type wire struct {
	net.Conn
	device *device
	edge   int
	h      *history

	in, out []byte // incomplete lines; each for one goroutine of the client

	// Guarded by the history's mutex.
	closed   bool
	late     bool             // its edge could not answer in time for a while
	answered time.Time        // when the last reply came
	heard    bool             // something came
	pending  map[string]asked // unanswered, by id
	shown    map[spot]string  // how a message came last: by a push or a 114
}

type asked struct {
	typ protocol.Type
	at  time.Time
}

func newWire(nc net.Conn, d *device, edge int, h *history) *wire {
	w := &wire{Conn: nc, device: d, edge: edge, h: h, pending: map[string]asked{}, shown: map[spot]string{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	d.wire = w
	w.late = h.excused[edge]
	h.wires[w] = true
	return w
}

// Write tells the history first: no answer can come before.
func (w *wire) Write(b []byte) (int, error) {
	now := time.Now()
	w.out = eachLine(append(w.out, b...), func(f *wireFrame) { w.h.sent(w, f, now) })
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	now := time.Now()
	w.in = eachLine(append(w.in, b[:n]...), func(f *wireFrame) { w.h.received(w, f, now) })
	if err != nil {
		w.h.ended(w)
	}
	return n, err
}

func (w *wire) Close() error {
	w.h.ended(w)
	return w.Conn.Close()
}

// eachLine parses complete lines and returns what is left.
func eachLine(b []byte, do func(*wireFrame)) []byte {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return bytes.Clone(b)
		}
		var f wireFrame
		if err := json.Unmarshal(b[:i], &f); err == nil {
			do(&f)
		}
		b = b[i+1:]
	}
}

// message is a chat frame that a client was told to send.
type message struct {
	text   string
	from   *device
	stream *stream
	posted time.Time
	again  bool // the client repeats what was not accepted

	id      string
	order   int       // among those of its stream, in the order of the wire
	sends   int       // how often it went over a wire
	sent    time.Time // the first time
	settled bool      // by an answer that the client does not repeat it after
	seq     int64
	code    protocol.Code // of the last answer
	acked   time.Time     // when it was first acknowledged
	refused bool          // some answer was 503 or 504
}

// stream is what one device says in one conversation.
type stream struct {
	device *device
	conv   protocol.Conversation
	name   string
	orders int
	steady bool // its device does not leave by itself
}

// history is all that happened on the clients' sockets since it was begun.
type history struct {
	mu sync.Mutex // guards everything, and what wires say it does

	limit    time.Duration  // in which every request must be answered
	excused  map[int]bool   // edges whose answers may be late: they are frozen, or cannot be heard
	wires    map[*wire]bool // those that are open
	texts    map[string]*message
	ids      map[string]*message
	unheard  int                                                  // messages without a settling answer
	sent_    int                                                  // messages that went over a wire
	at       map[spot]string                                      // whatever was told of a place
	got      map[*device]map[spot]int                             // deliveries by push and 114, and pages of 116
	doubles  int                                                  // the same message twice on one connection
	doubled  []string                                             // some of them
	repeats  int                                                  // the same message again on a later connection of the device
	slowest  time.Duration                                        // answer
	wrong    []string                                             // what must never be
	codes    map[protocol.Code]int                                // of answers but success
	waiting  *resume                                              // who waits for streams to go on
	arrivals map[protocol.Conversation]map[*device]map[int64]bool // all that reached a device
}

func newHistory() *history {
	h := &history{limit: answerLimit, excused: map[int]bool{}, wires: map[*wire]bool{}}
	h.begin()
	return h
}

// answerLimit is the 10 s of the protocol, and what the way takes.
const answerLimit = 10*time.Second + 750*time.Millisecond

// begin forgets everything: a new chapter.
func (h *history) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts, h.ids, h.at = map[string]*message{}, map[string]*message{}, map[spot]string{}
	h.got, h.codes = map[*device]map[spot]int{}, map[protocol.Code]int{}
	h.arrivals = map[protocol.Conversation]map[*device]map[int64]bool{}
	h.unheard, h.sent_, h.doubles, h.repeats, h.slowest, h.wrong, h.doubled = 0, 0, 0, 0, 0, nil, nil
}

func (h *history) fault(format string, args ...any) {
	if len(h.wrong) < 50 {
		h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
	}
}

// post notes what a client is about to be told to send.
func (h *history) post(m *message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts[m.text] = m
	h.unheard++
}

func (h *history) sent(w *wire, f *wireFrame, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.ID != "" {
		w.pending[f.ID] = asked{f.Type, now}
	}
	if f.Type != protocol.Chat && f.Type != protocol.GroupChat {
		return
	}
	m := h.texts[f.Text]
	if m == nil {
		return // of an earlier chapter
	}
	if m.sends++; m.sends == 1 {
		m.id, m.order, m.sent = f.ID, m.stream.orders, now
		m.stream.orders++
		h.ids[f.ID] = m
		h.sent_++
	} else if m.id != f.ID {
		h.fault("the client sent %q with two ids", f.Text)
	}
}

func (h *history) received(w *wire, f *wireFrame, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.heard, w.device.skip = true, 0
	switch {
	case f.Type == protocol.Chat || f.Type == protocol.GroupChat:
		h.arrived(w, f, "a push")
		return
	case f.Type == protocol.Offline.Reply():
		for i := range f.Messages {
			h.arrived(w, &f.Messages[i], "a 114")
		}
	case f.Type == protocol.History.Reply():
		for i := range f.Messages {
			h.arrived(w, &f.Messages[i], "")
		}
	}
	if f.Type < protocol.Unreadable {
		return
	}
	if f.ID == "" { // a confirmation's, for one
		w.answered = now
		return
	}
	q, asked := w.pending[f.ID]
	delete(w.pending, f.ID)
	if !asked {
		h.fault("%s got a reply %d with code %d to what it had not asked, or twice: %s", w.device.name, f.Type, f.Code, f.ID)
	} else if took := now.Sub(w.turn(q)); !w.late {
		h.slowest = max(h.slowest, took)
		if took > h.limit {
			h.fault("%s: a reply %d came after %s", w.device.name, f.Type, took)
		}
	}
	w.answered = now
	if f.Code != protocol.OK {
		h.codes[f.Code]++
	}
	if m := h.ids[f.ID]; m != nil {
		h.answered(m, f, now)
	}
}

func (h *history) answered(m *message, f *wireFrame, now time.Time) {
	m.code = f.Code
	switch {
	case f.Code == protocol.OK:
		if m.seq != 0 && m.seq != f.Seq {
			h.fault("RENUMBERED: %q was told seq %d, then %d", m.text, m.seq, f.Seq)
		}
		if m.seq = f.Seq; m.acked.IsZero() {
			m.acked = now
		}
		h.place(spot{m.stream.conv, f.Seq}, m.text)
		if h.waiting != nil {
			h.waiting.acked(m, now)
		}
	case f.Code == protocol.NotAccepted || f.Code == protocol.Unknown:
		m.refused = true
		if m.again {
			return
		}
	default:
		h.fault("%q was answered with %d", m.text, f.Code)
	}
	if !m.settled {
		m.settled = true
		h.unheard--
	}
}

// place checks that a place has one message only, whoever tells of it.
func (h *history) place(at spot, text string) {
	if before, ok := h.at[at]; ok && before != text {
		h.fault("TWO MESSAGES at %s %d: %q and %q", at.conv, at.seq, before, text)
	}
	h.at[at] = text
}

// arrived notes a message that came by a push or a 114; or, where how is
// empty, because the client asked for it with 16.
func (h *history) arrived(w *wire, f *wireFrame, how string) {
	if h.texts[f.Text] == nil {
		return // of an earlier chapter
	}
	at := spot{f.conversation(), f.Seq}
	h.place(at, f.Text)
	byDevice := h.arrivals[at.conv]
	if byDevice == nil {
		byDevice = map[*device]map[int64]bool{}
		h.arrivals[at.conv] = byDevice
	}
	if byDevice[w.device] == nil {
		byDevice[w.device] = map[int64]bool{}
	}
	byDevice[w.device][at.seq] = byDevice[w.device][at.seq] || how != ""
	if how == "" {
		return
	}
	before := w.shown[at]
	w.shown[at] = how
	switch {
	case before != "" && w.device.confirm && how == "a 114":
		return // not confirmed yet: a 114 brings it again
	case before != "":
		h.doubles++
		if len(h.doubled) < 5 {
			h.doubled = append(h.doubled, fmt.Sprintf("%s %d to %s by %s, then %s", at.conv, at.seq, w.device.name, before, how))
		}
		return
	}
	if h.got[w.device] == nil {
		h.got[w.device] = map[spot]int{}
	}
	if h.got[w.device][at]++; h.got[w.device][at] > 1 && !w.device.confirm {
		h.repeats++
	}
}

// ended notes the end of a connection. What was asked for too long ago should
// have been answered before.
func (h *history) ended(w *wire) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	delete(h.wires, w)
	if !w.heard {
		w.device.skip++
	}
	h.overdue(w)
}

// turn is when a frame was sent, or when the last answer before its own came:
// it may have had to wait for that.
func (w *wire) turn(q asked) time.Time {
	if w.answered.After(q.at) {
		return w.answered
	}
	return q.at
}

func (h *history) overdue(w *wire) {
	if w.late {
		return
	}
	for id, q := range w.pending {
		if age := time.Since(w.turn(q)); age > h.limit {
			h.fault("%s: frame %s of type %d had no answer for %s on a connection that lived", w.device.name, id, q.typ, age.Round(time.Millisecond))
		}
	}
}

// resume waits until every steady stream has had something acknowledged that
// was posted since.
type resume struct {
	since time.Time
	left  map[*stream]bool
	last  time.Duration
	who   string
	done  chan struct{}
}

func (r *resume) acked(m *message, now time.Time) {
	if !r.left[m.stream] || m.posted.Before(r.since) {
		return
	}
	delete(r.left, m.stream)
	r.gone(m.stream.name, now)
}

func (r *resume) gone(name string, now time.Time) {
	r.last, r.who = now.Sub(r.since), name
	if len(r.left) == 0 {
		close(r.done)
	}
}
