package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// begin begins a transaction, on a new session where there is none, or where
// the old one has ended since: MySQL ends one that is silent for idleWait,
// which a batch of passwords can take to prepare.
func (l *lane) begin(ctx context.Context) error {
	for fresh := l.session == nil; ; fresh = true {
		if l.session == nil {
			s, err := openSession(ctx, l.db)
			if err != nil {
				return err
			}
			l.session = s
		}
		_, err := l.session.conn.ExecContext(ctx, "START TRANSACTION")
		if err == nil {
			return nil
		}
		if l.endSession(); fresh {
			return err
		}
	}
}

// transact runs work in a transaction on the lane's session and ends it with
// end. Whatever fails leaves no transaction open.
func (l *lane) transact(ctx context.Context, work, end func(context.Context, *Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), txTime)
	defer cancel()
	if err := l.begin(ctx); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	tx := &Tx{s: l.session, Careful: l.careful > 0}
	if err := work(ctx, tx); err != nil {
		if _, rb := l.session.conn.ExecContext(ctx, "ROLLBACK"); rb != nil {
			l.endSession()
		}
		return err
	}
	if err := end(ctx, tx); err != nil {
		l.endSession()
		return err
	}
	return nil
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
	err := l.transact(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		if mine, applied, locked, err = l.lock(ctx, tx, frames); err != nil || len(mine) == 0 {
			return err
		}
		l.metrics.stage(l.topic, "lock", started)
		handling := time.Now()
		if outcomes, err = handle(ctx, tx, mine); err != nil {
			return fmt.Errorf("handle: %w", err)
		}
		l.metrics.stage(l.topic, "handle", handling)
		if j, err = l.record(ctx, tx, mine, outcomes, dead); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		return nil
	}, func(ctx context.Context, tx *Tx) error {
		if len(mine) == 0 {
			_, err := tx.s.conn.ExecContext(ctx, "ROLLBACK")
			return err
		}
		committing := time.Now()
		_, err := tx.s.conn.ExecContext(ctx, "COMMIT")
		if err != nil {
			return fmt.Errorf("commit: %w", err) // it may have happened: see lock
		}
		l.metrics.stage(l.topic, "commit", committing)
		return nil
	})
	if err != nil {
		return err
	}
	if l.careful > 0 {
		l.careful--
	}
	if len(locked) > 0 {
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
		part.next = end
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

// lock locks the rows of the batch's partitions and sorts its frames into
// those that are ours to apply, those that have been applied but, as far as
// the rows tell, not announced, and those whose row another transaction holds.
// A holder that is frozen delays only its own partitions.
//
// Frames were applied by a commit of ours whose answer was lost, or by another
// owner. The latter may have committed after our takeover and died before it
// announced, so we do: twice is better than never.
func (l *lane) lock(ctx context.Context, tx *Tx, frames []*Frame) (mine, applied, locked []*Frame, err error) {
	var ids []int
	seen := map[int]bool{}
	for _, f := range frames {
		if !seen[f.Partition] {
			seen[f.Partition] = true
			ids = append(ids, f.Partition)
		}
	}
	next, announced := make(map[int]int64, len(ids)), make(map[int]int64, len(ids))
	// By primary key; the rows exist since the takeover. For half of a topic's
	// partitions the optimizer would go through all of them, and another
	// worker would find its rows locked for a moment.
	err = In(ctx, tx, "SELECT `partition`, next_offset, announced FROM applied FORCE INDEX (PRIMARY) WHERE topic = ? AND `partition` IN ({}) ORDER BY `partition` FOR UPDATE SKIP LOCKED",
		"?", []any{l.topic.Group()}, ids, One, func(scan func(...any) error) error {
			var id int
			var offset, told int64
			if err := scan(&id, &offset, &told); err != nil {
				return err
			}
			next[id], announced[id] = offset, told
			return nil
		})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("lock partitions: %w", err)
	}
	if len(next) == len(ids) {
		mine = make([]*Frame, 0, len(frames))
	}
	for _, f := range frames {
		p := l.in.parts[f.Partition]
		at, ok := next[p.id]
		switch {
		case p.stopped.Load():
		case !ok:
			locked = append(locked, f)
		case f.Offset < at:
			p.next = max(p.next, f.Offset+1)
			if f.Offset >= announced[p.id] {
				applied = append(applied, f)
			}
		case f.Offset > at && p.next > at:
			// The row moved back under us: a restored database.
			l.stop(p, fmt.Errorf("offset %d comes after %d: %w", f.Offset, at, ErrOtherTopic))
		default:
			// Offsets may skip (compaction, transactions' markers), forward only.
			mine = append(mine, f)
			next[p.id] = f.Offset + 1
		}
	}
	return mine, applied, locked, nil
}

