package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"sponge/pkg/config"
	"sponge/schema"
	"sponge/workers"
	"sponge/workers/load"
)

type benchLoad struct {
	Accounts    int64 `default:"1000000" help:"Accounts, at least 16. Each is a friend of the two before and the two behind it."`
	Groups      int64 `default:"100000" help:"Groups of 8 members."`
	Messages    int64 `default:"10000000" help:"Messages, four fifths of them between friends, the rest in the groups."`
	Long        int64 `default:"1000000" help:"Messages of one conversation more, between the first and the last account."`
	Members     int64 `default:"10000" help:"Members of one group more: the first accounts; 0: no such group."`
	Size        int   `default:"100" help:"Bytes of a message, 1 to 16384."`
	Connections int   `default:"4" help:"Connections to MySQL that insert at the same time."`
	Yes         bool  `help:"Load a store that is in use, beside what it has."`
	JSON        bool  `name:"json" help:"Print one JSON object that names what was loaded."`
}

// Help is the long help.
func (benchLoad) Help() string {
	return `The store is that of SPONGE_MYSQL; its schema is brought up to date. It must be
empty but for the demo accounts and groups of "sponge up", unless --yes is
given, and nobody should use it meanwhile. A load that was interrupted cannot be
taken up again: begin with an empty store.

The password of every account is "` + load.Password + `" (hashed once, by SPONGE_ARGON2_MEMORY and
SPONGE_ARGON2_ITERATIONS). In an empty store, accounts and groups count from 1,
and the large group is the last one. In one conversation of ten the last message
is unread, so that logins and 14 have something to find.

The rows are what the handlers would have made, but the topics do not tell of
them: an audit of such a store finds differences.`
}

// loadConfig configures sponge bench load.
type loadConfig struct {
	MySQL           string `env:"SPONGE_MYSQL" envDefault:"sponge@tcp(127.0.0.1:3306)/sponge" doc:"MySQL DSN as go-sql-driver takes it, with the database" secret:"true"`
	ArgonMemory     uint32 `env:"SPONGE_ARGON2_MEMORY" envDefault:"19456" doc:"argon2id memory in KiB for new passwords; OWASP's minimum is 19456 with 2 passes"`
	ArgonIterations uint32 `env:"SPONGE_ARGON2_ITERATIONS" envDefault:"2" doc:"argon2id passes for new passwords"`
}

// Validate reports every fault of the configuration.
func (c *loadConfig) Validate() error { return config.Required("SPONGE_MYSQL", c.MySQL) }

// Run loads the store.
func (c *benchLoad) Run(ctx context.Context) error {
	cfg, err := config.Load[loadConfig]()
	if err != nil {
		return err
	}
	if _, err := schema.Up(ctx, cfg.MySQL); err != nil {
		return err
	}
	db, err := workers.OpenDB(cfg.MySQL)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(0)
	db.SetMaxIdleConns(c.Connections)
	debug.SetGCPercent(400) // the store shares the machine, perhaps
	res, err := load.Load(ctx, db, load.Config{Accounts: c.Accounts, Groups: c.Groups, Messages: c.Messages, Long: c.Long,
		Members: c.Members, Size: c.Size, Connections: c.Connections, AnyStore: c.Yes,
		ArgonMemory: cfg.ArgonMemory, ArgonIterations: cfg.ArgonIterations, Progress: os.Stderr})
	switch {
	case errors.Is(err, load.ErrInUse):
		return fmt.Errorf("%w (--yes loads it all the same)", err)
	case err != nil:
		return err
	case c.JSON:
		return json.NewEncoder(os.Stdout).Encode(res)
	}
	fmt.Printf("loaded in %.0f s: accounts %d to %d, password %q\n", res.Seconds, res.FirstAccount, res.LastAccount, res.Password)
	if res.FirstGroup > 0 {
		fmt.Printf("groups %d to %d\n", res.FirstGroup, res.LastGroup)
	}
	if res.LargeGroup > 0 {
		fmt.Printf("large group %d\n", res.LargeGroup)
	}
	if res.LongSeq > 0 {
		fmt.Printf("long conversation of %d and %d: %d messages\n", res.Long.A, res.Long.B, res.LongSeq)
	}
	return nil
}
