package workers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
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

// session is a pinned connection with its prepared statements, kept by one
// lane. Not safe for concurrent use.
type session struct {
	conn  *sql.Conn
	stmts map[statement]*sql.Stmt
}

// statement is a query whose {} stands for n items; n is 0 where it has none.
type statement struct {
	query, item string
	n           int
}

// lockWait and idleWait bound how long a frozen worker holds its locks: MySQL
// ends a session that sends nothing for so long, which releases them.
const (
	lockWait = 2 * time.Second
	idleWait = 3 * time.Second
)

func openSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to MySQL: %w", err)
	}
	for _, set := range []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		fmt.Sprintf("SET SESSION wait_timeout = %d, innodb_lock_wait_timeout = %d", int(idleWait.Seconds()), int(lockWait.Seconds())),
		"SET SESSION in_predicate_conversion_threshold = 0", // MariaDB's alone
	} {
		var unknown *mysql.MySQLError
		if _, err := conn.ExecContext(ctx, set); err != nil && !(errors.As(err, &unknown) && unknown.Number == errUnknownVar) {
			conn.Close()
			return nil, fmt.Errorf("%s: %w", set, err)
		}
	}
	return &session{conn: conn, stmts: map[statement]*sql.Stmt{}}, nil
}

// discard closes the connection itself, not only hands it back: whatever
// transaction it may hold ends.
func (s *session) discard(log *slog.Logger) {
	_ = s.conn.Raw(func(any) error { return errBroken })
	if err := s.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		log.Debug("close MySQL session", "error", err)
	}
}

func (s *session) prepared(ctx context.Context, what statement) (*sql.Stmt, error) {
	if st := s.stmts[what]; st != nil {
		return st, nil
	}
	query := what.query
	if what.n > 0 {
		query = strings.Replace(query, "{}", repeat(what.item, what.n), 1)
	}
	st, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare %.80q: %w", query, err)
	}
	s.stmts[what] = st
	return st, nil
}

// Tx is the batch's transaction, as handlers see it. Statements are prepared
// once a session; lists are padded to powers of two so that there are few.
type Tx struct {
	s *session

	// Careful is set when the transaction repeats one that met a duplicate
	// key: look for repeats first instead of trusting that there are none.
	Careful bool
}

// Exec runs a statement.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.exec(ctx, statement{query: query}, args)
}

func (t *Tx) exec(ctx context.Context, what statement, args []any) (sql.Result, error) {
	st, err := t.s.prepared(ctx, what)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

// Query runs a query and calls row for each of its rows.
func (t *Tx) Query(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	return t.query(ctx, statement{query: query}, args, row)
}

func (t *Tx) query(ctx context.Context, what statement, args []any, row func(scan func(...any) error) error) error {
	st, err := t.s.prepared(ctx, what)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
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

// Insert runs a statement for rows: {} in the query becomes as many
// placeholder groups as fit, in powers of two.
func Insert[K any](ctx context.Context, t *Tx, query, item string, list []K, args func([]any, K) []any) error {
	a := make([]any, 0, 8*min(len(list), maxList))
	for len(list) > 0 {
		n := 1
		for n*2 <= len(list) && n < maxList {
			n *= 2
		}
		a = a[:0]
		for _, k := range list[:n] {
			a = args(a, k)
		}
		list = list[n:]
		if _, err := t.exec(ctx, statement{query, item, n}, a); err != nil {
			return err
		}
	}
	return nil
}

func repeat(item string, n int) string {
	return strings.TrimSuffix(strings.Repeat(item+",", n), ",")
}

// Transact runs work in a transaction of its own, with the session settings of
// a worker, outside any runtime: for replays and tests.
func Transact(ctx context.Context, db *sql.DB, isCareful bool, work func(tx *Tx) error) (err error) {
	s, err := openSession(ctx, db)
	if err != nil {
		return err
	}
	defer func() {
		for _, st := range s.stmts {
			st.Close()
		}
		err = errors.Join(err, s.conn.Close())
	}()
	if _, err := s.conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	if err := work(&Tx{s: s, Careful: isCareful}); err != nil {
		_, rollback := s.conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, rollback)
	}
	_, err = s.conn.ExecContext(ctx, "COMMIT")
	return err
}
