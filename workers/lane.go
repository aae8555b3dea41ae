package workers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// careful is for how many batches a lane looks for repeats first after it met
// one: they come in crowds, when clients reconnect.
const careful = 20

// txTime bounds the begin of a transaction's last statement. It goes on when the
// lane is told to stop, so that a batch in flight ends one way or the other.
const txTime = 10 * time.Second

// lane takes batches from its share of the partitions of one topic that this
// worker owns, one after another, and hands what they gave to its announcer. It
// lives for one generation of the consumer group.
type lane struct {
	topic    protocol.Topic
	handler  Handler
	maxBatch int
	deadMax  int
	db       *sql.DB
	parser   *parser
	in       *inbox
	forget   func(partition int) // stops fetching it
	announce *announcer
	dead     *deadLetters
	metrics  *metrics
	log      *slog.Logger

	// republish publishes the journal rows from an offset of each partition on.
	republish func(ctx context.Context, from map[int]int64) error

	session *session
	careful int // batches left
}

// run handles batches until ctx ends, then leaves nothing half done.
func (l *lane) run(ctx context.Context) {
	defer func() {
		if l.session != nil {
			l.session.discard(l.log)
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		batch, wait := l.in.take(l.maxBatch, time.Now())
		if len(batch) == 0 {
			l.idle(ctx, tick, wait)
			continue
		}
		l.batch(ctx, batch)
	}
}

// idle waits for records. Meanwhile it saves how far results were announced,
// and keeps the session from timing out.
func (l *lane) idle(ctx context.Context, tick *time.Ticker, wait time.Duration) {
	var retry <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		retry = t.C
	}
	select {
	case <-ctx.Done():
	case <-l.in.arrived:
	case <-retry:
	case <-tick.C:
		if l.session != nil && l.session.conn.PingContext(ctx) != nil {
			l.endSession()
		}
		l.announce.save(ctx)
	}
}

func (l *lane) batch(ctx context.Context, batch []taken) {
	now := time.Now()
	n := 0
	for _, t := range batch {
		n += len(t.messages)
	}
	slab := make([]Frame, n)
	frames := make([]*Frame, 0, n)
	var old []*Frame
	for _, t := range batch {
		for i := range t.messages {
			m := &t.messages[i]
			if m.Offset < t.part.next {
				if m.Offset == t.part.next-1 && recordHash(m) != t.part.lastHash {
					l.stop(t.part, ErrOtherTopic)
					break
				}
				if m.Offset < t.part.announce {
					continue
				}
			}
			f := &slab[0]
			slab = slab[1:]
			l.parser.parse(f, t.part, m, now)
			if m.Offset < t.part.next {
				old = append(old, f)
			} else {
				frames = append(frames, f)
			}
		}
	}
	if len(old) > 0 {
		if l.recall(ctx, old) != nil {
			return // the next owner does
		}
	}
	if len(frames) == 0 {
		return
	}
	var later []*Frame
	if p, ok := l.handler.(Portioner); ok {
		frames, later = p.Portion(frames)
	}
	l.process(ctx, frames)
	l.putBack(later)
}

// process repeats the batch until it is applied, or ctx ends. What is left
// then, the next owner finds.
func (l *lane) process(ctx context.Context, frames []*Frame) {
	wait := newBackOff()
	for ctx.Err() == nil {
		err := l.attempt(ctx, frames)
		if err == nil {
			return
		}
		fault := FaultOf(err)
		if fault == FaultRepeat && l.careful == careful {
			fault = FaultFrame // it was careful already
		}
		l.metrics.faults.WithLabelValues(l.topic.Group(), fault.String()).Inc()
		switch fault {
		case FaultRepeat:
			l.careful = careful
			continue
		case FaultFrame:
			if len(frames) == 1 {
				l.bury(ctx, frames[0], err)
				return
			}
			l.log.Warn("a frame of the batch cannot be handled: going on frame by frame", "frames", len(frames), "error", err)
			l.pieces(ctx, frames, 1)
			return
		}
		if errors.Is(err, context.DeadlineExceeded) && len(frames) > 1 {
			// What does not fit into txTime would never succeed as a whole.
			l.log.Warn("batch takes too long: going on in halves", "frames", len(frames), "error", err)
			l.pieces(ctx, frames, (len(frames)+1)/2)
			return
		}
		l.log.Error("batch failed: trying again", "frames", len(frames), "error", err)
		pause(ctx, wait.NextBackOff())
	}
}

