package archive

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// Sizes of what an Archiver writes, in bytes of lines.
const (
	DefaultFileSize   = 256 << 20 // of one file
	DefaultCheckpoint = 4 << 30   // from manifest to manifest within one run
)

// ErrOverwrites means that a store overwrites what it should refuse.
var ErrOverwrites = errors.New("archive: the bucket ignores conditional writes (If-None-Match), so archivers could overwrite each other; nothing more is written there")

// Config is what an Archiver needs.
type Config struct {
	Log       audit.Log
	Store     Store
	Key       ed25519.PrivateKey
	Namespace string // of Log's topics

	// Lag is the age that a record must have before it is archived; 0: none.
	Lag time.Duration

	Progress func(Progress) // called now and then by Run's goroutine; may be nil
	Logger   *slog.Logger

	// In place of the defaults, for tests.
	FileSize, Checkpoint int64
	Now                  func() time.Time
}

// Progress is how far a run has come.
type Progress struct {
	Topic     string
	Partition int
	Done      int64 // records copied
	Total     int64 // offsets to copy, those that brokers lack included
}

// Result is what a run has added.
type Result struct {
	Head      Head // of the archive; the zero Head where it still is empty
	Manifests int
	Files     int
	Records   int64
	Size      int64 // of the files, in bytes
	Unpacked  int64 // of their lines, in bytes
}

// GapError says that a topic no longer holds, or never held, what should be
// archived next.
type GapError struct {
	Topic     string
	Partition int
	Next      int64        // the offset to be archived next
	Held      queue.Bounds // by the topic
}

func (e *GapError) Error() string {
	if e.Held.First > e.Next {
		return fmt.Sprintf("archive: %s/%d: offsets %d to %d are gone: retention passed before they were archived",
			e.Topic, e.Partition, e.Next, e.Held.First-1)
	}
	return fmt.Sprintf("archive: %s/%d: the archive holds offsets up to %d, the topic only up to %d: it was truncated or made anew",
		e.Topic, e.Partition, e.Next-1, e.Held.Next-1)
}

// Archiver copies a log into an archive. It is for one goroutine; several
// Archivers of one archive do no harm, but only one of them gets on.
type Archiver struct {
	cfg    Config
	proven bool // the store refuses to overwrite
}

// NewArchiver makes an Archiver. It touches nothing yet.
func NewArchiver(cfg Config) *Archiver {
	if cfg.FileSize == 0 {
		cfg.FileSize = DefaultFileSize
	}
	if cfg.Checkpoint == 0 {
		cfg.Checkpoint = DefaultCheckpoint
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Progress) {}
	}
	return &Archiver{cfg: cfg}
}

