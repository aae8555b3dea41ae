package queue

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	produceAPI "github.com/segmentio/kafka-go/protocol/produce"
)

// Waits between attempts of a partition.
const (
	retryFirst = 20 * time.Millisecond
	retryMost  = time.Second
	// leaderEvery is how often lost leaders are looked for.
	leaderEvery = 250 * time.Millisecond
)

// share is one partition's batch in a request.
type share struct {
	queue   *partitionQueue
	records []*Record
}

// answer is what became of a request.
type answer struct {
	leader int
	shares []share
	res    *produceAPI.Response // nil: err
	err    error
	took   time.Duration
}

// run builds requests, and settles their records, until ctx ends. It is the
// only goroutine that removes records and calls done.
func (p *Producer) run(ctx context.Context) {
	var requests sync.WaitGroup
	busy := map[int]bool{} // leaders that have a request under way
	refresh := time.NewTicker(leaderEvery)
	defer refresh.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()

	for ctx.Err() == nil {
		wait := p.dispatch(ctx, busy, &requests)
		retry.Reset(wait)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-retry.C:
		case a := <-p.answers:
			delete(busy, a.leader)
			p.settle(a)
		case <-refresh.C:
			p.findLeaders(ctx)
		}
	}
	go func() {
		requests.Wait()
		close(p.answers)
	}()
	for a := range p.answers {
		p.settle(a)
	}
	p.abandon()
	p.transport.CloseIdleConnections()
	close(p.stopped)
}

// dispatch starts a request for each leader that is free and has records, and
// returns how long nothing else will be due.
func (p *Producer) dispatch(ctx context.Context, busy map[int]bool, requests *sync.WaitGroup) time.Duration {
	var gone []*Record
	var shares map[int][]share
	sizes := map[int]int64{}
	wait := time.Hour
	now := time.Now()

	p.mu.Lock()
	active := p.active[:0]
	for _, q := range p.active {
		gone = q.sweep(gone)
		if len(q.records) == 0 {
			q.active = false
			continue
		}
		active = append(active, q)
		if until := q.retryAt.Sub(now); until > 0 {
			wait = min(wait, until)
			continue
		}
		if q.flying > 0 || q.leader < 0 || busy[q.leader] || sizes[q.leader] >= maxRequestBytes {
			continue
		}
		records, size := q.take()
		if shares == nil {
			shares = map[int][]share{}
		}
		shares[q.leader] = append(shares[q.leader], share{q, records})
		sizes[q.leader] += size
	}
	clear(p.active[len(active):])
	p.active = active
	// Whoever had no room this time is first the next time.
	if n := len(active); n > 1 {
		first := active[0]
		copy(active, active[1:])
		active[n-1] = first
	}
	p.mu.Unlock()

	for _, r := range gone {
		p.finish(r, cancelled(r))
	}
	for leader, batch := range shares {
		busy[leader] = true
		requests.Go(func() { p.answers <- p.send(ctx, leader, batch) })
	}
	return wait
}

// sweep removes what was cancelled from a queue that has nothing under way,
// and adds it to gone.
func (q *partitionQueue) sweep(gone []*Record) []*Record {
	if q.cancelled == 0 || q.flying > 0 {
		return gone
	}
	q.cancelled = 0
	kept := q.records[:0]
	for _, r := range q.records {
		if r.state == stateCancelled {
			gone = append(gone, r)
		} else {
			kept = append(kept, r)
		}
	}
	clear(q.records[len(kept):])
	q.records = kept
	return gone
}

func cancelled(r *Record) error {
	if r.maybe {
		return ErrUnknown
	}
	return ErrNotSent
}

// take marks the next batch as under way.
func (q *partitionQueue) take() (records []*Record, size int64) {
	n := 0
	for n < len(q.records) && (n == 0 || size+q.records[n].size <= maxBatchBytes && q.single == 0) {
		size += q.records[n].size
		q.records[n].state = stateFlying
		n++
	}
	q.flying = n
	return append([]*Record(nil), q.records[:n]...), size
}

// send does one request. The context bounds it, so that a broker that does not
// answer cannot hold its partitions for ever.
func (p *Producer) send(ctx context.Context, leader int, shares []share) answer {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	req := &produceAPI.Request{Acks: -1, Timeout: int32(p.cfg.Timeout / time.Millisecond)}
	for _, s := range shares {
		part := produceAPI.RequestPartition{
			Partition: int32(s.queue.id),
			RecordSet: protocol.RecordSet{Records: &recordReader{records: s.records}},
		}
		topic := -1
		for i := range req.Topics {
			if req.Topics[i].Topic == s.queue.topic {
				topic = i
			}
		}
		if topic < 0 {
			topic = len(req.Topics)
			req.Topics = append(req.Topics, produceAPI.RequestTopic{Topic: s.queue.topic})
		}
		req.Topics[topic].Partitions = append(req.Topics[topic].Partitions, part)
	}
	begin := time.Now()
	a := answer{leader: leader, shares: shares}
	res, err := p.transport.RoundTrip(ctx, p.addr, req)
	if a.took, a.err = time.Since(begin), err; err == nil {
		a.res = res.(*produceAPI.Response)
	}
	return a
}

