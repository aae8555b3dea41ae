package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	mysql "github.com/go-sql-driver/mysql"

	"sponge/pkg/audit"
	"sponge/pkg/audit/archive"
	"sponge/pkg/audit/view"
	"sponge/pkg/config"
	"sponge/pkg/keys"
	"sponge/workers/replay"
)

// auditReplaying is what replay and verify have in common.
type auditReplaying struct {
	Archive          string `placeholder:"LOCATION" help:"Read an archive instead of the topics."`
	AnyKey           bool   `help:"Believe an archive whoever has signed it, where SPONGE_AUDIT_PUBLIC_KEY is not set."`
	WithTopics       bool   `help:"With --archive: read on in the topics where the archive ends."`
	WithoutVerifiers bool   `help:"Do without the workers' key: accounts get no verifier of their password, and that column is not compared."`
}

// options opens the log.
func (c *auditReplaying) options(ctx context.Context, dir string) (o replay.Options, cfg auditConfig, err error) {
	if cfg, err = loadFrom[auditConfig](dir); err != nil {
		return o, cfg, err
	}
	if !c.WithoutVerifiers {
		if cfg.WorkerKey == "" {
			return o, cfg, errors.New("SPONGE_WORKER_KEY opens the verifiers of passwords that the journal holds: set it, or give --without-verifiers")
		}
		if o.Key, err = keys.ParseWorkerKey(cfg.WorkerKey); err != nil {
			return o, cfg, fmt.Errorf("SPONGE_WORKER_KEY: %w", err)
		}
	}
	o.Handlers = handlers()
	o.Logger = warnings()
	if c.WithTopics && c.Archive == "" {
		return o, cfg, errors.New("--with-topics goes on where an archive ends: give --archive, too")
	}
	signed, err := config.Load[ArchiveConfig]()
	if err != nil {
		return o, cfg, err
	}
	if c.Archive != "" && !c.AnyKey && signed.PublicKey == "" {
		return o, cfg, errors.New("SPONGE_AUDIT_PUBLIC_KEY says whose archive to believe: set it, or give --any-key")
	}
	o.Log, err = openLog(ctx, &cfg, c.Archive)
	if err == nil && c.WithTopics {
		if n := o.Log.(*archive.Reader).Namespace(); n != cfg.Namespace {
			return o, cfg, fmt.Errorf("the archive is of namespace %q, and SPONGE_NAMESPACE is %q", n, cfg.Namespace)
		}
		both := audit.Joined{Older: o.Log, Newer: audit.NewTopics(cfg.Kafka, cfg.Namespace, o.Logger)}
		o.Log, err = both, both.SameAtSeam(ctx)
	}
	return o, cfg, err
}

// auditReplay replays the log into an empty schema.
type auditReplay struct {
	auditReplaying
	Into  string `required:"" placeholder:"DSN" help:"The database to replay into, as go-sql-driver takes it: empty, or not there yet. user:password@tcp(host:3306)/name; where the password should not be seen in the list of processes, set SPONGE_AUDIT_INTO instead." env:"SPONGE_AUDIT_INTO"`
	Until string `placeholder:"WHEN" help:"Stop here: a time, so long ago (90m, 2d), or the number of a row of the journal. The database as it was then."`
	Order string `default:"journal" enum:"journal,arrival" help:"journal; or arrival: by time, where the journal is lost. Without any journal it is by arrival, too."`
}

// Help is the long help.
func (auditReplay) Help() string {
	return `Every record that took effect is handled again, in the order of the journal, by
the same handlers, into a database of its own; nothing is announced to anyone.
What comes out is the database as it was, with journal and offsets: workers can
go on with it. The journal is that in sponge.journal, or in the archive.`
}

