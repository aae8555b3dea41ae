package workers

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// Replayer is a Handler whose Prepare decides rows. In a replay it is not called:
// what it decided then stands in the journal.
type Replayer interface {
	// Restore leaves in the frame's Input what Handle needs to decide as it did.
	// input is what the journal has of the frame, nil where it has nothing.
	Restore(f *Frame, input json.RawMessage) error

	// Guess is Restore where there is no journal.
	Guess(f *Frame) error
}

// Parter is a Handler that does something to each conversation apart: what a frame
// does to one depends on nothing in any other. A replay handles some side by side.
type Parter interface {
	// Part passes on what a frame does, a frame for each lane that it concerns;
	// lane says which is a conversation's. A frame that does nothing is passed on
	// to none.
	Part(f *Frame, lane func(protocol.Conversation) int, to func(lane int, f *Frame))
}

// Reader makes frames of records that were handled before. It looks at no proof:
// whether it held then is the caller's to know. Not safe for concurrent use.
type Reader struct{ parser *parser }

// NewReader reads the records of a topic.
func NewReader(topic protocol.Topic) *Reader {
	return &Reader{&parser{topic: topic, intern: envelope.Interner{}}}
}

// Read fills f from a record. An error means that the record is no frame of the
// topic. f keeps parts of the message.
func (r *Reader) Read(f *Frame, partition int, m *queue.Message) error {
	r.parser.read(f, partition, m)
	return f.broken
}

// Believe takes the word of the frame's session proof, if it has one.
func (f *Frame) Believe() {
	if proof := f.Envelope.Proof; proof != nil {
		f.User, f.Session = proof.User(), proof.Session()
	}
}

// Session is a connection for transactions outside any runtime, one at a time.
type Session struct{ s *session }

// OpenSession opens one, with a worker's settings but for its time limits: nobody
// waits for its locks. db is OpenDB's.
func OpenSession(ctx context.Context, db *sql.DB) (*Session, error) {
	s, err := openSession(ctx, db)
	if err != nil {
		return nil, err
	}
	if _, err := s.conn.ExecContext(ctx, "SET SESSION wait_timeout = 28800, net_read_timeout = 600, net_write_timeout = 600, innodb_lock_wait_timeout = 50"); err != nil {
		return nil, errors.Join(err, s.conn.Close())
	}
	return &Session{s}, nil
}

// Close closes the connection.
func (s *Session) Close() error {
	for _, st := range s.s.stmts {
		st.Close()
	}
	_ = s.s.conn.Raw(func(any) error { return errBroken }) // its settings are no others'
	if err := s.s.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		return err
	}
	return nil
}

// Transact runs work in a transaction.
func (s *Session) Transact(ctx context.Context, isCareful bool, work func(tx *Tx) error) error {
	if _, err := s.s.conn.ExecContext(ctx, startTransaction); err != nil {
		return err
	}
	tx := &Tx{s: s.s, Careful: isCareful}
	err := work(tx)
	if err == nil {
		err = tx.flush(ctx)
	}
	if err != nil {
		// Also where ctx has ended: the connection goes on.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
		defer cancel()
		_, rollback := s.s.conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, rollback)
	}
	_, err = s.s.conn.ExecContext(ctx, "COMMIT")
	return err
}

// Transact runs work in a transaction of its own, with the session settings of a
// worker, its time limits included. db is OpenDB's.
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
	return (&Session{s}).Transact(ctx, isCareful, work)
}
