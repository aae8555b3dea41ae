package floor

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

const (
	mostRows  = 500       // of one transaction: a worker's default
	mostAhead = 4 << 10   // records that wait for their transaction; then no more are fetched
	firstRow  = 1 << 41   // of the items of Carry: their frame ids are not those of records
	removed   = 5000      // rows that one transaction removes
	lastUser  = 2 * pairs // ids that the pairs take, from firstUser on
)

// store inserts messages and advances their conversations, in transactions of
// whatever waits. At saturation the messages come from the topic that produce
// has filled.
type store struct {
	db      *sql.DB
	lock    *sql.Conn // holds the lock that keeps other runs away
	produce *produce
	seqs    [pairs]int64 // the last ones stored
}

// newStore connects, and takes the lock.
func newStore(ctx context.Context, dsn string, p *produce) (*store, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, errors.New("SPONGE_MYSQL is no DSN: user:password@tcp(host:3306)/sponge is one") // err may hold the password
	}
	cfg.Logger = &mysql.NopLogger{} // errors come back
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("SPONGE_MYSQL: %w", err)
	}
	s := &store{db: sql.OpenDB(connector), produce: p}
	if s.lock, err = s.db.Conn(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to MySQL: %w", err), s.hangUp())
	}
	var got sql.NullInt64
	err = s.lock.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT(DATABASE(), '.floor'), 0)").Scan(&got)
	if err == nil && got.Int64 != 1 {
		err = errors.New("another floor is being measured on this database")
	}
	if err != nil {
		return nil, errors.Join(err, s.hangUp())
	}
	return s, nil
}

// begin makes the pairs' conversations.
func (s *store) begin(ctx context.Context) error {
	if err := s.remove(ctx); err != nil {
		return fmt.Errorf("in the tables that sponge migrate makes: %w", err)
	}
	for i := range pairs {
		c := conversation(i)
		if _, err := s.db.ExecContext(ctx, "INSERT INTO conversations (a, b, last_seq) VALUES (?,?,0)", c.A, c.B); err != nil {
			return fmt.Errorf("make a conversation: %w", err)
		}
	}
	return nil
}

// close removes the rows and lets other runs in.
func (s *store) close(ctx context.Context) error {
	return errors.Join(s.remove(ctx), s.hangUp())
}

func (s *store) hangUp() error {
	var err error
	if s.lock != nil {
		err = s.lock.Close()
	}
	return errors.Join(err, s.db.Close())
}

// remove removes the pairs' rows, some at a time, by primary key.
func (s *store) remove(ctx context.Context) error {
	for i := range pairs {
		c := conversation(i)
		var last sql.NullInt64
		// Locking: a transaction that was interrupted may still be at its end.
		if err := s.db.QueryRowContext(ctx, "SELECT MAX(seq) FROM messages WHERE a = ? AND b = ? LOCK IN SHARE MODE", c.A, c.B).Scan(&last); err != nil {
			return fmt.Errorf("look for rows to remove: %w", err)
		}
		for seq := int64(0); seq < last.Int64; seq += removed {
			if _, err := s.db.ExecContext(ctx, "DELETE FROM messages WHERE a = ? AND b = ? AND seq > ? AND seq <= ?",
				c.A, c.B, seq, seq+removed); err != nil {
				return fmt.Errorf("remove messages: %w", err)
			}
		}
	}
	if _, err := s.db.ExecContext(ctx, "DELETE FROM conversations WHERE a BETWEEN ? AND ?", firstUser, firstUser+lastUser); err != nil {
		return fmt.Errorf("remove conversations: %w", err)
	}
	return nil
}

// message is a row to be.
type message struct {
	pair   int
	frame  protocol.FrameID
	sentAt int64
	value  []byte
}

// Saturate implements bench.Stage: it reads the topic from its begin.
func (s *store) Saturate(ctx context.Context, done func(int)) error {
	p := s.produce
	ends, records, err := bounds(ctx, p.brokers, p.topic, len(p.leaders))
	if err != nil {
		return ended(ctx, err)
	}
	clear(ends)
	for i := range p.leaders {
		ends[i] = 0
	}
	in := &inbox{arrived: make(chan struct{}, 1)}
	lost := make(chan error, 1)
	fetcher := queue.NewFetcher(queue.FetcherConfig{Brokers: p.brokers, Topic: p.topic, Log: silent}, ends)
	in.room = fetcher.Wake
	fetching, stop := context.WithCancel(ctx)
	var fetch sync.WaitGroup
	defer fetch.Wait()
	defer stop()
	fetch.Go(func() { fetcher.Run(fetching, &sink{deliver: in.put, full: in.full, lost: lost}) })
	w, err := s.open(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	defer w.close()
	intern := envelope.Interner{}
	for records > 0 {
		batch := in.take(mostRows)
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case err := <-lost:
				return err
			case <-in.arrived:
			}
			continue
		}
		rows := make([]message, len(batch))
		var e envelope.Envelope
		for i, m := range batch {
			if err := e.ParseInterned(m.Header, intern); err != nil {
				return err
			}
			rows[i] = message{p.frames.place[string(m.Key)], e.FrameID, e.Arrival, m.Value}
		}
		if err := w.insert(ctx, rows); err != nil {
			return ended(ctx, err)
		}
		done(len(rows))
		records -= len(rows)
	}
	return nil
}

