package workers

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// Bounds of what waits in memory and of a batch.
const (
	partitionBytes = 2 << 20  // of one partition that wait; then it is not fetched
	waitingBytes   = 32 << 20 // of all partitions, of all lanes
	batchBytes     = 4 << 20  // of one batch; below any max_allowed_packet
)

// partition is one partition that this worker owns. mu of its inbox guards
// waiting and bytes; the rest, but stopped, is the lane's alone.
type partition struct {
	id      int
	waiting []queue.Message
	bytes   int

	first    int64     // at the takeover: the oldest record that Kafka has
	next     int64     // records below it have been applied
	announce int64     // at the takeover: records from here to next are announced again
	lastHash [16]byte  // of record next-1
	retryAt  time.Time // not before then: its row is held by another
	dead     int       // frames in a row that no handler could take
	ours     bool      // our last batch was applied: nobody else holds its row
	stopped  atomic.Bool
}

// inbox is where the fetcher puts records and the lane takes batches. Safe for
// one of each.
type inbox struct {
	mu    sync.Mutex
	parts map[int]*partition
	order []*partition // sorted by id
	turn  int          // whose turn it is first in the next batch
	bytes int
	limit int // of bytes; then nothing is fetched

	arrived chan struct{} // holds one when something was put in
	room    func()        // called when something was taken out
	lost    func(partition int, err error)
}

func newInbox(parts []*partition) *inbox {
	in := &inbox{parts: map[int]*partition{}, order: parts, limit: waitingBytes, arrived: make(chan struct{}, 1)}
	for _, p := range parts {
		in.parts[p.id] = p
	}
	return in
}

// Deliver implements queue.Sink.
func (in *inbox) Deliver(id int, messages []queue.Message) {
	in.mu.Lock()
	p := in.parts[id]
	if p.stopped.Load() { // meanwhile
		in.mu.Unlock()
		return
	}
	p.waiting = append(p.waiting, messages...)
	n := 0
	for i := range messages {
		n += messageSize(&messages[i])
	}
	p.bytes += n
	in.bytes += n
	in.mu.Unlock()
	select {
	case in.arrived <- struct{}{}:
	default:
	}
}

// Full implements queue.Sink.
func (in *inbox) Full(id int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.parts[id].bytes >= partitionBytes || in.bytes >= in.limit
}

// Lost implements queue.Sink.
func (in *inbox) Lost(id int, err error) { in.lost(id, err) }

// inboxes are those of the lanes, by partition. They implement queue.Sink for
// all of them.
type inboxes map[int]*inbox

// Deliver implements queue.Sink.
func (s inboxes) Deliver(id int, messages []queue.Message) { s[id].Deliver(id, messages) }

// Full implements queue.Sink.
func (s inboxes) Full(id int) bool { return s[id].Full(id) }

// Lost implements queue.Sink.
func (s inboxes) Lost(id int, err error) { s[id].Lost(id, err) }

func messageSize(m *queue.Message) int { return len(m.Key) + len(m.Value) + len(m.Header) + 64 }

// take removes a batch: what has arrived, up to most records and batchBytes,
// partitions in turn so that a busy one does not keep the others out, each in
// one run. wait is how long nothing else may be touched.
func (in *inbox) take(most int, now time.Time) (batch []taken, wait time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	active := 0
	for _, p := range in.order {
		if len(p.waiting) > 0 && !p.stopped.Load() {
			if d := p.retryAt.Sub(now); d > 0 {
				if wait == 0 || d < wait {
					wait = d
				}
				continue
			}
			active++
		}
	}
	if active == 0 {
		return nil, wait
	}
	share, size, count := max(1, most/active), 0, 0
	runs := make([]int, len(in.order)) // how many records of each, from in.turn on
	for pass := range 2 {
		for i := range runs {
			p := in.order[(in.turn+i)%len(in.order)]
			if p.stopped.Load() || p.retryAt.After(now) {
				continue
			}
			for runs[i] < len(p.waiting) && count < most && size < batchBytes && (pass == 1 || runs[i] < share) {
				size += messageSize(&p.waiting[runs[i]])
				runs[i]++
				count++
			}
		}
	}
	// One run a partition: the journal's ranges tell the order of the batch.
	for i, n := range runs {
		if n == 0 {
			continue
		}
		p := in.order[(in.turn+i)%len(in.order)]
		for k := range n {
			p.bytes -= messageSize(&p.waiting[k])
			in.bytes -= messageSize(&p.waiting[k])
		}
		batch = append(batch, taken{p, p.waiting[:n:n]})
		if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
			p.waiting = nil
		}
	}
	in.turn = (in.turn + 1) % len(in.order)
	if in.room != nil {
		in.room()
	}
	return batch, wait
}

