package workers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"sponge/pkg/journal"
	"sponge/pkg/protocol"
)

// begin begins a transaction by first, which says START TRANSACTION and may ask
// for something in the same round trip. It does so on a fresh session where there
// is none, or where the old one has ended since: MySQL ends one that is silent
// for idleWait, which a batch of passwords can take to prepare. A statement that
// MySQL refuses is not repeated here.
func (l *lane) begin(ctx context.Context, first func(ctx context.Context, s *session, fresh bool) error) error {
	for fresh := l.session == nil; ; fresh = true {
		if l.session == nil {
			// A connection is made by what waits for a context.
			opening, cancel := context.WithTimeout(context.WithoutCancel(ctx), txTime)
			s, err := openSession(opening, l.db)
			cancel()
			if err != nil {
				return err
			}
			l.session = s
		}
		err := first(ctx, l.session, fresh)
		if err == nil {
			return nil
		}
		var refused *mysql.MySQLError
		if errors.As(err, &refused) {
			if _, ended := l.session.conn.ExecContext(ctx, "ROLLBACK"); ended == nil {
				return err
			}
		}
		if l.endSession(); fresh {
			return err
		}
	}
}

const startTransaction = "START TRANSACTION"

// transact runs work, which ends it, in a transaction on the lane's session.
// Whatever fails leaves none open.
func (l *lane) transact(ctx context.Context, first func(ctx context.Context, s *session, fresh bool) error, work func(context.Context, *Tx) error) (err error) {
	ctx = bounded{context.WithoutCancel(ctx), time.Now().Add(txTime)}
	defer func() {
		if late := ctx.Err(); late != nil && err != nil {
			err = errors.Join(late, err) // the driver only says that its connection is bad
		}
	}()
	if err := l.begin(ctx, first); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err = work(ctx, &Tx{s: l.session, Careful: l.careful > 0}); err != nil {
		if _, rb := l.session.conn.ExecContext(ctx, "ROLLBACK"); rb != nil {
			l.endSession()
		}
	}
	return err
}

// handleFunc is what a batch's transaction does to its frames. ctx is the
// transaction's: it outlives the lane's, and has a bound of its own.
type handleFunc func(ctx context.Context, tx *Tx, frames []*Frame) ([]Outcome, error)

// apply is the transaction of a batch. handle may be asked for fewer frames
// than were given: those of partitions whose rows another holds go back, those
// below a partition's next offset have been applied already. dead is the frame
// that is skipped, if the batch exists to skip it.
func (l *lane) apply(ctx context.Context, frames []*Frame, handle handleFunc, dead *Frame) error {
	var (
		mine, locked, applied []*Frame
		outcomes              []Outcome
		j                     *job
	)
	started := time.Now()
	var rows map[int]appliedRow
	var open *Opening
	err := l.transact(ctx, func(ctx context.Context, s *session, fresh bool) (err error) {
		if open = nil; !fresh { // what the old session held, it may still hold
			open = l.open(frames, dead)
		}
		rows, err = l.lock(ctx, s, frames, open)
		return err
	}, func(ctx context.Context, tx *Tx) error {
		if open != nil {
			tx.Found = open.Found
		}
		l.metrics.stage(l.topic, "lock", started)
		if mine, applied, locked = l.sort(frames, rows); len(mine) == 0 {
			_, err := tx.s.conn.ExecContext(ctx, "ROLLBACK")
			return err
		}
		handling := time.Now()
		var err error
		if outcomes, err = handle(ctx, tx, mine); err != nil {
			return fmt.Errorf("handle: %w", err)
		}
		l.metrics.stage(l.topic, "handle", handling)
		committing := time.Now()
		if j, err = l.commit(ctx, tx, mine, outcomes, dead); err != nil {
			return fmt.Errorf("commit: %w", err) // it may have happened: see sort
		}
		l.metrics.stage(l.topic, "commit", committing)
		return nil
	})
	if err != nil {
		l.doubt(frames)
		return err
	}
	if l.careful > 0 {
		l.careful--
	}
	if len(locked) > 0 {
		l.doubt(locked)
		l.giveBack(locked)
	}
	if len(applied) > 0 && l.recallUnheard(ctx, applied) != nil {
		return nil // the next owner announces these, and those behind them
	}
	if len(mine) == 0 {
		return nil
	}
	for p, end := range j.ends {
		part := l.in.parts[p]
		part.next, part.ours = end, true
		if dead == nil {
			part.dead = 0
		}
	}
	l.announce.wrote(j.saved)
	l.metrics.batch(l.topic, mine, outcomes)
	l.metrics.stage(l.topic, "transaction", started)
	_ = l.announce.add(ctx, j) // fails when the lane ends
	return nil
}

