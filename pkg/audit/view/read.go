package view

import (
	"context"
	"errors"
	"fmt"
	"io"

	"sponge/pkg/audit"
	"sponge/pkg/envelope"
	"sponge/pkg/queue"
)

// Options are what Read reads, and how it shows it.
type Options struct {
	Window
	Filter Filter
	Limit  int64 // most entries; 0: all
	// Messages is asked for outcomes; nil: they are not told.
	Messages Messages
	Format   Format
	Out      io.Writer
	// Progress hears now and then, and at the end, how far reading has come; it
	// may be nil.
	Progress func(Progress)
	// Follow goes on at the end of the log, until ctx ends or Limit is reached.
	// Tick paces that: it returns when it is time to look again, false once ctx
	// has ended. nil: Pace.
	Follow bool
	Tick   func(ctx context.Context) bool
}

// Progress is how far reading has come.
type Progress struct {
	Read, Total int64 // records, by their offsets
	Shown       int64 // of them
}

// Read limits.
const (
	batchMost   = 512       // entries whose outcomes are looked up at once
	bufferMost  = 256 << 10 // bytes that are written at once
	progressGap = 1024      // records between two reports
)

// errEnough ends the reading at its limit.
var errEnough = errors.New("view: enough")

// Read shows the records that the window and the filter take, in the order of
// their times. It fails where the log does not hold all of the window; what it
// has shown until an error is not all. Following, the end of ctx is no error.
func Read(ctx context.Context, log audit.Log, o Options) error {
	if err := o.validate(); err != nil {
		return err
	}
	o.Tail = o.Follow
	planned, err := o.plan(ctx, log, &o.Filter)
	if err != nil {
		return err
	}
	r := &reader{Options: o, log: log, matcher: newMatcher(o.Filter), intern: envelope.Interner{}, span: o.span(), times: planned.times}
	if o.Messages != nil {
		r.outcomes = &outcomes{journal: newJournalReader(log, planned.ranges, o.Follow), messages: o.Messages}
		defer r.outcomes.journal.close()
	}
	r.buffer = o.Format.Head(r.buffer)
	err = r.round(ctx, planned.ranges)
	if err == nil && o.Follow {
		err = r.follow(ctx, planned.ranges)
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	if o.Follow && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("stopped after %d of %d records: %w", r.progress.Read, r.progress.Total, err)
	}
	return err
}

func (o *Options) validate() error {
	if err := o.Filter.Validate(); err != nil {
		return err
	}
	if o.Limit < 0 {
		return fmt.Errorf("--limit: %d is below 0", o.Limit)
	}
	if o.Follow && !o.To.IsZero() {
		return errors.New("--follow goes on for ever, --to says where to end: choose one")
	}
	for _, topic := range o.Topics {
		if classOf(topic) == rows && !o.Filter.frameless() {
			return fmt.Errorf("%s holds rows and no frames: only --from, --to, --grep and --limit choose among them", topic)
		}
	}
	return nil
}

// reader is one Read.
type reader struct {
	Options
	log      audit.Log
	matcher  matcher
	intern   envelope.Interner
	span     span
	times    map[string]map[int]times
	outcomes *outcomes // nil: not asked for

	entries  []*Entry // of the batch; those behind n are free
	n        int
	buffer   []byte
	progress Progress
}

// round shows all of some ranges.
func (r *reader) round(ctx context.Context, wanted ranges) error {
	some := ranges{}
	for topic, parts := range wanted {
		for id, b := range parts {
			if b.First >= b.Next {
				continue
			}
			if some[topic] == nil {
				some[topic] = map[int]queue.Bounds{}
			}
			some[topic][id] = b
			r.progress.Total += b.Next - b.First
		}
	}
	err := audit.Merge(ctx, r.log, some, func(rec *audit.Record) error { return r.take(ctx, rec) })
	if err == nil {
		err = r.settle(ctx)
	}
	if err == nil && !r.Follow {
		r.progress.Read = r.progress.Total // also offsets without a record
	}
	if r.Progress != nil {
		r.Progress(r.progress)
	}
	if err == nil || errors.Is(err, errEnough) {
		if failed := r.flush(); failed != nil {
			return failed
		}
	}
	return err
}

// take shows a record that the filter takes, now or with its batch.
func (r *reader) take(ctx context.Context, rec *audit.Record) error {
	if r.progress.Read++; r.Progress != nil && r.progress.Read%progressGap == 0 {
		r.Progress(r.progress)
	}
	if r.n == len(r.entries) {
		r.entries = append(r.entries, new(Entry))
	}
	e := r.entries[r.n]
	e.load(rec, r.intern)
	if !r.inWindow(e) || !r.matcher.match(e) {
		return nil
	}
	r.progress.Shown++
	if r.outcomes == nil {
		return r.show(e)
	}
	if r.n++; r.n == batchMost || r.progress.Shown == r.Limit {
		return r.settle(ctx)
	}
	return nil
}

func (r *reader) inWindow(e *Entry) bool {
	at := e.at()
	if at >= r.span.from && at < r.span.to {
		return true
	}
	return r.span.takes(at, e.Offset, r.times[e.Topic][e.Partition])
}

// settle shows the batch.
func (r *reader) settle(ctx context.Context) error {
	batch := r.entries[:r.n]
	if r.n = 0; len(batch) == 0 {
		return nil
	}
	if err := r.outcomes.judge(ctx, batch); err != nil {
		return err
	}
	for _, e := range batch[:len(batch)-1] {
		r.buffer = r.Format.Append(r.buffer, e)
	}
	return r.show(batch[len(batch)-1])
}

func (r *reader) show(e *Entry) error {
	r.buffer = r.Format.Append(r.buffer, e)
	if r.progress.Shown == r.Limit {
		return errEnough
	}
	if len(r.buffer) < bufferMost {
		return nil
	}
	return r.flush()
}

func (r *reader) flush() error {
	if len(r.buffer) == 0 {
		return nil
	}
	_, err := r.Out.Write(r.buffer)
	r.buffer = r.buffer[:0]
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