// Carry implements bench.Stage.
func (s *store) Carry(ctx context.Context, items <-chan int64, arrived func(int64)) error {
	w, err := s.open(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	defer w.close()
	f := s.produce.frames
	for {
		batch, _ := take(ctx, items, mostRows, nil)
		if len(batch) == 0 {
			return nil
		}
		now := time.Now().UnixMilli()
		rows := make([]message, len(batch))
		for i, n := range batch {
			rows[i] = message{pairOf(n), f.id(firstRow + n), now, f.append(nil, n)}
		}
		if err := w.insert(ctx, rows); err != nil {
			return ended(ctx, err)
		}
		for _, n := range batch {
			arrived(n)
		}
	}
}

// inbox is where records wait for their transaction. Safe for concurrent use.
type inbox struct {
	arrived chan struct{} // holds one when something was put in
	room    func()        // called when something was taken out

	mu   sync.Mutex // guards the following
	list []queue.Message
}

func (in *inbox) put(_ int, messages []queue.Message) {
	in.mu.Lock()
	in.list = append(in.list, messages...)
	in.mu.Unlock()
	select {
	case in.arrived <- struct{}{}:
	default:
	}
}

func (in *inbox) full() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.list) >= mostAhead
}

func (in *inbox) take(most int) []queue.Message {
	in.mu.Lock()
	n := min(most, len(in.list))
	out := in.list[:n:n]
	if in.list = in.list[n:]; len(in.list) == 0 {
		in.list = nil
	}
	in.mu.Unlock()
	in.room()
	return out
}

// writer is one session with its prepared statements. Not safe for concurrent
// use.
type writer struct {
	store *store
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func (s *store) open(ctx context.Context) (*writer, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to MySQL: %w", err)
	}
	w := &writer{store: s, conn: conn, stmts: map[string]*sql.Stmt{}}
	if _, err := conn.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// close closes the session itself, which ends the transaction that an
// interrupted insert has left open; handed back to the pool, it would take what
// others do into that transaction.
func (w *writer) close() {
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = w.conn.Close() // it is closed
}

// insert is one transaction.
func (w *writer) insert(ctx context.Context, rows []message) error {
	s := w.store
	args := make([]any, 0, 8*len(rows))
	var touched [pairs]bool
	for i := range rows {
		m := &rows[i]
		c := conversation(m.pair)
		s.seqs[m.pair]++
		touched[m.pair] = true
		hash := sha256.Sum256(m.value)
		args = append(args, c.A, c.B, s.seqs[m.pair], m.frame[:], c.A, m.sentAt, hash[:], m.value[:len(m.value)-1])
	}
	convs := make([]any, 0, 3*pairs)
	for i, moved := range touched {
		if c := conversation(i); moved {
			convs = append(convs, c.A, c.B, s.seqs[i])
		}
	}
	if _, err := w.conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := w.many(ctx, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES ", 8, "", args); err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	if err := w.many(ctx, "INSERT INTO conversations (a, b, last_seq) VALUES ", 3, " ON DUPLICATE KEY UPDATE last_seq = VALUES(last_seq)", convs); err != nil {
		return fmt.Errorf("advance conversations: %w", err)
	}
	if _, err := w.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// many inserts rows of so many columns in statements of a power of two of
// them, so that there are few to prepare.
func (w *writer) many(ctx context.Context, head string, columns int, tail string, args []any) error {
	for len(args) > 0 {
		n := 1
		for 2*n*columns <= len(args) {
			n *= 2
		}
		key := fmt.Sprint(n, head)
		st := w.stmts[key]
		if st == nil {
			var err error
			if st, err = w.conn.PrepareContext(ctx, head+list(list("?", columns, "(", ")"), n, "", "")+tail); err != nil {
				return err
			}
			w.stmts[key] = st
		}
		if _, err := st.ExecContext(ctx, args[:n*columns]...); err != nil {
			return err
		}
		args = args[n*columns:]
	}
	return nil
}

// list joins n items with commas, between open and end.
func list(item string, n int, open, end string) string {
	return open + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + end
}
