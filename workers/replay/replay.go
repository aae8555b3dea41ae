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
	Arrival bool  // there was no journal: the order is that of arrival
	Seconds float64
}

// ErrNotEmpty means that the schema to replay into holds something.
var ErrNotEmpty = errors.New("replay: the schema is not empty")

// Run replays the log into the schema. After an error the schema holds a part of
// the rows, of which each is right; it is not to be used.
func Run(ctx context.Context, o Options) (Result, error) {
	t, err := openTarget(ctx, &o)
	if err != nil {
		return Result{}, err
	}
	defer t.close()
	begun := time.Now()
	var r Result
	if !o.Arrival {
		until, err := t.loadTopic(ctx)
		if err != nil {
			return r, err
		}
		if t.rows > 0 || until > 0 {
			r, err = t.replay(ctx, until)
			r.Seconds = time.Since(begun).Seconds()
			return r, err
		}
	}
	r, err = t.replayByArrival(ctx)
	r.Seconds = time.Since(begun).Seconds()
	return r, err
}

// target is the schema that is replayed into.
type target struct {
	*Options
	db       *sql.DB
	session  *workers.Session
	handlers map[protocol.Topic]workers.Handler

	rows   int64 // of the journal, loaded
	frames int64 // that they cover
}

// openTarget makes the schema and looks that it is empty.
func openTarget(ctx context.Context, o *Options) (_ *target, err error) {
	if _, err := schema.Up(ctx, o.DSN); err != nil {
		return nil, fmt.Errorf("schema to replay into: %w", err)
	}
	t := &target{Options: o, handlers: map[protocol.Topic]workers.Handler{}}
	if t.db, err = workers.OpenDB(o.DSN); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	for _, table := range append(tables(), table{name: "journal"}, table{name: "applied"}) {
		query := "SELECT 1 FROM `" + table.name + "` LIMIT 1"
		if table.name == "sequences" {
			query = "SELECT 1 FROM sequences WHERE last_id > 0 LIMIT 1"
		}
		var one int
		switch err := t.db.QueryRowContext(ctx, query).Scan(&one); {
		case err == nil:
			return nil, fmt.Errorf("%w: table %s has rows; name a database that is not there yet", ErrNotEmpty, table.name)
		case !errors.Is(err, sql.ErrNoRows):
			return nil, fmt.Errorf("table %s: %w", table.name, err)
		}
	}
	cfg := &workers.Config{Lanes: 1, Hashers: 1, ArgonMemory: 8, ArgonIterations: 1} // hashes nothing but its dummy
	for topic, factory := range o.Handlers {
		if t.handlers[topic], err = factory(workers.Resources{Config: cfg, DB: t.db, Key: o.Key}); err != nil {
			return nil, fmt.Errorf("%s handlers: %w", topic.Group(), err)
		}
	}
	t.session, err = workers.OpenSession(ctx, t.db)
	return t, err
}

func (t *target) close() {
	if t.session != nil {
		_ = t.session.Close()
	}
	_ = t.db.Close()
}
