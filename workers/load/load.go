// Package load fills a store with accounts, groups and messages, so that one
// can measure how Sponge does on data that has grown. The rows are those that
// the handlers would have made: whoever logs in to such a store finds friends,
// groups, pages of messages and a few unread ones, and new ids come behind.
//
// Rows go in by primary key, in transactions of some thousands, over several
// connections. What the topics hold does not tell of them.
//
// The package knows tables. It must not know Kafka, Redis or sockets.
package load

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/login"
)

// Password is that of every account that Load makes.
const Password = "load"

// Config is how much is loaded.
type Config struct {
	Accounts int64 // at least 16
	Groups   int64 // of groupSize members each
	Messages int64 // four fifths of pairs, the rest of groups, evenly
	Long     int64 // messages of one conversation more, of the first and the last account
	Members  int64 // of one group more, the first accounts; 0: no such group
	Size     int   // bytes of a message, 1 to 16384

	Connections     int // to MySQL, at least 1
	ArgonMemory     uint32
	ArgonIterations uint32
	AnyStore        bool // also one that is in use

	Progress io.Writer // gets a line now and then; nil: none
}

// Shape of what is loaded.
const (
	groupSize   = 8
	neighbours  = 2  // each account has so many friends behind it, and so many before, and talks with them
	unreadEvery = 10 // of so many accounts one has, with those behind it, a last message that is unread
	days        = 30 // that the messages are spread over

	maxSize  = 16 << 10
	fewest   = 16 // accounts
	rowsOnce = 4000
)

// What `sponge up` gives an empty store: it counts as empty.
const (
	demoAccounts = 10
	demoGroups   = 8
)

// Result names what was loaded.
type Result struct {
	FirstAccount int64                 `json:"firstAccount"`
	LastAccount  int64                 `json:"lastAccount"`
	FirstGroup   int64                 `json:"firstGroup"` // 0: none
	LastGroup    int64                 `json:"lastGroup"`
	LargeGroup   int64                 `json:"largeGroup"` // 0: none
	Long         protocol.Conversation `json:"-"`
	LongSeq      int64                 `json:"longSeq"` // of the conversation of the first and the last account
	Password     string                `json:"password"`
	Seconds      float64               `json:"seconds"`
}

// ErrInUse means a store that has more than the demo accounts.
var ErrInUse = errors.New("the store is in use")

func (c *Config) check() error {
	switch {
	case c.Accounts < fewest:
		return fmt.Errorf("at least %d accounts are needed", fewest)
	case c.Groups < 0 || c.Messages < 0 || c.Long < 0 || c.Members < 0:
		return errors.New("groups, messages, long and members are not below 0")
	case c.Members > c.Accounts:
		return fmt.Errorf("the large group cannot have %d members: there are %d accounts", c.Members, c.Accounts)
	case c.Size < 1 || c.Size > maxSize:
		return fmt.Errorf("a message has from 1 to %d bytes", maxSize)
	case c.Connections < 1:
		return errors.New("at least one connection is needed")
	}
	return nil
}

// loader is one call of Load.
type loader struct {
	Config
	db       *sql.DB
	user     int64 // id of account 0
	group    int64 // id of group 0
	begin    int64 // Unix milliseconds, of the first message
	now      int64
	verifier string

	pairs   spread // messages over pairs
	groups  spread // messages over groups
	written atomic.Int64
}

