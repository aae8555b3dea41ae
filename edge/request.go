package edge

import (
	"errors"
	"slices"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// request is a client's frame that was published and has not been answered,
// or whose reply is held back. Guarded by its connection's mutex.
type request struct {
	conn     *conn
	number   uint32
	typ      protocol.Type
	answered bool // the reply is held back
	sent     bool // Kafka has the record
	again    bool // it was published a second time
	binding  bool // the presence queue owns the answer
	conv     protocol.Conversation
	deadline int64 // by Edge.now
	againAt  int64
	entered  int64 // the gate
	inside   bool  // has not left it
	asked    uint8 // how often workers have said that it is unsettled

	topic     protocol.Topic
	partition int
	record    *queue.Record // the last one published
	echo      []byte        // the client's id, for the edge's own answers

	reply []byte // held back
	shown []envelope.Range
	hold  *hold // what came meanwhile and must wait; nil when nothing did

	first   queue.Record
	headers [1]queue.Header
}

// maxSecrets bounds how many values of one frame are sealed: a seal costs some
// microseconds and 110 bytes.
const maxSecrets = 16

// request deals with a frame of a known type. Called with mu held.
func (c *conn) request(f *protocol.Frame) {
	e := c.edge
	e.metrics.frames[f.Type].Inc()
	switch {
	case f.Type == protocol.Ping:
		c.ping(f)
		return
	case len(f.Secrets) > maxSecrets && c.proof == nil && f.Type.NeedsSession():
		c.fail(f.Type, protocol.Errorf(protocol.Unauthorized, "log in first"), f.Echo())
		return
	case len(f.Secrets) > maxSecrets:
		c.fail(f.Type, &protocol.Error{Code: protocol.Malformed, Field: protocol.FieldPassword.String(), Message: "too many passwords and tokens"}, f.Echo())
		return
	case f.Type == protocol.Logout:
		c.report(true)
	}
	user := c.user()
	arrival := time.Now()
	env := envelope.Envelope{FrameID: f.NewFrameID(user), Arrival: arrival.UnixMilli()}
	if f.Type == protocol.Offline {
		env.Ranges = c.marks.take()
	}
	c.numbers++
	env.Request = c.numbers

	r := &request{conn: c, number: c.numbers, typ: f.Type, topic: f.Type.Topic()}
	if f.Type.Windowed() {
		r.conv = f.Conversation(user)
	}
	now := e.now()
	r.deadline = now + (e.cfg.AnswerTimeout - e.cfg.AnswerTimeout/20).Milliseconds()
	r.againAt = now + e.cfg.RepublishAfter.Milliseconds()
	if r.topic == protocol.TopicLogin {
		// Passwords take their time, and a copy takes it again: late, so that
		// a storm of logins does not feed itself.
		r.againAt = r.deadline - (e.cfg.AnswerTimeout / 5).Milliseconds()
	}
	if err := c.fill(r, f, user, &env); err != nil {
		e.log.Error("a frame cannot be sealed", "conn", c.id, "error", err)
		c.fail(f.Type, protocol.Errorf(protocol.Internal, "internal error"), f.Echo())
		return
	}
	r.first.Time = arrival
	c.window = append(c.window, r)
	e.metrics.outstanding.Add(1)
	if e.cfg.ShedAfter > 0 {
		if !e.gate(r).enter(now, e.cfg.ShedAfter.Milliseconds()) {
			e.metrics.shed.Inc()
			c.giveUp(len(c.window)-1, errBehind) // behind what its conversation waits for
			return
		}
		r.entered, r.inside = now, true
	}
	if err := e.producer.Enqueue(e.routes[r.topic].name, r.partition, &r.first, e.produced); err != nil {
		c.refused(r, err)
	}
}

func (e *Edge) gate(r *request) *gate { return &e.routes[r.topic].gates[r.partition] }

// leaveGate notes that a request waits no longer: workers have answered it, or
// the edge has in their place.
func (r *request) leaveGate(byWorkers bool) {
	if e := r.conn.edge; r.inside {
		e.gate(r).leave(r.entered, e.now(), e.cfg.ShedAfter.Milliseconds(), byWorkers)
		r.inside = false
	}
}

// fill makes the record of a request, with everything in one allocation.
func (c *conn) fill(r *request, f *protocol.Frame, user int64, env *envelope.Envelope) error {
	e := c.edge
	echo := f.Echo()
	buf := make([]byte, 0, len(f.Bytes)+len(echo)+224+176*len(f.Secrets)+len(e.node)+16*len(env.Ranges))
	var err error
	if len(f.Secrets) == 0 {
		buf = append(buf, f.Bytes...)
	} else if buf, err = f.ReplaceSecrets(buf, e.seal.Seal); err != nil {
		return err
	}
	value := len(buf)
	buf = f.AppendKey(buf, user, e.node, c.place())
	key := len(buf)
	buf = c.appendEnvelope(buf, env)
	header := len(buf)
	buf = append(buf, echo...)

	r.headers[0] = queue.Header{Key: envelope.HeaderKey, Value: buf[key:header:header]}
	r.first = queue.Record{Value: buf[:value:value], Key: buf[value:key:key], Headers: r.headers[:], Data: r}
	r.record = &r.first
	r.partition = protocol.Partition(r.first.Key, e.routes[r.topic].partitions)
	r.echo = buf[header:]
	if len(r.echo) == 0 {
		r.echo = nil
	}
	return nil
}

// appendEnvelope encodes an envelope, with what holds for every frame of the
// connection.
func (c *conn) appendEnvelope(dst []byte, env *envelope.Envelope) []byte {
	env.Node, env.Conn, env.Peer, env.Proof = c.edge.node, c.place(), c.peer.String(), c.proof
	return env.Append(dst)
}

// user is the connection's user, 0 without a login.
func (c *conn) user() int64 {
	if c.proof == nil {
		return 0
	}
	return c.proof.User()
}

func (c *conn) ping(f *protocol.Frame) {
	if err := f.Validate().Err(); err != nil {
		c.fail(f.Type, err, f.Echo())
		return
	}
	c.edge.metrics.reply(f.Type, protocol.OK)
	o := c.outbox()
	o.b = protocol.NewReply(o.b, f.Type, protocol.OK, f.Echo()).End()
}

// fail writes the edge's own answer to a frame that was not published.
func (c *conn) fail(t protocol.Type, err *protocol.Error, echo []byte) {
	c.edge.metrics.reply(t, err.Code)
	o := c.outbox()
	o.b = protocol.NewFailure(o.b, t, err, echo)
}

// find is the place of an outstanding request in the window, or -1.
func (c *conn) find(number uint32) int {
	return slices.IndexFunc(c.window, func(r *request) bool { return r.number == number && !r.answered })
}

// older reports whether the request at i must wait for an older one of its
// conversation: their replies keep their order.
func (c *conn) older(i int) bool {
	for _, r := range c.window[:i] {
		if r.conv == c.window[i].conv {
			return true
		}
	}
	return false
}

// complete answers the request at i of the window, or holds the reply back.
// payload is not kept. The caller flushes.
func (c *conn) complete(i int, payload []byte, shown []envelope.Range) {
	r := c.window[i]
	if c.older(i) {
		r.answered = true
		r.reply, r.shown = slices.Clone(payload), shown
		return
	}
	c.send(payload, shown, c.delivers(r.typ))
	if c.state != open {
		return
	}
	c.settle(i)
	c.letGo(r)
	for c.state == open && i < len(c.window) {
		if held := c.window[i]; held.answered && held.conv == r.conv && !c.older(i) {
			if c.send(held.reply, held.shown, c.delivers(held.typ)); c.state == open {
				c.settle(i)
			}
		} else {
			i++
		}
	}
	c.unpark()
	c.leave()
}

// settle removes a request from the window.
func (c *conn) settle(i int) {
	c.edge.metrics.outstanding.Add(-1)
	if c.window = slices.Delete(c.window, i, i+1); len(c.window) == 0 {
		c.window = nil
	}
}

// giveUp answers a request in the workers' place.
func (c *conn) giveUp(i int, err *protocol.Error) {
	r := c.window[i]
	r.leaveGate(false)
	if m := c.marks; r.typ == protocol.Offline && m != nil && len(m.ranges) > 0 && !m.fresh {
		c.reportLater() // the frame was to tell of them
	}
	c.edge.metrics.reply(r.typ, err.Code)
	c.complete(i, protocol.NewFailure(nil, r.typ, err, r.echo), nil)
}

// The edge's own answers to what was to be published.
var (
	errNotAccepted = protocol.Errorf(protocol.NotAccepted, "not accepted, nothing happened: send it again")
	errUnknown     = protocol.Errorf(protocol.Unknown, "no answer in time, it may have happened: send it again with the same id")
)

// refused answers a request that the producer did not take.
func (c *conn) refused(r *request, err error) {
	if !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrClosed) {
		c.edge.log.Error("a frame cannot be published", "topic", r.topic.Name(), "error", err)
	}
	if i := c.find(r.number); i >= 0 {
		c.giveUp(i, errNotAccepted)
	}
}