// pieces processes a batch in pieces of n frames. Whatever comes behind a
// record that a piece gave back goes back, too: it must not overtake it.
func (l *lane) pieces(ctx context.Context, frames []*Frame, n int) {
	for piece := range slices.Chunk(frames, n) {
		ready := make([]*Frame, 0, len(piece))
		for _, f := range piece {
			if l.in.waitsBefore(l.in.parts[f.Partition], f.Offset) {
				l.giveBack([]*Frame{f})
			} else {
				ready = append(ready, f)
			}
		}
		if len(ready) > 0 {
			l.process(ctx, ready)
		}
	}
}

// attempt prepares and applies a batch once.
func (l *lane) attempt(ctx context.Context, frames []*Frame) error {
	for _, f := range frames {
		if f.broken != nil {
			return f.broken
		}
	}
	started := time.Now()
	if err := guard(func() error { return l.handler.Prepare(ctx, frames) }); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	l.metrics.stage(l.topic, "prepare", started)
	return l.apply(ctx, frames, func(ctx context.Context, tx *Tx, frames []*Frame) (outcomes []Outcome, err error) {
		err = guard(func() error {
			outcomes, err = l.handler.Handle(ctx, tx, frames)
			return err
		})
		if err == nil && len(outcomes) != len(frames) {
			err = &panicError{value: fmt.Sprintf("%d outcomes for %d frames", len(outcomes), len(frames))}
		}
		return outcomes, err
	}, nil)
}

// recallUnheard announces what was applied by a commit whose answer nobody
// heard: its journal row may be missing in the topic, too. It fails only when
// ctx has ended.
func (l *lane) recallUnheard(ctx context.Context, frames []*Frame) error {
	from := map[int]int64{}
	for _, f := range frames {
		if at, ok := from[f.Partition]; !ok || f.Offset < at {
			from[f.Partition] = f.Offset
		}
	}
	if err := l.persist(ctx, "republish journal rows", func() error { return l.republish(ctx, from) }); err != nil {
		return err
	}
	return l.recall(ctx, frames)
}

// recall announces again what was applied before. It fails only when ctx has
// ended.
func (l *lane) recall(ctx context.Context, frames []*Frame) error {
	return l.persist(ctx, "recall", func() error { return l.tryRecall(ctx, frames) }, "frames", len(frames))
}

// persist repeats try, with backoff, until it succeeds. The error is ctx's.
// attrs are for the log.
func (l *lane) persist(ctx context.Context, what string, try func() error, attrs ...any) error {
	wait := newBackOff()
	for ctx.Err() == nil {
		err := try()
		if err == nil {
			return nil
		}
		l.log.Error(what+": trying again", append(attrs, "error", err)...)
		pause(ctx, wait.NextBackOff())
	}
	return ctx.Err()
}

func (l *lane) tryRecall(ctx context.Context, frames []*Frame) error {
	known := make([]*Frame, 0, len(frames))
	for _, f := range frames {
		if f.broken == nil {
			known = append(known, f)
		}
	}
	var outcomes []Outcome
	err := l.transact(ctx, func(ctx context.Context, s *session, _ bool) error {
		_, err := s.conn.ExecContext(ctx, startTransaction)
		return err
	}, func(ctx context.Context, tx *Tx) (err error) {
		err = guard(func() error {
			outcomes, err = l.handler.Recall(ctx, tx, known)
			return err
		})
		if err == nil {
			_, err = tx.s.conn.ExecContext(ctx, "ROLLBACK") // it has changed nothing
		}
		return err
	})
	if err != nil && FaultOf(err) == FaultFrame {
		l.log.Error("frames that were applied cannot be recalled: their edges ask again", "frames", len(known), "error", err)
		known, outcomes, err = nil, nil, nil
	}
	if err != nil {
		return err
	}
	l.metrics.recalled.WithLabelValues(l.topic.Group()).Add(float64(len(known)))
	return l.announce.add(ctx, &job{frames: known, outcomes: outcomes, ends: endsOf(frames)})
}