// Load fills a store that was migrated and that nobody uses meanwhile. It fails
// with ErrInUse where there is more than demo data, unless cfg allows it: then
// what it makes comes beside that. Where it is interrupted, what it has made so
// far stays, and such a store is of no use.
func Load(ctx context.Context, db *sql.DB, cfg Config) (*Result, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	started := time.Now()
	l := &loader{Config: cfg, db: db, now: started.UnixMilli()}
	l.begin = l.now - (days * 24 * time.Hour).Milliseconds()
	ofGroups := int64(0)
	if l.Groups > 0 {
		ofGroups = l.Messages / 5
	}
	l.pairs = spread{l.Messages - ofGroups, neighbours*l.Accounts - neighbours*(neighbours+1)/2}
	l.groups = spread{ofGroups, l.Groups}
	var err error
	if l.verifier, err = login.Verifier(Password, cfg.ArgonMemory, cfg.ArgonIterations); err != nil {
		return nil, err
	}
	if err := l.reserve(ctx); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name   string
		items  int64
		rows   int64 // an item's, about
		insert insert
	}{
		{"accounts", l.Accounts, 16, l.accounts},
		{"friendships", l.Accounts, 2 * neighbours, l.friends},
		{"groups", l.Groups, 2 + groupSize, l.makeGroups},
		{"members of the large group", l.Members, 1, l.largeGroup},
		{"conversations", l.Accounts, neighbours, l.conversations},
		{"messages of groups", l.groups.items, 1, l.groupMessages},
		{"messages of pairs", l.pairs.items, 1, l.pairMessages},
		{"messages of the long conversation", l.Long, 1, l.longMessages},
		{"cursors", l.Accounts, 2*neighbours + 1, l.cursors},
	} {
		if err := l.part(ctx, part.name, part.items, max(1, rowsOnce/part.rows), part.insert); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	if err := l.analyze(ctx); err != nil {
		return nil, err
	}
	res := &Result{FirstAccount: l.user, LastAccount: l.user + l.Accounts - 1, Long: l.long(), LongSeq: l.Long,
		Password: Password, Seconds: time.Since(started).Seconds()}
	if l.Groups > 0 {
		res.FirstGroup, res.LastGroup = l.group, l.group+l.Groups-1
	}
	if l.Members > 0 {
		res.LargeGroup = l.group + l.Groups
	}
	return res, nil
}

// reserve takes the ids, so that others come behind them.
func (l *loader) reserve(ctx context.Context) error {
	groups := l.Groups
	if l.Members > 0 {
		groups++
	}
	err := workers.Transact(ctx, l.db, false, func(tx *workers.Tx) error {
		lastGroup, err := workers.LockSequence(ctx, tx, "groups", true)
		if err != nil {
			return err
		}
		lastUser, err := workers.LockSequence(ctx, tx, "users", true)
		if err != nil {
			return err
		}
		var seq int64
		talked, err := tx.Get(ctx, "SELECT seq FROM messages LIMIT 1", nil, &seq)
		if err != nil {
			return err
		}
		if !l.AnyStore && (talked || lastUser > demoAccounts || lastGroup > demoGroups) {
			return fmt.Errorf("%w: it has %d accounts, %d groups, messages: %t", ErrInUse, lastUser, lastGroup, talked)
		}
		l.user, l.group = lastUser+1, lastGroup+1
		workers.AdvanceSequence(tx, "groups", lastGroup+groups)
		workers.AdvanceSequence(tx, "users", lastUser+l.Accounts)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reserve ids: %w", err)
	}
	return nil
}

// insert writes the rows of the items from (inclusive) to (exclusive).
type insert func(tx *workers.Tx, from, to int64) error

// part writes items in transactions of once each. Each connection has a run of
// them, in order.
func (l *loader) part(ctx context.Context, name string, items, once int64, f insert) error {
	l.written.Store(0)
	stop := l.report(name, items)
	defer stop()
	work, ctx := errgroup.WithContext(ctx)
	n := int64(l.Connections)
	for k := range n {
		work.Go(func() error {
			for from, end := items*k/n, items*(k+1)/n; from < end; from += once {
				to := min(from+once, end)
				if err := workers.Transact(ctx, l.db, false, func(tx *workers.Tx) error { return f(tx, from, to) }); err != nil {
					return err
				}
				l.written.Add(to - from)
			}
			return nil
		})
	}
	return work.Wait()
}

const reportEvery = 5 * time.Second

// report tells how far a part has come, until stop is called, and then how
// long it took.
func (l *loader) report(name string, items int64) (stop func()) {
	if l.Progress == nil || items == 0 {
		return func() {}
	}
	begin := time.Now()
	say := func() {
		n, seconds := l.written.Load(), time.Since(begin).Seconds()
		fmt.Fprintf(l.Progress, "%s: %d of %d after %.0f s, %.0f a second\n", name, n, items, seconds, float64(n)/seconds)
	}
	done := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				say()
			case <-done:
				say()
				return
			}
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}

// analyze has MySQL count anew what has grown at once.
func (l *loader) analyze(ctx context.Context) error {
	rows, err := l.db.QueryContext(ctx, "ANALYZE TABLE users, name_grams, friends, `groups`, members, conversations, messages, cursors")
	if err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		continue // one for each table
	}
	return rows.Err()
}
