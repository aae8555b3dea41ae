package workers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
)

// job is what a batch has to tell, in the order of commits.
type job struct {
	frames   []*Frame
	outcomes []Outcome
	ends     map[int]int64 // the next offset of each partition behind the batch
	journal  []byte        // the journal row for sponge.journal; nil: none
	saved    map[int]int64 // what the batch's transaction wrote to applied.announced
}

// announceQueue is how many batches may wait for Redis before the lane does.
const announceQueue = 2

// lastWords bounds how long an announcer that is told to stop goes on with
// what was committed. What it does not manage, the next owner announces.
const lastWords = 3 * time.Second

// announcer tells the edges what batches gave, beside the lane's next
// transaction and in the order of commits, and remembers how far it came.
type announcer struct {
	topic     protocol.Topic
	namespace string
	redis     redis.UniversalClient
	presence  *presence.Reader
	db        *sql.DB
	journal   *journalWriter
	metrics   *metrics
	log       *slog.Logger

	jobs chan *job
	out  entries // for run alone

	mu     sync.Mutex
	done   map[int]int64 // guarded by mu: announced and in sponge.journal, by partition
	saved  map[int]int64 // guarded by mu: what applied.announced holds
	halves map[*job]bool // guarded by mu: one of the two is done

	settled chan struct{} // holds one when halves has become empty
}

// start readies the announcer: results below the offsets in from are out.
func (a *announcer) start(from map[int]int64) {
	a.jobs = make(chan *job, announceQueue)
	a.settled = make(chan struct{}, 1)
	a.out = entries{namespace: a.namespace, byNode: map[string]*nodeEntry{}}
	a.done, a.saved, a.halves = map[int]int64{}, map[int]int64{}, map[*job]bool{}
	for p, offset := range from {
		a.done[p], a.saved[p] = offset, offset
	}
}

// add hands a batch over, in the order of its offsets. It blocks while Redis is
// slower than MySQL. Where it fails, because ctx has ended, the next owner
// announces the batch; nothing behind it may be handed over then, since that
// would count as all before it.
func (a *announcer) add(ctx context.Context, j *job) error {
	if j.journal != nil {
		a.journal.write(j.journal, func(err error) {
			if err == nil {
				a.half(j)
			}
		})
	} else {
		a.half(j)
	}
	select {
	case a.jobs <- j: // also after ctx has ended: the announcer goes on for lastWords
		return nil
	default:
	}
	select {
	case a.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// half notes that the results or the journal row of a job are out; both make
// it announced.
func (a *announcer) half(j *job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.halves[j] {
		a.halves[j] = true
		return
	}
	if delete(a.halves, j); len(a.halves) == 0 {
		select {
		case a.settled <- struct{}{}:
		default:
		}
	}
	for p, end := range j.ends {
		a.done[p] = max(a.done[p], end)
	}
}

// upTo is up to which offset the partition's results are out.
func (a *announcer) upTo(partition int) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.done[partition]
}

// wrote notes what a transaction that has committed says was announced.
func (a *announcer) wrote(offsets map[int]int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, offset := range offsets {
		a.saved[p] = max(a.saved[p], offset)
	}
}

// save writes to applied what no batch has written, when there are none.
func (a *announcer) save(ctx context.Context) {
	a.mu.Lock()
	changed := map[int]int64{}
	for p, offset := range a.done {
		if a.saved[p] != offset {
			changed[p] = offset
		}
	}
	a.mu.Unlock()
	for p, offset := range changed {
		// By primary key.
		_, err := a.db.ExecContext(ctx, "UPDATE applied SET announced = ? WHERE topic = ? AND `partition` = ? AND announced < ?",
			offset, a.topic.Group(), p, offset)
		if err != nil {
			a.log.Warn("save how far results were announced: trying again", "error", err)
			return
		}
		a.mu.Lock()
		a.saved[p] = max(a.saved[p], offset)
		a.mu.Unlock()
	}
}

// run announces until jobs is closed and empty. After ctx has ended it goes on
// for lastWords.
func (a *announcer) run(ctx context.Context) {
	ctx, cancel := lingering(ctx, lastWords)
	defer cancel()
	for j := range a.jobs {
		wait := newBackOff()
		started := time.Now()
		for ctx.Err() == nil {
			err := a.announce(ctx, j)
			if err == nil {
				j.frames, j.outcomes = nil, nil // its journal row may wait for Kafka for long
				a.half(j)
				break
			}
			a.log.Error("announce: trying again", "error", err)
			pause(ctx, wait.NextBackOff())
		}
		a.metrics.stage(a.topic, "announce", started)
	}
	a.settle(ctx)
	a.save(ctx)
}

// settleTime bounds the wait for journal rows of an announcer that is told to
// stop. Where it is Kafka that ended the generation, it does not take them, and
// every moment is one in which nobody has the partitions.
const settleTime = 300 * time.Millisecond

// settle waits for the journal rows of what was announced to be in Kafka, so
// that the next owner has nothing to announce again.
func (a *announcer) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		a.mu.Lock()
		left := len(a.halves)
		a.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-a.settled:
		case <-ctx.Done():
			return
		}
	}
}