// taken is a run of one partition's records.
type taken struct {
	part     *partition
	messages []queue.Message
}

// giveBack puts records back to what waits, in the order of offsets.
func (in *inbox) giveBack(p *partition, messages []queue.Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if p.stopped.Load() {
		return
	}
	p.waiting = slices.Concat(messages, p.waiting)
	slices.SortStableFunc(p.waiting, func(a, b queue.Message) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := range messages {
		n := messageSize(&messages[i])
		p.bytes += n
		in.bytes += n
	}
}

// waitsBefore reports whether a record of the partition waits that comes
// before the offset: it was given back, and must be handled first.
func (in *inbox) waitsBefore(p *partition, offset int64) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(p.waiting) > 0 && p.waiting[0].Offset < offset
}

// drop empties a partition that was stopped.
func (in *inbox) drop(p *partition) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.bytes -= p.bytes
	p.waiting, p.bytes = nil, 0
	p.stopped.Store(true)
}

// parser makes frames of records. It remembers which proofs hold: all frames
// of a connection carry the same one. Not safe for concurrent use.
type parser struct {
	topic  protocol.Topic
	key    *keys.WorkerKey
	intern envelope.Interner
	held   map[keys.Proof]place
}

// place is the connection that a proof holds for.
type place struct {
	node string
	conn uint64
}

// maxHeld bounds the proofs that are remembered; beyond it begins anew.
const maxHeld = 1 << 16

func newParser(topic protocol.Topic, key *keys.WorkerKey) *parser {
	return &parser{topic: topic, key: key, intern: envelope.Interner{}, held: map[keys.Proof]place{}}
}

// parse fills f from a record. A record that is no frame is marked broken, and
// becomes its own fault when the batch is handled.
func (pr *parser) parse(f *Frame, p *partition, m *queue.Message, now time.Time) {
	pr.read(f, p.id, m)
	if proof := f.Envelope.Proof; f.broken == nil && proof != nil && pr.holds(proof, &f.Envelope, now) {
		f.Believe()
	}
}

// read is parse without a look at the proof.
func (pr *parser) read(f *Frame, partition int, m *queue.Message) {
	f.Partition, f.Offset, f.key, f.header, f.size = partition, m.Offset, m.Key, m.Header, messageSize(m)
	if err := f.Envelope.ParseInterned(m.Header, pr.intern); err != nil {
		f.Bytes, f.broken = m.Value, &brokenError{err}
		return
	}
	if n, err := f.Parse(m.Value); err != nil || n != len(m.Value) || !pr.belongs(f) {
		if err == nil {
			err = errNoFrame
		}
		f.Bytes, f.broken = m.Value, &brokenError{err}
	}
}

// belongs reports whether edges publish such a frame to the topic.
func (pr *parser) belongs(f *Frame) bool {
	if !f.Type.Known() || f.Type.Topic() != pr.topic {
		return false
	}
	switch f.Envelope.Kind {
	case envelope.FromClient:
		return f.Type != protocol.Ping
	case envelope.Report:
		return f.Type == protocol.Received
	case envelope.Sync:
		return f.Type == protocol.Offline
	case envelope.Renew:
		return f.Type == protocol.Login
	}
	return false
}

func (pr *parser) holds(proof *keys.Proof, e *envelope.Envelope, now time.Time) bool {
	// A renewal looks at the session itself: one whose proof came from a clock
	// far behind, or whose edge was stopped for long, does not end by that.
	if proof.Expired(now) && e.Kind != envelope.Renew {
		return false
	}
	at := place{e.Node, e.Conn}
	if known, ok := pr.held[*proof]; ok && known == at {
		return true
	}
	if pr.key.Check(proof, e.Node, e.Conn) != nil {
		return false
	}
	if len(pr.held) >= maxHeld {
		clear(pr.held)
	}
	pr.held[*proof] = at
	return true
}

// message is the record that f was made from.
func (f *Frame) message() queue.Message {
	return queue.Message{Offset: f.Offset, Key: f.key, Value: f.Bytes, Header: f.header}
}

// recordHash tells a record apart from another at the same offset of a topic
// that was made anew.
func recordHash(m *queue.Message) [16]byte {
	h := sha256.New()
	var n [8]byte
	for _, b := range [][]byte{m.Key, m.Value, m.Header} {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	return [16]byte(h.Sum(nil))
}
