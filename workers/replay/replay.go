// Package replay runs the workers' handlers over the log again: every record that
// production handled, in the order of its journal, into an empty schema. The
// audited rows that come out must be production's, row for row; Verify compares
// them. Nothing is announced to anyone, and no password is opened: what decided
// rows besides the records stands in the journal.
//
// It must not know Redis, nor any edge.
package replay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/semaphore"

	"sponge/pkg/audit"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/schema"
	"sponge/workers"
)

// Progress is how far a stage has come. Total is 0 where nobody knows.
type Progress struct {
	Stage       string
	Done, Total int64
}

// Until is where a replay stops: behind the journal's row of a number, or behind
// the last row that was published before a time; the zero value: at its end.
type Until struct {
	Number int64
	Time   time.Time
}

// Options are what a replay needs.
type Options struct {
	Log      audit.Log
	DSN      string // of the schema to replay into: empty, or not there yet
	Handlers map[protocol.Topic]workers.Factory
	Key      *keys.WorkerKey // opens verifiers; nil: accounts get none, and nobody can log in to them by password
	Until    Until
	Arrival  bool           // do not look for a journal: take records in the order of their times
	Report   func(Progress) // may be nil; called often, from one goroutine at a time
	Logger   *slog.Logger
}

func (o *Options) report(stage string, done, total int64) {
	if o.Report != nil {
		o.Report(Progress{stage, done, total})
	}
}

// Result is what a replay has done.
type Result struct {
	Rows    int64 // of the journal
	Frames  int64 // that they cover, with those that changed nothing
	Dead    int64 // of them, those that no handler could take
	Last    int64 // number of the last row
	Behind  int64 // records in the log that no row covers: not handled yet, or later than what was asked for
	Lacking int64 // offsets that the journal covers and the log has no record for
	Arrival bool  // there was no journal: the order is that of arrival
	Seconds float64
}

// ErrNotEmpty means that the database to replay into holds something. Nothing was
// changed in it.
var ErrNotEmpty = errors.New("replay: the database is not empty")

// Run replays the log into the schema. After an error the schema holds a part of
// the rows, of which each is right; it is not to be used.
func Run(ctx context.Context, o Options) (Result, error) {
	t, err := openTarget(ctx, &o)
	if err != nil {
		return Result{}, err
	}
	defer t.close()
	begun := time.Now()
	r, err := t.run(ctx)
	r.Seconds = time.Since(begun).Seconds()
	return r, err
}

func (t *target) run(ctx context.Context) (Result, error) {
	if !t.Arrival {
		until, err := t.loadTopic(ctx)
		if err != nil && !errors.Is(err, audit.ErrNoTopic) {
			return Result{}, err
		}
		if t.rows > 0 {
			return t.replay(ctx, until)
		}
	}
	if t.Until.Number > 0 {
		return Result{}, fmt.Errorf("there is no journal: row %d is not in it, and the order of arrival has no numbers", t.Until.Number)
	}
	return t.replayByArrival(ctx)
}

// target is the schema that is replayed into.
type target struct {
	*Options
	db       *sql.DB
	session  *workers.Session
	handlers map[protocol.Topic]workers.Handler

	room   *semaphore.Weighted // for bytes of records
	made   bool                // there was no such database before
	rows   int64               // of the journal, loaded
	frames int64               // that they cover
}

// openTarget makes the schema, in a database that holds nothing: whatever else is
// in one must neither be changed nor be taken for the log's.
func openTarget(ctx context.Context, o *Options) (_ *target, err error) {
	tables, exists, err := schema.Tables(ctx, o.DSN)
	if err != nil {
		return nil, fmt.Errorf("database to replay into: %w", err)
	}
	if tables > 0 {
		return nil, fmt.Errorf("%w: it has %d tables; name one that is not there yet", ErrNotEmpty, tables)
	}
	if o.DSN, err = patient(o.DSN); err != nil {
		return nil, err
	}
	t := &target{Options: o, made: !exists, handlers: map[protocol.Topic]workers.Handler{}}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if _, err := schema.Up(ctx, o.DSN); err != nil {
		return t, fmt.Errorf("schema to replay into: %w", err)
	}
	if t.db, err = workers.OpenDB(o.DSN); err != nil {
		return t, err
	}
	cfg := &workers.Config{Lanes: 1, Hashers: 1, ArgonMemory: 8, ArgonIterations: 1} // hashes nothing but its dummy
	for topic, factory := range o.Handlers {
		if t.handlers[topic], err = factory(workers.Resources{Config: cfg, DB: t.db, Key: o.Key}); err != nil {
			return t, fmt.Errorf("%s handlers: %w", topic.Group(), err)
		}
	}
	t.session, err = workers.OpenSession(ctx, t.db)
	return t, err
}

func (t *target) close() {
	if t.session != nil {
		_ = t.session.Close()
		t.session = nil
	}
	if t.db != nil {
		_ = t.db.Close()
		t.db = nil
	}
}

// remove takes back what openTarget made.
func (t *target) remove() error {
	t.close()
	ctx, cancel := context.WithTimeout(context.Background(), removeTime)
	defer cancel()
	if t.made {
		return schema.Drop(ctx, t.DSN)
	}
	return errors.Join(schema.Down(ctx, t.DSN), schema.Forget(ctx, t.DSN))
}

// removeTime bounds the removal of a scratch database.
const removeTime = 5 * time.Minute

// patientTime is for how long a statement of a replay may say nothing: nobody
// waits for it, and large ones take long.
const patientTime = 10 * time.Minute

// patient gives a DSN time.
func patient(dsn string) (string, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "", errors.New("this is no DSN: user:password@tcp(host:3306)/name is one") // err may hold the password
	}
	cfg.ReadTimeout, cfg.WriteTimeout = max(cfg.ReadTimeout, patientTime), max(cfg.WriteTimeout, patientTime)
	return cfg.FormatDSN(), nil
}