// settle takes an answer apart: what succeeded or never will is done, the rest
// waits at the head of its queue.
func (p *Producer) settle(a answer) {
	p.metrics.observe(a)
	failed := 0
	for _, s := range a.shares {
		err := a.err
		if err == nil {
			err = partitionError(a.res, s.queue)
		}
		if err != nil {
			failed++
		}
		p.settleShare(s, err)
	}
	if failed > 0 {
		p.metrics.failures.Add(float64(failed))
	}
}

func (p *Producer) settleShare(s share, err error) {
	q := s.queue
	refused := isRefusal(err)
	unclear := err != nil && !refused && !neverArrived(err)

	p.mu.Lock()
	q.flying = 0
	done := s.records
	switch {
	case err == nil:
		q.failures, q.retryAt = 0, time.Time{}
		if p.cfg.Linger > 0 {
			q.retryAt = time.Now().Add(p.cfg.Linger)
		}
		q.single = max(0, q.single-len(s.records))
		q.drop(len(s.records))
	case refused && len(s.records) == 1:
		q.failures, q.retryAt = 0, time.Time{}
		q.single = max(0, q.single-1)
		q.drop(1)
		err = ErrRejected
	default:
		for _, r := range s.records {
			r.maybe = r.maybe || unclear
			if r.state == stateFlying {
				r.state = stateWaiting
			}
		}
		done = nil
		if refused {
			q.single = len(s.records) // find the culprit, at once
			break
		}
		q.failures++
		q.retryAt = time.Now().Add(retryWait(q.failures))
		if isMoved(err) {
			q.leader = -1
		}
	}
	failures := q.failures
	p.mu.Unlock()

	switch {
	case err == ErrRejected:
		p.log.Error("a record was refused", "topic", q.topic, "partition", q.id, "bytes", done[0].size, "error", err)
	case failures == 1 || failures > 0 && failures%30 == 0:
		p.log.Warn("produce failed, trying again", "topic", q.topic, "partition", q.id, "attempt", failures, "error", err)
	}
	for _, r := range done {
		p.finish(r, err)
	}
}

// drop removes the first n records.
func (q *partitionQueue) drop(n int) {
	rest := copy(q.records, q.records[n:])
	clear(q.records[rest:])
	q.records = q.records[:rest]
	if cap(q.records) > 1024 && rest < 64 {
		q.records = append([]*Record(nil), q.records...)
	}
}

func retryWait(failures int) time.Duration {
	wait := min(retryFirst<<min(failures-1, 10), retryMost)
	return wait/2 + rand.N(wait/2)
}

// finish calls a record's done, without the lock.
func (p *Producer) finish(r *Record, err error) {
	p.mu.Lock()
	if r.state != stateCancelled {
		p.bytes -= r.size
	}
	r.state = stateDone
	p.held--
	if p.held == 0 && p.idle != nil {
		defer close(p.idle)
		p.idle = nil
	}
	p.mu.Unlock()
	r.done(r, err)
}

// abandon ends every record that is left when the producer stops.
func (p *Producer) abandon() {
	p.mu.Lock()
	var left []*Record
	for _, q := range p.active {
		left = append(left, q.records...)
		q.records, q.active = nil, false
	}
	p.active = nil
	p.mu.Unlock()
	for _, r := range left {
		p.finish(r, cancelled(r))
	}
}

// findLeaders looks up the leaders of the partitions that wait for one. The
// transport answers from what it knows, and learns anew every second.
func (p *Producer) findLeaders(ctx context.Context) {
	var topics []string
	p.mu.Lock()
	for _, q := range p.active {
		if q.leader < 0 && (len(topics) == 0 || topics[len(topics)-1] != q.topic) {
			topics = append(topics, q.topic)
		}
	}
	p.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	res, err := p.client.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		p.log.Warn("cannot find the partitions' leaders", "error", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range res.Topics {
		queues := p.topics[t.Name]
		for _, part := range t.Partitions {
			if part.ID < len(queues) && part.Leader.Host != "" {
				queues[part.ID].leader = part.Leader.ID
			}
		}
	}
}

// recordReader hands a batch to the encoder, which copies each record before
// it asks for the next one.
type recordReader struct {
	records []*Record
	next    int
	record  kafka.Record
	key     bytesOf
	value   bytesOf
}

// bytesOf is protocol.Bytes over a slice.
type bytesOf struct{ bytes.Reader }

func (*bytesOf) Close() error { return nil }

// ReadRecord implements protocol.RecordReader.
func (r *recordReader) ReadRecord() (*kafka.Record, error) {
	if r.next == len(r.records) {
		return nil, io.EOF
	}
	rec := r.records[r.next]
	r.next++
	r.key.Reset(rec.Key)
	r.value.Reset(rec.Value)
	r.record = kafka.Record{Time: rec.Time, Key: &r.key, Value: &r.value, Headers: rec.Headers}
	return &r.record, nil
}
