package replay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sponge/pkg/journal"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers"
)

// VerifyOptions are what Verify needs. Options' DSN is the scratch schema; Until
// and Arrival are not used.
type VerifyOptions struct {
	Options
	Production string // DSN of production, a replica, or a restored backup
	Keep       bool   // leave the scratch schema as it is
	Older      bool   // production is a replica or a backup: what was published behind it is no finding
	Show       int    // differences that are shown, with the frames that made them; all are counted
}

// Finding is something that is not as it should be.
type Finding struct {
	Difference *Difference // nil where it is no row of an audited table
	Frames     []Frame     // that made the row, or should have; the last few
	Text       string      // says what is wrong, in a sentence
}

// Verdict is what Verify found.
type Verdict struct {
	Result
	Compared  int64 // rows of audited tables
	Wrong     int64 // differing rows, and other findings
	Findings  []Finding
	Published int64 // journal rows that sponge.journal has, too
	Pending   int64 // journal rows that sponge.journal need not have yet
	Later     int64 // rows in sponge.journal that are later than a replica or backup
}

// Verify takes the journal and the rows of production from one snapshot, replays
// what that journal covers into the scratch schema, and compares every audited
// row. The journal itself must leave out nothing, and agree with what workers
// published of it to sponge.journal. Production may go on meanwhile. The error says
// why nothing can be said; findings are in the verdict.
func Verify(ctx context.Context, o VerifyOptions) (v Verdict, err error) {
	begun := time.Now()
	t, err := openTarget(ctx, &o.Options)
	if t != nil && !o.Keep {
		defer func() {
			if err := t.remove(); err != nil {
				o.Logger.Warn("remove the scratch database", "error", err)
			}
		}()
	}
	if err != nil {
		return v, err
	}
	defer t.close()
	// What is published now was committed before: the snapshot must have it. What
	// the snapshot says was published, is there when it has been taken.
	before, err := o.Log.Bounds(ctx, protocol.TopicJournal)
	if err != nil {
		return v, err
	}
	snap, err := openSnapshot(ctx, o.Production)
	if err != nil {
		return v, err
	}
	defer snap.close()
	if err := snap.copyJournal(ctx, t); err != nil {
		return v, err
	}
	published, err := o.Log.Bounds(ctx, protocol.TopicJournal)
	if err != nil {
		return v, err
	}
	check := &verifier{VerifyOptions: &o, target: t, snap: snap, verdict: &v}
	if err := check.published(ctx, published, before); err != nil {
		return v, err
	}
	if v.Result, err = t.replay(ctx, 0); err != nil {
		var order *OrderError
		if !errors.As(err, &order) {
			return v, err
		}
		check.find(Finding{Text: err.Error()})
		v.Seconds = time.Since(begun).Seconds()
		return v, nil // what comes behind it cannot be replayed
	}
	if v.Lacking > 0 {
		check.find(Finding{Text: fmt.Sprintf("the journal tells of %d offsets that the log has no record for: topics are never compacted", v.Lacking)})
	}
	if v.Rows == 0 && v.Behind > 0 {
		check.find(Finding{Text: fmt.Sprintf("production's journal is empty, and the log has %d records", v.Behind)})
	}
	if err := check.applied(ctx); err != nil {
		return v, err
	}
	if err := check.rows(ctx); err != nil {
		return v, err
	}
	if err := check.frames(ctx); err != nil {
		return v, err
	}
	v.Seconds = time.Since(begun).Seconds()
	return v, nil
}

// verifier gathers what is found.
type verifier struct {
	*VerifyOptions
	target  *target
	snap    *snapshot
	verdict *Verdict
}

func (c *verifier) find(f Finding) {
	c.verdict.Wrong++
	if len(c.verdict.Findings) < c.Show {
		c.verdict.Findings = append(c.verdict.Findings, f)
	}
}

// snapshot is production at one moment.
type snapshot struct {
	db   *sql.DB
	conn *sql.Conn
}