// Run archives at once and then every so often until ctx ends, which is no
// error. Topics and stores that fail are tried again the next time; an archive
// that is not what it should be, or records that are gone, end it.
func (a *Archiver) Run(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		res, err := a.RunOnce(ctx)
		var fault *Fault
		var gap *GapError
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			a.cfg.Logger.Info("archive: up to date", "records", res.Records, "files", res.Files, "bytes", res.Size, "head", res.Head)
		case errors.As(err, &fault), errors.As(err, &gap), errors.Is(err, ErrOverwrites):
			return err
		default:
			a.cfg.Logger.Error("archive: trying again", "error", err, "in", every)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// RunOnce archives what the topics have beyond the archive. What it returns is
// archived for good, also beside an error. Errors: a *Fault where the archive's
// last manifest is not this key's; *GapErrors, once all partitions without a gap
// are archived; ErrForked, ErrOverwrites, or what log and store return.
func (a *Archiver) RunOnce(ctx context.Context) (Result, error) {
	last, err := head(ctx, a.cfg.Store, a.cfg.Key.Public().(ed25519.PublicKey))
	if err != nil {
		return Result{}, err
	}
	r := &run{a: a, last: last}
	if last != nil {
		r.result.Head = last.head
		if last.Namespace != a.cfg.Namespace {
			return r.result, fault(manifestName(last.Number), ErrNamespace, "%q, not %q", last.Namespace, a.cfg.Namespace)
		}
	}
	err = r.all(ctx)
	return r.result, err
}

// run is one run of an Archiver.
type run struct {
	a        *Archiver
	last     *sealed // nil in an empty archive
	held     map[string]map[int]Span
	files    []File // of the next manifest
	unpacked int64  // by them
	done     int64
	total    int64
	gaps     []error // *GapErrors: what the partitions without one have is archived
	result   Result
}

// finishTime is how long a run that failed or was told to stop may take to
// write the manifest of the files that it finished.
const finishTime = 30 * time.Second

func (r *run) all(ctx context.Context) error {
	r.held = map[string]map[int]Span{}
	if r.last != nil {
		for topic, partitions := range r.last.Held {
			r.held[topic] = maps.Clone(partitions)
		}
	}
	todo, err := r.plan(ctx)
	if err != nil {
		return err
	}
	for _, topic := range audit.AllTopics() {
		if len(todo[topic]) > 0 && err == nil {
			err = r.copyTopic(ctx, topic, todo[topic])
		}
	}
	if len(r.files) > 0 && !errors.Is(err, ErrForked) && !errors.Is(err, ErrOverwrites) {
		// Whole files are as good beside an error, and else would lie there unnamed.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
		defer cancel()
		err = errors.Join(err, r.commit(ctx))
	}
	return errors.Join(append(r.gaps, err)...)
}

// plan finds what to copy. Partitions with a gap are left out, and told of.
func (r *run) plan(ctx context.Context) (map[string]map[int]queue.Bounds, error) {
	todo := map[string]map[int]queue.Bounds{}
	for _, topic := range audit.AllTopics() {
		bounds, err := r.a.cfg.Log.Bounds(ctx, topic)
		if errors.Is(err, audit.ErrNoTopic) && len(r.held[topic]) == 0 {
			r.a.cfg.Logger.Warn("archive: there is no such topic yet", "topic", topic)
			continue
		}
		if err != nil {
			return nil, err
		}
		if todo[topic], err = r.planTopic(ctx, topic, bounds); err != nil {
			return nil, err
		}
	}
	return todo, nil
}

func (r *run) planTopic(ctx context.Context, topic string, bounds map[int]queue.Bounds) (map[int]queue.Bounds, error) {
	if r.held[topic] == nil {
		r.held[topic] = map[int]Span{}
	}
	held, todo := r.held[topic], map[int]queue.Bounds{}
	for _, p := range sortedKeys(held) {
		b, ok := bounds[p]
		if next := held[p].Next; !ok || b.First > next || b.Next < next {
			r.gaps = append(r.gaps, &GapError{Topic: topic, Partition: p, Next: next, Held: b})
			delete(bounds, p)
		}
	}
	for _, p := range sortedKeys(bounds) {
		b := bounds[p]
		if _, ok := held[p]; !ok {
			if b.First > 0 {
				r.a.cfg.Logger.Warn("archive: a partition's first records were gone before it was archived first",
					"topic", topic, "partition", p, "first", b.First)
			}
			held[p] = Span{b.First, b.First}
		}
		if next := held[p].Next; b.Next > next {
			todo[p] = queue.Bounds{First: next, Next: b.Next}
		}
	}
	if r.a.cfg.Lag > 0 && len(todo) > 0 {
		until, err := r.a.cfg.Log.OffsetsAt(ctx, topic, r.a.cfg.Now().Add(-r.a.cfg.Lag))
		if err != nil {
			return nil, err
		}
		for p, b := range todo {
			if b.Next = min(b.Next, until[p]); b.Next > b.First {
				todo[p] = b
			} else {
				delete(todo, p)
			}
		}
	}
	for _, b := range todo {
		r.total += b.Next - b.First
	}
	return todo, nil
}