// record advances the partitions and adds the journal row, the last statement
// of the transaction: so the numbers are in the order of the effects.
func (l *lane) record(ctx context.Context, tx *Tx, frames []*Frame, outcomes []Outcome, dead *Frame) (*job, error) {
	j := &job{frames: frames, outcomes: outcomes, ends: endsOf(frames), saved: map[int]int64{}}
	type advance struct {
		part  int
		first int64
		last  *Frame
	}
	index := map[int]int{}
	var parts []advance
	for _, f := range frames {
		i, ok := index[f.Partition]
		if !ok {
			i = len(parts)
			index[f.Partition] = i
			parts = append(parts, advance{part: f.Partition, first: f.Offset})
			j.saved[f.Partition] = l.announce.upTo(f.Partition)
		}
		parts[i].last = f
	}
	err := Insert(ctx, tx, "INSERT INTO applied (topic, `partition`, next_offset, announced, last_hash) VALUES {}"+
		" ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset), announced = GREATEST(announced, VALUES(announced)), last_hash = VALUES(last_hash)",
		"(?,?,?,?,?)", parts, func(a []any, p advance) []any {
			m := p.last.message()
			hash := recordHash(&m)
			return append(a, l.topic.Group(), p.part, p.last.Offset+1, j.saved[p.part], hash[:])
		})
	if err != nil {
		return nil, err
	}
	row := journalRow{Topic: l.topic.Group(), Rules: Rules, Ranges: make([]byte, 0, 16*len(parts))}
	for _, p := range parts {
		row.Ranges = appendTriple(row.Ranges, p.part, p.first, strconv.AppendInt(nil, p.last.Offset, 10))
	}
	row.Ranges = append(row.Ranges, ']')
	for i, f := range frames {
		input := outcomes[i].JournalInput
		if input == nil && f.Envelope.Proof != nil && f.User == 0 {
			input = []byte(`{"proof":"refused"}`)
		}
		if input != nil {
			row.Inputs = appendTriple(row.Inputs, f.Partition, f.Offset, input)
		}
	}
	if row.Inputs != nil {
		row.Inputs = append(row.Inputs, ']')
	}
	if dead != nil {
		row.Dead = fmt.Appendf(nil, "[[%d,%d]]", dead.Partition, dead.Offset)
	}
	res, err := tx.Exec(ctx, "INSERT INTO journal (topic, rules, ranges, inputs, dead) VALUES (?,?,?,?,?)",
		row.Topic, row.Rules, []byte(row.Ranges), nullable(row.Inputs), nullable(row.Dead))
	if err != nil {
		return nil, err
	}
	if row.Number, err = res.LastInsertId(); err != nil {
		return nil, err
	}
	if j.journal, err = json.Marshal(row); err != nil {
		return nil, fmt.Errorf("encode journal row: %w", err)
	}
	return j, nil
}

// journalRow is a row of journal as sponge.journal carries it.
type journalRow struct {
	Number int64           `json:"number"`
	Topic  string          `json:"topic"`
	Rules  int             `json:"rules"`
	Ranges json.RawMessage `json:"ranges"`
	Inputs json.RawMessage `json:"inputs,omitempty"`
	Dead   json.RawMessage `json:"dead,omitempty"`
}

// appendTriple appends [part,offset,value] to a list that lacks its closing
// bracket.
func appendTriple(dst []byte, part int, offset int64, value []byte) []byte {
	if len(dst) == 0 {
		dst = append(dst, '[')
	} else {
		dst = append(dst, ',')
	}
	dst = strconv.AppendInt(append(dst, '['), int64(part), 10)
	dst = strconv.AppendInt(append(dst, ','), offset, 10)
	dst = append(append(dst, ','), value...)
	return append(dst, ']')
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
