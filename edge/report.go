package edge

import (
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// The frames that an edge makes on behalf of a connection.
var (
	reportFrame = []byte(`{"msgType":5}`)
	syncFrame   = []byte(`{"msgType":14}`)
	renewFrame  = []byte(`{"msgType":1}`)
)

// publishOwn publishes a frame of the edge's own for a connection with a
// session. Nothing is outstanding for it: its answer is request 0.
func (c *conn) publishOwn(kind envelope.Kind, frame []byte, topic protocol.Topic, ranges []envelope.Range, since int64) error {
	e := c.edge
	now := time.Now()
	env := envelope.Envelope{Kind: kind, FrameID: new(protocol.Frame).NewFrameID(0), Arrival: now.UnixMilli(), Ranges: ranges, Since: since}
	key := protocol.AppendUserKey(nil, c.user())
	rec := &queue.Record{
		Key:     key,
		Value:   frame,
		Headers: []queue.Header{{Key: envelope.HeaderKey, Value: c.appendEnvelope(nil, &env)}},
		Time:    now,
		Data:    c,
	}
	done := e.ownProduced
	if kind == envelope.Report {
		done = e.reportProduced
	}
	return e.producer.Enqueue(e.routes[topic].name, protocol.Partition(key, e.routes[topic].partitions), rec, done)
}

// report tells the workers what was written to the connection since the last
// report, when that is due, or at once. What was reported and is not settled
// has a hole before it: it goes along, but is no reason for a report.
func (c *conn) report(now bool) {
	m := c.marks
	if m == nil || !m.fresh || c.proof == nil || !now && c.edge.now() < m.reportAt {
		return
	}
	if err := c.publishOwn(envelope.Report, reportFrame, protocol.TopicStorage, m.take(), 0); err != nil {
		c.reportLater()
		return
	}
	c.edge.metrics.reports.Inc()
}

// reportLater has what is marked reported when a report is next due.
func (c *conn) reportLater() {
	c.marks.fresh = true
	c.marks.reportAt = c.edge.now() + c.edge.cfg.ReportEvery.Milliseconds()
}

// reportProduced has a report that Kafka did not get sent again.
func (e *Edge) reportProduced(rec *queue.Record, err error) {
	if err == nil {
		return
	}
	c := rec.Data.(*conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == open && c.marks != nil && len(c.marks.ranges) > 0 {
		c.reportLater()
	}
}

// ownProduced takes note of nothing: what a Sync or a Renew did not reach is
// tried again.
func (e *Edge) ownProduced(*queue.Record, error) {}

// renew asks for a fresh proof when half of the old one's life is over.
func (c *conn) renew(now int64) {
	if c.proof == nil || now < c.renewAt {
		return
	}
	// Until the answer comes: again, some times before the proof ends.
	c.renewAt = now + max(int64(c.life)*1000/16, renewRetry.Milliseconds())
	if err := c.publishOwn(envelope.Renew, renewFrame, protocol.TopicLogin, nil, 0); err == nil {
		c.edge.metrics.renewals.Inc()
	}
}

// renewRetry is the least time between two attempts to renew a proof.
const renewRetry = 500 * time.Millisecond
