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
	out      bool          // its results and its journal row are; guarded by the announcer's mu
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

	// for run alone
	out entries
	met acquaintances

	mu     sync.Mutex
	done   map[int]int64 // guarded by mu: announced and in sponge.journal, by partition
	saved  map[int]int64 // guarded by mu: what applied.announced holds
	halves map[*job]bool // guarded by mu: one of the two is done
	order  []*job        // guarded by mu: handed over, and not known to be announced with all before

	settled chan struct{} // holds one when halves has become empty
}

// start readies the announcer: results below the offsets in from are out.
func (a *announcer) start(from map[int]int64) {
	a.jobs = make(chan *job, announceQueue)
	a.settled = make(chan struct{}, 1)
	a.met = acquaintances{}
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
	a.mu.Lock()
	a.order = append(a.order, j)
	a.mu.Unlock()
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
// it announced, once all before it are: a row that Kafka never took must not count
// as published by a later one.
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
	j.out = true
	for len(a.order) > 0 && a.order[0].out {
		for p, end := range a.order[0].ends {
			a.done[p] = max(a.done[p], end)
		}
		a.order = a.order[1:]
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

// announce tells the edges what a job gave. Results go to where people were when
// they were last met, in the round trip that asks where they are: only who is
// elsewhere by now costs another.
func (a *announcer) announce(ctx context.Context, j *job) error {
	members, err := a.members(ctx, j)
	if err != nil {
		return err
	}
	users, asked := concerned(j, members)
	out := &a.out
	out.reset()
	if !asked {
		out.add(j, members, &whereabouts{places: a.met})
	}
	places, err := a.send(ctx, users)
	if err != nil {
		return err
	}
	out.reset()
	if !asked {
		out.pushes(j, members, &whereabouts{places: elsewhere(a.met, places)})
	} else {
		back, err := a.expectedBack(ctx, j, places)
		if err != nil {
			return err
		}
		out.add(j, members, &whereabouts{places, back})
	}
	a.met.note(places)
	_, err = a.send(ctx, nil)
	return err
}

// send sends what was collected, and asks where users are, in one round trip.
func (a *announcer) send(ctx context.Context, users []int64) (map[int64][]presence.Place, error) {
	if a.out.empty() && len(users) == 0 {
		return nil, nil
	}
	pipe := a.redis.Pipeline()
	sent := a.out.send(ctx, pipe)
	found := a.presence.Ask(ctx, pipe, users)
	_, failed := pipe.Exec(ctx)
	if err := sent(); err != nil {
		return nil, fmt.Errorf("add to channel: %w", err)
	}
	// What no command has been told of: there was no connection to send them by.
	if failed != nil && !errors.Is(failed, redis.Nil) {
		return nil, fmt.Errorf("ask Redis: %w", failed)
	}
	places, err := found(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up presence: %w", err)
	}
	out := make(map[int64][]presence.Place, len(users))
	for i, u := range users {
		out[u] = places[i]
	}
	return out, nil
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
