package workers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

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

func (what statement) text() string {
	if what.n == 0 {
		return what.query
	}
	return strings.Replace(what.query, "{}", repeat(what.item, what.n), 1)
}

// lockWait and idleWait bound how long a frozen worker holds its locks: MySQL
// ends a session that sends nothing for so long, also in the middle of a
// statement or its answer, which releases them.
const (
	lockWait = 2 * time.Second
	idleWait = 3 * time.Second
)

// bounded is a context that nothing can wait for: no statement begins behind
// its end, and statementTime bounds the silence of one that has begun. A context that
// can be waited for costs two goroutines' turns for each statement, in
// database/sql and in the driver.
type bounded struct {
	context.Context
	until time.Time
}

// statementTime bounds the wait for each part of MySQL's answer, and for it to
// take a statement. Below txTime a batch that is too large would never be known
// as such.
const statementTime = txTime

// Deadline implements context.Context.
func (b bounded) Deadline() (time.Time, bool) { return b.until, true }

// Err implements context.Context.
func (b bounded) Err() error {
	if time.Now().After(b.until) {
		return context.DeadlineExceeded
	}
	return nil
}

func openSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to MySQL: %w", err)
	}
	for _, set := range []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		fmt.Sprintf("SET SESSION wait_timeout = %d, net_read_timeout = %[1]d, net_write_timeout = %[1]d, innodb_lock_wait_timeout = %d",
			int(idleWait.Seconds()), int(lockWait.Seconds())),
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
	query := what.text()
	st, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare %.80q: %w", query, err)
	}
	s.stmts[what] = st
	return st, nil
}