// Run replays.
func (c *auditReplay) Run(ctx context.Context, parent *auditCommand) (err error) {
	o, _, err := c.options(ctx, parent.Dir)
	if err != nil {
		return err
	}
	o.DSN, o.Arrival = c.Into, c.Order == "arrival"
	if c.Until != "" {
		if o.Until, err = parseUntil(c.Until, time.Now()); err != nil {
			return err
		}
	}
	bar := newProgressLine()
	o.Report = func(p replay.Progress) { bar.show(p.Stage, p.Done, p.Total, "", "") }
	r, err := replay.Run(ctx, o)
	bar.end()
	switch {
	case errors.Is(err, replay.ErrNotEmpty):
		return err
	case err != nil:
		return fmt.Errorf("%w (what the database holds now is a part at best: do not use it)", err)
	}
	how := fmt.Sprintf("in the order of the journal, up to row %d", r.Last)
	if r.Arrival {
		how = "BY ARRIVAL, since there is no journal: where frames met, their order is a guess, and all passwords are lost"
	}
	fmt.Printf("replayed %d frames of %d batches in %.1f s (%.0f/s), %s; %d were dead\n", r.Frames, r.Rows, r.Seconds, float64(r.Frames)/max(r.Seconds, 0.001), how, r.Dead)
	if r.Lacking > 0 {
		fmt.Printf("the log has no record for %d offsets that the journal tells of\n", r.Lacking)
	}
	if r.Behind > 0 {
		fmt.Printf("%d records in the log lie behind what the journal tells of: workers that go on with this database handle them\n", r.Behind)
	}
	return nil
}

// parseUntil reads a number of the journal or a time.
func parseUntil(text string, now time.Time) (u replay.Until, err error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 1 {
			return u, fmt.Errorf("--until: rows of the journal are numbered from 1, not %d", n)
		}
		u.Number = n
		return u, nil
	}
	b, err := view.ParseBound(text, now, time.Local)
	if err != nil {
		return u, fmt.Errorf("--until: %w", err)
	}
	if b.Time.IsZero() {
		return u, errors.New("--until: a time or the number of a row of the journal is needed")
	}
	u.Time = b.Time
	return u, nil
}

// auditVerify compares production with its log.
type auditVerify struct {
	auditReplaying
	Scratch string `placeholder:"DSN" env:"SPONGE_AUDIT_SCRATCH" help:"A database to replay into, which is removed afterwards: empty, or not there yet. With --dir: one beside the cluster's."`
	Keep    bool   `help:"Leave the scratch database as it is."`
	Older   bool   `help:"SPONGE_MYSQL is a replica or a restored backup: what was published later than it is no finding, and is counted."`
	Show    int    `default:"100" help:"How many differences are shown, with the frames that made them; all are counted."`
}

// Help is the long help.
func (auditVerify) Help() string {
	return `Production (SPONGE_MYSQL: itself, or with --older a replica or a restored backup) is read in one
snapshot, and may go on meanwhile. What its journal covers is replayed into the
scratch database, and every audited row is compared. The journal must leave no
offset out, and be the one that workers published. Prints a line of counts when
all is equal, else each difference as a line of JSON, and fails.`
}

// Run verifies.
func (c *auditVerify) Run(ctx context.Context, parent *auditCommand) (err error) {
	o, cfg, err := c.options(ctx, parent.Dir)
	if err != nil {
		return err
	}
	if c.Scratch == "" && parent.Dir != "" {
		if c.Scratch, err = beside(cfg.MySQL); err != nil {
			return err
		}
	}
	if c.Scratch == "" {
		return errors.New("--scratch: a database to replay into is needed; better not on production's server")
	}
	o.DSN = c.Scratch
	bar := newProgressLine()
	o.Report = func(p replay.Progress) { bar.show(p.Stage, p.Done, p.Total, "", "") }
	v, err := replay.Verify(ctx, replay.VerifyOptions{Options: o, Production: cfg.MySQL, Keep: c.Keep, Older: c.Older, Show: c.Show})
	bar.end()
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, f := range v.Findings { // also where it could not go on
		if err := out.Encode(f); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	compared := ""
	if c.WithoutVerifiers {
		compared = " (but for the verifiers of passwords)"
	}
	if v.Wrong > 0 {
		return fmt.Errorf("%d differences, of which %d are shown; %d rows%s, %d frames of %d batches", v.Wrong, len(v.Findings), v.Compared, compared, v.Frames, v.Rows)
	}
	later := ""
	if c.Older {
		later = fmt.Sprintf("; %d later batches are not in it", v.Later)
	}
	fmt.Printf("equal: %d rows%s, from %d frames of %d batches, of which %d were published and %d will be; %d records were not handled yet%s; %.1f s\n",
		v.Compared, compared, v.Frames, v.Rows, v.Published, v.Pending, v.Behind, later, v.Seconds)
	return nil
}

// beside names a scratch database on the server of a DSN.
func beside(dsn string) (string, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "", errors.New("SPONGE_MYSQL is no DSN: user:password@tcp(host:3306)/sponge is one") // err may hold the password
	}
	cfg.DBName += fmt.Sprintf("_verify_%d", os.Getpid())
	return cfg.FormatDSN(), nil
}