// lingering is a context that ends d after ctx.
func lingering(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var timer *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(d, cancel)
	})
	return out, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
		cancel()
	}
}

func (a *announcer) announce(ctx context.Context, j *job) error {
	members, err := a.members(ctx, j)
	if err != nil {
		return err
	}
	where, err := a.lookUp(ctx, j, members)
	if err != nil {
		return err
	}
	out := &a.out
	out.reset()
	for i, f := range j.frames {
		o := &j.outcomes[i]
		out.reply(f, o, where)
		if o.Push != nil {
			out.push(f, o.Push, members[o.Push.Conversation], where)
		}
	}
	return out.send(ctx, a.redis)
}

// member is a user who gets a conversation's messages after a seq.
type member struct {
	user   int64
	joined int64
}

// members finds who is in the groups that the job pushes to.
func (a *announcer) members(ctx context.Context, j *job) (map[protocol.Conversation][]member, error) {
	out := map[protocol.Conversation][]member{}
	for i := range j.outcomes {
		push := j.outcomes[i].Push
		if push == nil {
			continue
		}
		c := push.Conversation
		if _, ok := out[c]; ok {
			continue
		}
		if !c.IsGroup() {
			out[c] = []member{{user: c.A}}
			if c.B != c.A {
				out[c] = append(out[c], member{user: c.B})
			}
			continue
		}
		list, err := a.group(ctx, c.Group())
		if err != nil {
			return nil, fmt.Errorf("members of group %d: %w", c.Group(), err)
		}
		out[c] = list
	}
	return out, nil
}