// doubt notes that another may hold the frames' partitions.
func (l *lane) doubt(frames []*Frame) {
	for _, f := range frames {
		l.in.parts[f.Partition].ours = false
	}
}

// open is what the handler wants to read first. Right after a takeover or a
// failure, when the owner before or a session that we have lost may still hold
// some of the partitions, nothing is read before it is known which are ours: the
// rest must not wait for those.
func (l *lane) open(frames []*Frame, dead *Frame) *Opening {
	o, ok := l.handler.(Opener)
	if !ok || dead != nil {
		return nil
	}
	for _, f := range frames {
		if !l.in.parts[f.Partition].ours {
			return nil
		}
	}
	return o.Open(frames)
}

// appliedRow is a partition's row in applied.
type appliedRow struct{ next, announced int64 }

// lock begins the transaction and locks the rows of the batch's partitions,
// but for those that another transaction holds: a holder that is frozen delays
// only its own partitions. What the handler asks for first, if anything, comes
// with the answer.
func (l *lane) lock(ctx context.Context, s *session, frames []*Frame, open *Opening) (map[int]appliedRow, error) {
	out := map[int]appliedRow{}
	args := []any{l.topic.Group()}
	for _, f := range frames {
		if _, ok := out[f.Partition]; !ok {
			out[f.Partition] = appliedRow{}
			args = append(args, f.Partition)
		}
	}
	clear(out)
	// By primary key; the rows exist since the takeover. For half of a topic's
	// partitions the optimizer would go through all of them, and another
	// worker would find its rows locked for a moment.
	text := startTransaction + "; " + statement{"SELECT `partition`, next_offset, announced FROM applied FORCE INDEX (PRIMARY)" +
		" WHERE topic = ? AND `partition` IN ({}) ORDER BY `partition` FOR UPDATE SKIP LOCKED", "?", len(args) - 1}.text()
	if open != nil {
		text += "; " + statement{open.Query, open.Item, open.N}.text()
		args = append(args, open.Args...)
	}
	rows, err := s.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("lock partitions: %w", err)
	}
	defer rows.Close()
	err = scanRows(rows, func(scan func(...any) error) error {
		var id int
		var r appliedRow
		err := scan(&id, &r.next, &r.announced)
		out[id] = r
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lock partitions: %w", err)
	}
	if open == nil {
		return out, nil
	}
	if !rows.NextResultSet() {
		return nil, fmt.Errorf("open: %w", cmp.Or(rows.Err(), errNoAnswer))
	}
	if err := scanRows(rows, open.Row); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return out, nil
}

// errNoAnswer means that a server answered fewer statements than it was sent.
var errNoAnswer = errors.New("MySQL left a statement unanswered")