// bury moves a frame that no handler can take to the dead-letter topic, so
// that its neighbours go on. Several in a row stop the partition: then it is
// not the frames.
func (l *lane) bury(ctx context.Context, f *Frame, cause error) {
	p := l.in.parts[f.Partition]
	if p.stopped.Load() {
		return
	}
	if p.dead+1 >= l.deadMax {
		l.stop(p, fmt.Errorf("%d frames in a row cannot be handled, the last at offset %d: %w", p.dead+1, f.Offset, cause))
		return
	}
	l.log.Error("frame cannot be handled: moved to the dead-letter topic",
		"partition", f.Partition, "offset", f.Offset, "frame", f.Envelope.FrameID, "error", cause)
	err := l.persist(ctx, "dead letter", func() error {
		if err := l.dead.put(ctx, l.topic, f, cause); err != nil {
			return err
		}
		return l.apply(ctx, []*Frame{f}, func(context.Context, *Tx, []*Frame) ([]Outcome, error) {
			if f.broken != nil {
				return []Outcome{{Code: protocol.Internal}}, nil
			}
			return []Outcome{Refuse(f, protocol.Errorf(protocol.Internal, "this frame could not be handled; it is kept for the operators"))}, nil
		}, f)
	})
	if err == nil && p.next > f.Offset { // else it was given back, and comes again
		p.dead++
		l.metrics.dead.WithLabelValues(l.topic.Group()).Inc()
	}
}

// ErrOtherTopic means that the topic's records are not those that this
// database has applied: it was made anew, or the database was restored.
var ErrOtherTopic = errors.New("the topic is not the one that this database belongs to")

// stop leaves a partition alone until an operator decides; records are never
// skipped silently.
func (l *lane) stop(p *partition, cause error) {
	l.in.drop(p)
	l.forget(p.id)
	l.metrics.stopped.WithLabelValues(l.topic.Group(), fmt.Sprint(p.id)).Set(1)
	l.log.Error("PARTITION STOPPED: nothing of it is handled until an operator decides and the worker is restarted",
		"partition", p.id, "next_offset", p.next, "error", cause)
}

func (l *lane) endSession() {
	l.session.discard(l.log)
	l.session = nil
}

// giveBack returns frames of partitions that another holds, for a while.
func (l *lane) giveBack(frames []*Frame) {
	l.putBack(frames)
	until := time.Now().Add(lockedRetry)
	for _, f := range frames {
		l.in.parts[f.Partition].retryAt = until
	}
}

// putBack returns frames to what waits.
func (l *lane) putBack(frames []*Frame) {
	byPart := map[int][]queue.Message{}
	for _, f := range frames {
		byPart[f.Partition] = append(byPart[f.Partition], f.message())
	}
	for id, messages := range byPart {
		l.in.giveBack(l.in.parts[id], messages)
	}
}

// lockedRetry is how long a partition is left alone whose row another holds.
const lockedRetry = 100 * time.Millisecond

func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 50 * time.Millisecond
	b.MaxInterval = time.Second // so soon what is back is noticed
	return b
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// lost stops a partition whose next offset Kafka does not have. It is called
// by the fetcher's goroutine.
func (l *lane) lost(id int, err error) {
	l.in.drop(l.in.parts[id])
	l.metrics.stopped.WithLabelValues(l.topic.Group(), fmt.Sprint(id)).Set(1)
	l.log.Error("PARTITION STOPPED: its next record is not in the topic", "partition", id, "error", err)
}