func openSnapshot(ctx context.Context, dsn string) (*snapshot, error) {
	dsn, err := patient(dsn)
	if err != nil {
		return nil, err
	}
	db, err := workers.OpenDB(dsn)
	if err != nil {
		return nil, err
	}
	s := &snapshot{db: db}
	if s.conn, err = db.Conn(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to production: %w", err), db.Close())
	}
	for _, query := range []string{
		// A reader that replays between two rows must not be cut off.
		"SET SESSION wait_timeout = 604800, net_write_timeout = 3600",
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
		"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
	} {
		if _, err := s.conn.ExecContext(ctx, query); err != nil {
			s.close()
			return nil, fmt.Errorf("snapshot of production: %s: %w", query, err)
		}
	}
	return s, nil
}

func (s *snapshot) close() {
	_ = s.conn.Close()
	_ = s.db.Close()
}

// copyJournal copies the snapshot's journal into the scratch schema.
func (s *snapshot) copyJournal(ctx context.Context, t *target) error {
	rows, err := s.conn.QueryContext(ctx, "SELECT number, topic, rules, ranges, inputs, dead FROM journal ORDER BY number")
	if err != nil {
		return fmt.Errorf("production's journal: %w", err)
	}
	defer rows.Close()
	var page []journal.Row
	for rows.Next() {
		row, err := scanRow(rows.Scan)
		if err != nil {
			return fmt.Errorf("production's journal: %w", err)
		}
		if page = append(page, row); len(page) == loadRows {
			if err := t.load(ctx, page); err != nil {
				return err
			}
			page = page[:0]
			t.report("copy journal", t.rows, 0)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("production's journal: %w", err)
	}
	return t.load(ctx, page)
}

// published compares the journal with sponge.journal, both ways. A row may be
// missing there while it covers records that do not count as announced yet, and
// none behind it is there: whoever owns their partition next publishes it before
// it announces them. What was published before the snapshot must be in it.
func (c *verifier) published(ctx context.Context, bounds, before map[int]queue.Bounds) error {
	applied, err := c.snap.applied(ctx)
	if err != nil {
		return err
	}
	p := &publication{verifier: c, applied: applied, before: before, seen: bitmap{}}
	err = c.target.eachTopicRow(ctx, bounds, func(row journal.Row, partition int, offset int64) error {
		p.page = append(p.page, row)
		p.early = append(p.early, offset < before[partition].Next)
		if len(p.page) < loadRows {
			return nil
		}
		return p.look(ctx)
	})
	if err == nil {
		err = p.look(ctx)
	}
	if err != nil {
		return err
	}
	waiting := map[place]int64{} // rows that need not be published yet
	return c.target.eachRow(ctx, 0, func(row journal.Row) error {
		batch, err := row.Batch()
		if err != nil {
			return err
		}
		if p.seen.has(row.Number) {
			c.verdict.Published++
			for _, r := range batch.Ranges {
				if n, ok := waiting[place{row.Topic, r.Partition}]; ok {
					delete(waiting, place{row.Topic, r.Partition})
					c.find(Finding{Text: fmt.Sprintf("journal row %d was never published, and row %d behind it in %s/%d was", n, row.Number, row.Topic, r.Partition)})
				}
			}
			return nil
		}
		for _, r := range batch.Ranges {
			if r.Last < applied[place{row.Topic, r.Partition}].announced {
				c.find(Finding{Text: fmt.Sprintf("journal row %d (%s %s) is in production's journal, and was never published", row.Number, row.Topic, row.Ranges)})
				return nil
			}
		}
		c.verdict.Pending++
		for _, r := range batch.Ranges {
			waiting[place{row.Topic, r.Partition}] = row.Number
		}
		return nil
	})
}

// publication is what is known of sponge.journal.
type publication struct {
	*verifier
	applied map[place]appliedRow
	before  map[int]queue.Bounds
	seen    bitmap
	page    []journal.Row
	early   []bool // which of them were published before the snapshot
}

// look compares a page of published rows with the snapshot's.
func (p *publication) look(ctx context.Context) error {
	have, err := p.target.known(ctx, p.page)
	if err != nil {
		return err
	}
	for i, row := range p.page {
		mine, ok := have[row.Number]
		switch {
		case !ok && !p.early[i]:
		case !ok && p.Older && p.isLater(&row):
			p.verdict.Later++
		case !ok:
			p.find(Finding{Text: fmt.Sprintf("journal row %d (%s %s) was published, and is not in production's journal", row.Number, row.Topic, row.Ranges)})
		case !sameRow(&mine, &row):
			p.find(Finding{Text: fmt.Sprintf("journal row %d is %s %s in production, and was published as %s %s", row.Number, mine.Topic, mine.Ranges, row.Topic, row.Ranges)})
		}
		if ok {
			p.seen.set(row.Number)
		}
	}
	p.page, p.early = p.page[:0], p.early[:0]
	return nil
}

// isLater reports whether all that a row covers lies behind the snapshot.
func (p *publication) isLater(row *journal.Row) bool {
	batch, err := row.Batch()
	if err != nil {
		return false
	}
	for _, r := range batch.Ranges {
		if r.First < p.applied[place{row.Topic, r.Partition}].next {
			return false
		}
	}
	return true
}

// place is a partition of a handler group's topic.
type place struct {
	group     string
	partition int
}

type appliedRow struct {
	next, announced int64
	hash            string
}

func (s *snapshot) applied(ctx context.Context) (map[place]appliedRow, error) {
	return readApplied(ctx, s.conn)
}

func readApplied(ctx context.Context, db querier) (map[place]appliedRow, error) {
	rows, err := db.QueryContext(ctx, "SELECT topic, `partition`, next_offset, announced, last_hash FROM applied")
	if err != nil {
		return nil, fmt.Errorf("read applied: %w", err)
	}
	defer rows.Close()
	out := map[place]appliedRow{}
	for rows.Next() {
		var p place
		var r appliedRow
		var hash []byte
		if err := rows.Scan(&p.group, &p.partition, &r.next, &r.announced, &hash); err != nil {
			return nil, fmt.Errorf("read applied: %w", err)
		}
		r.hash = fmt.Sprintf("%x", hash)
		if r.next > 0 {
			out[p] = r
		}
	}
	return out, rows.Err()
}

// applied compares how far each partition has taken effect, and the record that
// was its last: the topic must be the one that production applied.
func (c *verifier) applied(ctx context.Context) error {
	found, err := c.snap.applied(ctx)
	if err != nil {
		return err
	}
	made, err := readApplied(ctx, c.target.db)
	if err != nil {
		return err
	}
	for p := range made {
		if _, ok := found[p]; !ok {
			found[p] = appliedRow{}
		}
	}
	for p, f := range found {
		switch m := made[p]; {
		case f.next != m.next:
			c.find(Finding{Text: fmt.Sprintf("sponge.%s/%d has taken effect up to offset %d, and the journal tells of offsets up to %d", p.group, p.partition, f.next-1, m.next-1)})
		case f.hash != m.hash:
			c.find(Finding{Text: fmt.Sprintf("sponge.%s/%d: the record at offset %d is not the one that took effect", p.group, p.partition, f.next-1)})
		}
	}
	return nil
}

// rows compares the audited tables.
func (c *verifier) rows(ctx context.Context) error {
	for _, t := range tables() {
		if c.Key == nil {
			t = t.without("verifier")
		}
		before := c.verdict.Compared
		n, err := compare(ctx, c.snap.conn, c.target.db, t, func(d Difference) error {
			c.find(Finding{Difference: &d, Text: d.String()})
			return nil
		}, func(n int64) { c.report("compare "+t.name, before+n, 0) })
		if err != nil {
			return err
		}
		c.verdict.Compared += n
	}
	return nil
}

// bitmap is a set of numbers, a bit each.
type bitmap map[int64]*[1024]uint64

const bitmapPage = 1024 * 64

func (b bitmap) set(n int64) {
	page := b[n/bitmapPage]
	if page == nil {
		page = new([1024]uint64)
		b[n/bitmapPage] = page
	}
	page[n%bitmapPage/64] |= 1 << (n % 64)
}

func (b bitmap) has(n int64) bool {
	page := b[n/bitmapPage]
	return page != nil && page[n%bitmapPage/64]&(1<<(n%64)) != 0
}