// sort tells the frames that are ours to apply from those that have been
// applied but, as far as the rows tell, not announced, and from those whose row
// another transaction holds.
//
// Frames were applied by a commit of ours whose answer was lost, or by another
// owner. The latter may have committed after our takeover and died before it
// announced, so we do: twice is better than never.
func (l *lane) sort(frames []*Frame, rows map[int]appliedRow) (mine, applied, locked []*Frame) {
	mine = make([]*Frame, 0, len(frames))
	for _, f := range frames {
		p := l.in.parts[f.Partition]
		row, ok := rows[p.id]
		switch {
		case p.stopped.Load():
		case !ok:
			locked = append(locked, f)
		case f.Offset < row.next:
			p.next = max(p.next, f.Offset+1)
			if f.Offset >= row.announced {
				applied = append(applied, f)
			}
		case f.Offset > row.next && p.next > row.next:
			// The row moved back under us: a restored database.
			l.stop(p, fmt.Errorf("offset %d comes after %d: %w", f.Offset, row.next, ErrOtherTopic))
		default:
			// Offsets may skip (compaction, transactions' markers), forward only.
			mine = append(mine, f)
			row.next = f.Offset + 1
			rows[p.id] = row
		}
	}
	return mine, applied, locked
}

// commit advances the partitions, adds the journal row as the last statement, so
// that numbers are in the order of effects, and ends the transaction.
func (l *lane) commit(ctx context.Context, tx *Tx, frames []*Frame, outcomes []Outcome, dead *Frame) (*job, error) {
	j := &job{frames: frames, outcomes: outcomes, ends: endsOf(frames), saved: map[int]int64{}}
	index := map[int]int{}
	var ends []Applied
	var ranges []journal.Range
	for _, f := range frames {
		i, ok := index[f.Partition]
		if !ok {
			i = len(ends)
			index[f.Partition] = i
			upTo := l.announce.upTo(f.Partition)
			ends = append(ends, Applied{Partition: f.Partition, Announced: upTo})
			ranges = append(ranges, journal.Range{Partition: f.Partition, First: f.Offset})
			j.saved[f.Partition] = upTo
		}
		ends[i].Last, ranges[i].Last = f, f.Offset
	}
	Advance(tx, l.topic, ends)
	row := journal.Row{Topic: l.topic.Group(), Rules: Rules, Ranges: make([]byte, 0, 16*len(ranges))}
	for _, r := range ranges {
		row.AddRange(r)
	}
	for i, f := range frames {
		input := outcomes[i].JournalInput
		if input == nil && f.Envelope.Proof != nil && f.User == 0 {
			input = []byte(journal.Refused)
		}
		if input != nil {
			row.AddInput(journal.Place{Partition: f.Partition, Offset: f.Offset}, input)
		}
	}
	if dead != nil {
		row.AddDead(journal.Place{Partition: dead.Partition, Offset: dead.Offset})
	}
	var err error
	row.Number, err = tx.commit(ctx, "INSERT INTO journal (topic, rules, ranges, inputs, dead) VALUES (?,?,?,?,?)",
		row.Topic, row.Rules, []byte(row.Ranges), nullable(row.Inputs), nullable(row.Dead))
	if err != nil {
		return nil, err
	}
	if j.journal, err = json.Marshal(row); err != nil {
		return nil, fmt.Errorf("encode journal row: %w", err)
	}
	return j, nil
}

// Applied is how far a partition has taken effect.
type Applied struct {
	Partition int
	Announced int64
	Last      *Frame
}

// Advance writes how far partitions have taken effect. Announced never goes back.
func Advance(tx *Tx, topic protocol.Topic, parts []Applied) {
	Insert(tx, "INSERT INTO applied (topic, `partition`, next_offset, announced, last_hash) VALUES {}"+
		" ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset), announced = GREATEST(announced, VALUES(announced)), last_hash = VALUES(last_hash)",
		"(?,?,?,?,?)", parts, func(a []any, p Applied) []any {
			m := p.Last.message()
			hash := recordHash(&m)
			return append(a, topic.Group(), p.Partition, p.Last.Offset+1, p.Announced, hash[:])
		})
}

func nullable(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// endsOf is the next offset of each partition behind the frames.
func endsOf(frames []*Frame) map[int]int64 {
	ends := make(map[int]int64, 8)
	for _, f := range frames {
		ends[f.Partition] = f.Offset + 1
	}
	return ends
}
