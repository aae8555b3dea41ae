package replay

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// table is an audited table: what a replay must give again.
type table struct {
	name string
	key  []string // its primary key, all numbers but that of sequences
	cols []string
}

// tables are all audited tables, in an order in which a difference explains those
// that follow from it.
func tables() []table {
	return []table{
		{"sequences", []string{"name"}, []string{"last_id"}},
		{"users", []string{"id"}, []string{"name", "created_at", "verifier"}},
		{"groups", []string{"id"}, []string{"name", "description", "creator_id", "created_at"}},
		{"members", []string{"group_id", "user_id"}, []string{"joined_seq", "joined_at"}},
		{"friends", []string{"user_id", "friend_id"}, []string{"created_at"}},
		{"conversations", []string{"a", "b"}, []string{"last_seq"}},
		{"messages", []string{"a", "b", "seq"}, []string{"frame_id", "sender_id", "sent_at", "content_hash", "body"}},
		{"cursors", []string{"user_id", "a", "b"}, []string{"delivered", "read"}},
	}
}

// without leaves a column out of the comparison.
func (t table) without(column string) table {
	t.cols = slices.DeleteFunc(slices.Clone(t.cols), func(c string) bool { return c == column })
	return t
}

// query selects the whole table along its primary key.
func (t table) query() string {
	quote := func(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }
	return "SELECT " + quote(slices.Concat(t.key, t.cols)) + " FROM `" + t.name + "` ORDER BY " + quote(t.key)
}

// Difference is a row that is not what the log makes of it.
type Difference struct {
	Table   string
	Key     []string // the primary key's columns, and
	At      []string // their values
	Columns []string
	Found   []string // values in production; nil: the row is not there
	Made    []string // values that the log gives; nil: it makes no such row
}

func (d *Difference) value(column string) string {
	if i := slices.Index(d.Key, column); i >= 0 {
		return d.At[i]
	}
	i := slices.Index(d.Columns, column)
	switch {
	case i < 0:
		return ""
	case d.Found != nil:
		return d.Found[i]
	}
	return d.Made[i]
}

func (d *Difference) number(column string) int64 {
	n, _ := strconv.ParseInt(d.value(column), 10, 64)
	return n
}

// fill sets the key's values, and those of one side.
func (d *Difference) fill(row []sql.RawBytes, side *[]string) {
	d.At, *side = texts(row[:len(d.Key)]), texts(row[len(d.Key):])
}

// querier is a connection or a pool.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// compare goes through a table of two schemas side by side. each is called for
// every difference; done, now and then, with the number of rows compared.
func compare(ctx context.Context, found, made querier, t table, each func(Difference) error, done func(int64)) (rows int64, err error) {
	a, err := openSide(ctx, found, t)
	if err != nil {
		return 0, fmt.Errorf("production's table %s: %w", t.name, err)
	}
	defer a.close()
	b, err := openSide(ctx, made, t)
	if err != nil {
		return 0, fmt.Errorf("replayed table %s: %w", t.name, err)
	}
	defer b.close()
	for a.more || b.more {
		order := 0
		switch {
		case !b.more:
			order = -1
		case !a.more:
			order = 1
		default:
			order = t.compareKeys(a.row, b.row)
		}
		if order != 0 || !same(a.row, b.row) {
			d := Difference{Table: t.name, Key: t.key, Columns: t.cols}
			if order <= 0 {
				d.fill(a.row, &d.Found)
			}
			if order >= 0 {
				d.fill(b.row, &d.Made)
			}
			if err := each(d); err != nil {
				return rows, err
			}
		}
		if rows++; rows%10_000 == 0 {
			done(rows)
		}
		if order <= 0 {
			if err := a.next(); err != nil {
				return rows, fmt.Errorf("production's table %s: %w", t.name, err)
			}
		}
		if order >= 0 {
			if err := b.next(); err != nil {
				return rows, fmt.Errorf("replayed table %s: %w", t.name, err)
			}
		}
	}
	return rows, nil
}

// compareKeys orders two rows as the primary key does.
func (t table) compareKeys(x, y []sql.RawBytes) int {
	for i := range t.key {
		a, aerr := strconv.ParseInt(string(x[i]), 10, 64)
		b, berr := strconv.ParseInt(string(y[i]), 10, 64)
		switch {
		case aerr != nil || berr != nil:
			if c := bytes.Compare(x[i], y[i]); c != 0 {
				return c
			}
		case a < b:
			return -1
		case a > b:
			return 1
		}
	}
	return 0
}

func same(x, y []sql.RawBytes) bool {
	for i := range x {
		if !bytes.Equal(x[i], y[i]) || (x[i] == nil) != (y[i] == nil) {
			return false
		}
	}
	return true
}

func texts(values []sql.RawBytes) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// side is one schema's rows of a table, read as they come.
type side struct {
	rows *sql.Rows
	row  []sql.RawBytes
	into []any
	more bool
}

func openSide(ctx context.Context, db querier, t table) (*side, error) {
	rows, err := db.QueryContext(ctx, t.query())
	if err != nil {
		return nil, err
	}
	n := len(t.key) + len(t.cols)
	s := &side{rows: rows, row: make([]sql.RawBytes, n), into: make([]any, n)}
	for i := range s.row {
		s.into[i] = &s.row[i]
	}
	if err := s.next(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *side) next() error {
	if s.more = s.rows.Next(); !s.more {
		return s.rows.Err()
	}
	return s.rows.Scan(s.into...)
}

func (s *side) close() { _ = s.rows.Close() }