func (a *announcer) group(ctx context.Context, group int64) ([]member, error) {
	// The primary key's prefix: a range of it.
	rows, err := a.db.QueryContext(ctx, "SELECT user_id, joined_seq FROM members WHERE group_id = ?", group)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []member{}
	for rows.Next() {
		var m member
		if err := rows.Scan(&m.user, &m.joined); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

// whereabouts are where users are, and of whom it was asked, who is expected
// back.
type whereabouts struct {
	places map[int64][]presence.Place
	back   map[int64]bool
}

func (w *whereabouts) online(user int64) bool { return len(w.places[user]) > 0 || w.back[user] }

// lookUp finds everyone whom the job concerns, in one round trip; and who is
// not there, and asked for, in another.
func (a *announcer) lookUp(ctx context.Context, j *job, members map[protocol.Conversation][]member) (*whereabouts, error) {
	var users []int64
	out := &whereabouts{places: map[int64][]presence.Place{}}
	ask := func(u int64) {
		if _, ok := out.places[u]; !ok {
			out.places[u] = nil
			users = append(users, u)
		}
	}
	for _, list := range members {
		for _, m := range list {
			ask(m.user)
		}
	}
	for i := range j.outcomes {
		for _, u := range j.outcomes[i].Ask {
			ask(u)
		}
	}
	found, err := a.presence.Places(ctx, users)
	if err != nil {
		return nil, fmt.Errorf("look up presence: %w", err)
	}
	for i, u := range users {
		out.places[u] = found[i]
	}
	var away []int64
	for i := range j.outcomes {
		for _, u := range j.outcomes[i].Ask {
			if len(out.places[u]) == 0 {
				away = append(away, u)
			}
		}
	}
	if out.back, err = a.presence.ExpectedBack(ctx, away); err != nil {
		return nil, fmt.Errorf("look up presence: %w", err)
	}
	return out, nil
}

// entries collects a job's results by node.
type entries struct {
	namespace string
	byNode    map[string]*nodeEntry
	shown     [1]envelope.Range
}

type nodeEntry struct {
	full  [][]byte // entries that reached channel.MaxEntry
	last  []byte
	conns []uint64 // of the push at hand
}

// Bounds of the buffers that are kept from one batch to the next.
const (
	maxNodes = 100
	maxKept  = 64 << 10 // bytes for one node
)

// reset begins a batch. Buffers stay: what was sent is with Redis.
func (e *entries) reset() {
	if len(e.byNode) > maxNodes {
		clear(e.byNode)
	}
	for _, n := range e.byNode {
		n.full, n.conns = nil, n.conns[:0]
		if n.last = n.last[:0]; cap(n.last) > maxKept {
			n.last = nil
		}
	}
}

func (e *entries) node(name string) *nodeEntry {
	n := e.byNode[name]
	if n == nil {
		n = &nodeEntry{}
		e.byNode[name] = n
	}
	return n
}

func (n *nodeEntry) add(r *channel.Result) {
	if len(n.last) > 0 && len(n.last)+len(r.Payload) > channel.MaxEntry {
		n.full = append(n.full, n.last)
		n.last = nil
	}
	n.last = r.Append(n.last)
}

func (e *entries) reply(f *Frame, o *Outcome, where *whereabouts) {
	if f.broken != nil || o.Unsettled && f.Envelope.Request == 0 {
		return
	}
	if o.Unsettled {
		e.node(f.Envelope.Node).add(&channel.Result{Conns: []uint64{f.Envelope.Conn}, Request: f.Envelope.Request, Unsettled: true})
		return
	}
	r := channel.Result{Conns: []uint64{f.Envelope.Conn}, Request: f.Envelope.Request, Payload: o.Reply,
		Shown: o.Shown, Cursors: o.Cursors, CaughtUp: o.CaughtUp, Session: o.Session, Proof: o.Proof, Confirm: o.Confirm}
	if o.More {
		r.More, r.Since = true, f.Envelope.Since
	}
	if r.Proof != nil {
		r.Life = time.Until(r.Proof.Expiry()) // by the clock that it was signed by
	}
	if o.Render != nil {
		r.Payload = o.Render(where.online)
	}
	e.node(f.Envelope.Node).add(&r)
}

func (e *entries) push(f *Frame, p *Push, to []member, where *whereabouts) {
	for _, m := range to {
		if m.joined >= p.Seq {
			continue
		}
		for _, place := range where.places[m.user] {
			if place.Conn == f.Envelope.Conn && place.Node == f.Envelope.Node {
				continue
			}
			n := e.node(place.Node)
			n.conns = append(n.conns, place.Conn)
		}
	}
	e.shown[0] = envelope.Range{Conversation: p.Conversation, From: p.Seq, To: p.Seq}
	for _, n := range e.byNode {
		if len(n.conns) > 0 {
			n.add(&channel.Result{Push: true, Conns: n.conns, Sender: f.User, Payload: p.Payload, Shown: e.shown[:]})
			n.conns = n.conns[:0]
		}
	}
}

// send adds the entries to the nodes' streams. A node whose stream is gone has
// died: its results vanish with it.
func (e *entries) send(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	var cmds []*redis.StringCmd
	for name, n := range e.byNode {
		if len(n.last) > 0 {
			n.full = append(n.full, n.last)
		}
		for _, entry := range n.full {
			cmds = append(cmds, pipe.XAdd(ctx, &redis.XAddArgs{Stream: channel.Key(e.namespace, name), NoMkStream: true,
				MaxLen: channel.MaxEntries, Approx: true, ID: "0-*", Values: []any{channel.Field, entry}}))
		}
	}
	if len(cmds) == 0 {
		return nil
	}
	_, _ = pipe.Exec(ctx) // each command tells its own error
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("add to channel: %w", err)
		}
	}
	return nil
}
