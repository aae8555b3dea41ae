package workers

import (
	"context"
	"database/sql"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// MySQL's error numbers that the runtime tells apart.
const (
	errDuplicate   = 1062
	errNotNull     = 1048
	errOutOfRange  = 1264
	errIncorrect   = 1366
	errBadDate     = 1292
	errTooLong     = 1406
	errUnknownVar  = 1193
	errLockTimeout = 1205
	errDeadlock    = 1213
)

// maxList bounds a list in one statement. From 1,000 values on MariaDB turns
// an IN list into a derived table, and may scan a whole index under FOR UPDATE.
const maxList = 128

// maxRows bounds the rows of one INSERT.
const maxRows = 256

// Tx is the batch's transaction, as handlers see it. Reads are statements that
// are prepared once a session; their lists are padded to powers of two so that
// there are few. Writes wait, and go together: a round trip costs as much as
// many rows. Not safe for concurrent use.
type Tx struct {
	s      *session
	writes []write // that wait, in order

	// Found is what the handler's Opening found; nil where there was none.
	Found any

	// Replaying is set where nobody waits for answers: what only they need may be
	// left out.
	Replaying bool

	// Careful is set when the transaction repeats one that met a duplicate
	// key: look for repeats first instead of trusting that there are none.
	Careful bool
}

// write is a statement whose answer nobody waits for.
type write struct {
	query, item string // {} in the query stands for an item a row
	rows        int    // 0: there is no {}
	args        []any
}

// Write adds a statement that changes rows. It is sent before the next read,
// or with the commit; where it fails, the batch does.
func (t *Tx) Write(query string, args ...any) {
	t.writes = append(t.writes, write{query: query, args: args})
}

// Insert is Write for a list: {} in the query becomes item ("(?,?)") for each
// of its rows. An empty one writes nothing.
func Insert[K any](t *Tx, query, item string, list []K, args func([]any, K) []any) {
	if len(list) == 0 {
		return
	}
	a := make([]any, 0, len(list)*strings.Count(item, "?"))
	for _, k := range list {
		a = args(a, k)
	}
	t.writes = append(t.writes, write{query, item, len(list), a})
}

// Query runs a query and calls row for each of its rows.
func (t *Tx) Query(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	return t.query(ctx, statement{query: query}, args, row)
}

func (t *Tx) query(ctx context.Context, what statement, args []any, row func(scan func(...any) error) error) error {
	if err := t.flush(ctx); err != nil {
		return err
	}
	st, err := t.s.prepared(ctx, what)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	return scanAll(rows, row)
}

func scanAll(rows *sql.Rows, row func(scan func(...any) error) error) error {
	defer rows.Close()
	return scanRows(rows, row)
}

// scanRows reads the result that rows is at.
func scanRows(rows *sql.Rows, row func(scan func(...any) error) error) error {
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Get runs a query that gives one row at most.
func (t *Tx) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	err = t.Query(ctx, query, args, func(scan func(...any) error) error {
		found = true
		return scan(dest...)
	})
	return found, err
}

// In runs a query for each piece of a list of keys: {} in the query becomes as
// many item placeholders ("?" or "(?,?)") as the piece has, padded with its
// last key. before are the arguments left of the list.
func In[K any](ctx context.Context, t *Tx, query, item string, before []any, list []K, args func([]any, K) []any,
	row func(scan func(...any) error) error) error {
	for len(list) > 0 {
		piece := list[:min(len(list), maxList)]
		list = list[len(piece):]
		n := 1
		for n < len(piece) {
			n *= 2
		}
		a := slices.Clone(before)
		for i := range n {
			a = args(a, piece[min(i, len(piece)-1)])
		}
		if err := t.query(ctx, statement{query, item, n}, a, row); err != nil {
			return err
		}
	}
	return nil
}

// One is the argument of an In list of plain values.
func One[K any](a []any, k K) []any { return append(a, k) }

// textArgs is how many values statements may have to be sent as text, all in
// one round trip; beyond it, prepared statements cost less than their trips.
const textArgs = 400

// textBytes bounds what these values have in all: text is at most about twice
// as long, and must stay below max_allowed_packet.
const textBytes = 1 << 20

// flush sends the writes that wait.
func (t *Tx) flush(ctx context.Context) error {
	if len(t.writes) == 0 {
		return nil
	}
	text, args, err := t.sendLarge(ctx)
	if err != nil || text == "" {
		return err
	}
	_, err = t.s.conn.ExecContext(ctx, text, args...)
	return err
}

// commit sends what waits, then last, which makes a row with a number of its
// own, and ends the transaction. It returns the number. After an error nobody
// knows whether the transaction took effect.
func (t *Tx) commit(ctx context.Context, last string, args ...any) (number int64, err error) {
	text, before, err := t.sendLarge(ctx)
	if err != nil {
		return 0, err
	}
	rows, err := t.s.conn.QueryContext(ctx, text+last+"; SELECT LAST_INSERT_ID(); COMMIT", append(before, args...)...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&number); err != nil {
			return 0, err
		}
	}
	for rows.NextResultSet() { // COMMIT has none: this is where its error shows
	}
	return number, rows.Err()
}

// sendLarge sends the writes that wait but for the last few, whose text and
// values it returns.
func (t *Tx) sendLarge(ctx context.Context) (text string, args []any, err error) {
	first, values, bytes := len(t.writes), 0, 0
	for first > 0 {
		w := &t.writes[first-1]
		values += len(w.args)
		if bytes += w.bytes(); values > textArgs || bytes > textBytes {
			break
		}
		first--
	}
	for _, w := range t.writes[:first] {
		if err := t.send(ctx, w); err != nil {
			return "", nil, err
		}
	}
	var b strings.Builder
	for _, w := range t.writes[first:] {
		b.WriteString(statement{w.query, w.item, w.rows}.text())
		b.WriteString("; ")
		args = append(args, w.args...)
	}
	clear(t.writes)
	t.writes = t.writes[:0]
	return b.String(), args, nil
}

// bytes is how many the write's strings have.
func (w *write) bytes() (n int) {
	for _, a := range w.args {
		switch a := a.(type) {
		case []byte:
			n += len(a)
		case string:
			n += len(a)
		}
	}
	return n
}

// send runs a write as prepared statements, its rows in powers of two.
func (t *Tx) send(ctx context.Context, w write) error {
	each := len(w.args) / max(1, w.rows)
	for left := w.rows; ; {
		n := min(left, maxRows)
		if n > 0 {
			n = 1 << (bits.Len(uint(n)) - 1)
		}
		st, err := t.s.prepared(ctx, statement{w.query, w.item, n})
		if err != nil {
			return err
		}
		count := each * max(1, n)
		if _, err := st.ExecContext(ctx, w.args[:count]...); err != nil {
			return fmt.Errorf("%.40q: %w", w.query, err)
		}
		w.args = w.args[count:]
		if left -= n; left <= 0 {
			return nil
		}
	}
}

func repeat(item string, n int) string {
	return strings.TrimSuffix(strings.Repeat(item+",", n), ",")
}

// rollbackTime bounds a ROLLBACK; the driver closes the connection then.
const rollbackTime = 5 * time.Second