// produced is what the producer tells of a client's frame.
func (e *Edge) produced(rec *queue.Record, err error) {
	r := rec.Data.(*request)
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		r.sent = true
		return
	}
	i := c.find(r.number)
	if i < 0 || rec != r.record || r.again || r.binding {
		return // answered, or another attempt may still succeed
	}
	if errors.Is(err, queue.ErrNotSent) {
		c.giveUp(i, errNotAccepted)
		c.flush()
	}
}

// publishAgain publishes a request's frame once more, as it was: workers know
// it by its frame id.
func (c *conn) publishAgain(r *request) {
	e := c.edge
	again := &queue.Record{Key: r.record.Key, Value: r.record.Value, Headers: r.record.Headers, Time: r.record.Time, Data: r}
	before, wasAgain := r.record, r.again
	r.record, r.again = again, true
	if err := e.producer.Enqueue(e.routes[r.topic].name, r.partition, again, e.produced); err != nil {
		r.record, r.again = before, wasAgain
		return
	}
	e.metrics.republished.Inc()
}

// overdue answers requests whose time is up, and publishes again what has
// waited for long. all does the latter for every request that Kafka has.
func (c *conn) overdue(now int64, all bool) {
	for i := 0; i < len(c.window); i++ {
		r := c.window[i]
		switch {
		case r.answered || r.binding:
		case now >= r.deadline:
			answer := errUnknown
			if !r.sent && c.edge.producer.Cancel(r.record) {
				answer = errNotAccepted
			}
			c.giveUp(i, answer)
			i = -1 // the window has changed; what is answered is passed over
			if c.state != open {
				return
			}
		case r.sent && (all || !r.again && now >= r.againAt):
			c.publishAgain(r)
		}
	}
}
