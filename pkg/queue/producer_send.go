package queue

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
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
	by     int // the broker
	shares []share
	res    *produceAPI.Response // nil: err
	err    error
	took   time.Duration
}

// sender has a request at a time under way to one broker.
type sender struct {
	p    *Producer
	id   int
	addr string // guarded by Producer.mu
	work chan struct{}
	link link
}

// run ends records that were cancelled, and has leaders looked for, until the
// producer is closed.
func (p *Producer) run() {
	var finding sync.WaitGroup
	finding.Go(func() {
		for p.ctx.Err() == nil {
			p.findLeaders()
			sleep(p.ctx, leaderEvery)
		}
	})
	for p.ctx.Err() == nil {
		select {
		case <-p.ctx.Done():
		case <-p.cancelled:
			p.mu.Lock()
			gone := p.sweep()
			p.mu.Unlock()
			p.finishCancelled(gone)
		}
	}
	finding.Wait()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.sending.Wait()
	p.abandon()
	close(p.stopped)
}

// wake has a queue's records looked at. Called with mu held.
func (p *Producer) wake(q *partitionQueue) {
	if s := p.senders[q.leader]; s != nil {
		signal(s.work)
	}
}

// run sends what there is for its broker until the producer is closed.
func (s *sender) run() {
	defer s.link.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for s.p.ctx.Err() == nil {
		shares, addr, wait := s.p.take(s)
		if len(shares) > 0 {
			s.p.settle(s.send(addr, shares))
			continue
		}
		timer.Reset(wait)
		select {
		case <-s.p.ctx.Done():
		case <-s.work:
		case <-timer.C:
		}
	}
}

// take marks a request for the sender's broker as under way. Where there is
// nothing to send, wait is how long nothing else will be due.
func (p *Producer) take(s *sender) (shares []share, addr string, wait time.Duration) {
	wait = time.Hour
	now := time.Now()
	var size int64
	p.mu.Lock()
	gone := p.sweep()
	for _, q := range p.active {
		if q.leader != s.id || q.flying > 0 {
			continue
		}
		if until := q.retryAt.Sub(now); until > 0 {
			wait = min(wait, until)
			continue
		}
		if size < maxRequestBytes {
			records, n := q.take()
			shares = append(shares, share{q, records})
			size += n
		}
	}
	// Nobody is always the last, who gets what room is left.
	if n := len(p.active); n > 1 {
		first := p.active[0]
		copy(p.active, p.active[1:])
		p.active[n-1] = first
	}
	addr = s.addr
	p.mu.Unlock()
	p.finishCancelled(gone)
	return shares, addr, wait
}

// sweep removes records that were cancelled, which it returns, and queues that
// have none left from the active ones. Called with mu held.
func (p *Producer) sweep() (gone []*Record) {
	active := p.active[:0]
	for _, q := range p.active {
		if gone = q.sweep(gone); len(q.records) > 0 {
			active = append(active, q)
		} else {
			q.active = false
		}
	}
	clear(p.active[len(active):])
	p.active = active
	return gone
}

func (p *Producer) finishCancelled(gone []*Record) {
	for _, r := range gone {
		p.finish(r, cancelled(r))
	}
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

// send does one request, for a bounded time, so that a broker that does not
// answer cannot hold its partitions for ever.
func (s *sender) send(addr string, shares []share) answer {
	within := s.p.cfg.Timeout
	// The broker's own patience ends first: its answer still tells which partitions
	// have the records.
	req := &produceAPI.Request{Acks: -1, Timeout: int32((within - within/5) / time.Millisecond)}
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
	a := answer{by: s.id, shares: shares}
	res, err := s.link.do(s.p.ctx, addr, within, req)
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
		p.settleShare(a.by, s, err)
	}
	if failed > 0 {
		p.metrics.failures.Add(float64(failed))
	}
}

func (p *Producer) settleShare(by int, s share, err error) {
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
		if err = ErrRejected; s.records[0].maybe {
			err = ErrUnknown
		}
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
		if isMoved(err) && q.leader == by { // else it is known already who follows
			q.leader = -1
		}
	}
	p.wake(q) // it may have another leader by now
	failures := q.failures
	p.mu.Unlock()

	switch {
	case refused && len(done) == 1:
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
	p.mu.Unlock()
	r.done(r, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held--; p.held == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
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

// findLeaders looks up the leaders of the partitions that wait for one.
func (p *Producer) findLeaders() {
	topics := map[string]bool{}
	p.mu.Lock()
	for _, q := range p.active {
		if q.leader < 0 {
			topics[q.topic] = true
		}
	}
	p.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	found, err := lookUp(p.ctx, p.cfg.Brokers, slices.Collect(maps.Keys(topics))...)
	if err != nil {
		if p.lost.pass() && p.ctx.Err() == nil {
			p.log.Warn("cannot find the partitions' leaders: trying again", "error", err)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learn(found)
}

// learn notes who leads the partitions that it knows. Called with mu held.
func (p *Producer) learn(found *directory) {
	if p.ended {
		return
	}
	for id, addr := range found.addrs {
		if s := p.senders[id]; s != nil {
			s.addr = addr
		}
	}
	for topic, partitions := range found.topics {
		queues := p.topics[topic]
		for i := range partitions {
			part := &partitions[i]
			id := found.leader(part)
			if int(part.PartitionIndex) >= len(queues) || id < 0 {
				continue
			}
			if p.senders[id] == nil {
				s := &sender{p: p, id: id, addr: found.addrs[id], work: make(chan struct{}, 1)}
				p.senders[id] = s
				p.sending.Go(s.run)
			}
			q := queues[part.PartitionIndex]
			q.leader = id
			p.wake(q)
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
