package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"sponge/pkg/audit/view"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// auditChoice is which records are taken, for commands that read the log.
type auditChoice struct {
	From       string   `placeholder:"WHEN" help:"Begin here: a time, so long ago (90m, 2d), or an offset (sponge.storage/3@1234)."`
	To         string   `placeholder:"WHEN" help:"End before this: the same."`
	Topic      []string `placeholder:"TOPIC" help:"Only this topic; give it again for more. Without: login, friend, group and storage. There are sponge.journal and sponge.dead, too."`
	Partition  int      `default:"-1" placeholder:"N" help:"Only this partition."`
	User       int64    `placeholder:"USERID" help:"Only frames of this user, logins as this user included, also those that failed."`
	Group      int64    `placeholder:"GROUPID" help:"Only what was said in this group, and who joined it."`
	With       int64    `placeholder:"USERID" help:"Only conversations with this user, from either side; with --user: of these two."`
	Type       []int    `placeholder:"MSGTYPE" help:"Only frames of this type; give it again for more."`
	Conn       string   `placeholder:"NODE/NUMBER" help:"Only this connection; or NODE/, or NUMBER."`
	Peer       string   `placeholder:"ADDRESS" help:"Only clients of this address (and port), or of a prefix such as 192.0.2.0/24."`
	Grep       string   `placeholder:"REGEXP" help:"Only frames whose bytes match."`
	Everywhere bool     `help:"Read all partitions, also those where no frame that is asked for belongs: finds what an edge put where it does not belong."`
}

// window reads the bounds, now being when the command began.
func (c *auditChoice) window(now time.Time) (view.Window, error) {
	w := view.Window{Partition: c.Partition, Everywhere: c.Everywhere}
	for _, t := range c.Topic {
		w.Topics = append(w.Topics, view.TopicName(t))
	}
	if c.Partition < -1 {
		return w, fmt.Errorf("--partition: %d is below 0", c.Partition)
	}
	for _, b := range []struct {
		name, text string
		into       *view.Bound
	}{{"--from", c.From, &w.From}, {"--to", c.To, &w.To}} {
		if b.text == "" {
			continue
		}
		var err error
		if *b.into, err = view.ParseBound(b.text, now, time.Local); err != nil {
			return w, fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return w, nil
}

// filter reads the rest.
func (c *auditChoice) filter() (f view.Filter, err error) {
	f.User, f.Group, f.With = c.User, c.Group, c.With
	for _, id := range []struct {
		name  string
		value int64
	}{{"--user", c.User}, {"--group", c.Group}, {"--with", c.With}} {
		if id.value < 0 || id.value > protocol.MaxInt {
			return f, fmt.Errorf("%s: %d is no id", id.name, id.value)
		}
	}
	for _, t := range c.Type {
		f.Types = append(f.Types, protocol.Type(t))
	}
	if c.Conn != "" {
		if f.Conn, err = view.ParseConn(c.Conn); err != nil {
			return f, err
		}
	}
	if c.Peer != "" {
		if f.Peer, err = view.ParsePeer(c.Peer); err != nil {
			return f, err
		}
	}
	if c.Grep != "" {
		if f.Grep, err = regexp.Compile(c.Grep); err != nil {
			return f, fmt.Errorf("--grep: %w", err)
		}
	}
	return f, nil
}

// auditRead streams records.
type auditRead struct {
	auditChoice
	Limit   int64  `placeholder:"N" help:"Stop after so many."`
	Outcome bool   `help:"Show what became of each frame: journal number, number of the message; refused, dead, waiting. Asks MySQL."`
	Follow  bool   `short:"f" help:"Go on as frames come, until Ctrl-C; begin now, unless --from says otherwise."`
	Format  string `default:"jsonl" enum:"jsonl,table,csv" help:"jsonl, table (for people) or csv."`
	Archive string `placeholder:"LOCATION" help:"Read an archive instead of the topics."`
}

// Help is the long help.
func (auditRead) Help() string {
	return `Frames come in the order of their times, a partition's in the order of their
offsets. A time is when the frame arrived at its edge, by the edge's clock; of
journal rows and dead letters, when they were published. --to is exclusive:
--from 2026-11-23 --to 2026-11-24 is one day, in this machine's time zone. A
frame that an edge could publish only minutes later, since no broker answered,
belongs to the window in which it was published.

Each line of jsonl has time, topic, partition, offset, frameId, kind (client;
report, sync and renew are made by the edge), node, conn, user (whom the
session proves, else whom a login is for; left out where nobody), peer, type,
outcome (where asked for) and frame, as it was sent: passwords and tokens are
sealed boxes there, and stay so.

The outcome's states: waiting (no worker has taken it yet), applied (handled; a
chat frame was stored, with its seq), refused (a chat frame that was handled but
not stored, or a frame whose session proof did not hold), dead (no handler could
take it). Of other frames than chat the log does not tell whether their handler
refused them.

Where the key decides the partition (--user with --with, --group), only that one
is read, unless --everywhere is given.`
}

// Run streams to stdout. Progress goes to stderr, where that is a terminal and
// stdout is none.
func (c *auditRead) Run(ctx context.Context, parent *auditCommand) (err error) {
	o := view.Options{Limit: c.Limit, Follow: c.Follow, Out: os.Stdout}
	if o.Window, err = c.window(time.Now()); err != nil {
		return err
	}
	if o.Filter, err = c.filter(); err != nil {
		return err
	}
	shape := view.FormatConfig{Zone: time.Local, Outcomes: c.Outcome, Width: terminalWidth(os.Stdout)}
	if o.Format, err = view.NewFormat(c.Format, shape); err != nil {
		return err
	}
	cfg, err := loadFrom[auditConfig](parent.Dir)
	if err != nil {
		return err
	}
	log, err := openLog(ctx, &cfg, c.Archive)
	if err != nil {
		return err
	}
	if c.Outcome {
		db, err := workers.OpenDB(cfg.MySQL)
		if err != nil {
			return err
		}
		defer db.Close()
		if err := db.PingContext(ctx); err != nil {
			return fmt.Errorf("--outcome asks MySQL for the numbers of messages: %w", err)
		}
		o.Messages = storedMessages{db}
	}
	if !isTerminal(os.Stdout) && !c.Follow {
		bar := newProgressLine()
		defer bar.end()
		o.Progress = func(p view.Progress) {
			bar.show("read", p.Read, p.Total, " records", fmt.Sprintf(" %d shown,", p.Shown))
		}
	}
	// Whoever reads us may have seen enough: that is no error, and no signal.
	signal.Ignore(syscall.SIGPIPE)
	if err := view.Read(ctx, log, o); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return nil
}
