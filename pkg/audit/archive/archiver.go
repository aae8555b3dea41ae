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
	DefaultFileSize   = 64 << 20 // of one file; to find a time, a reader reads one from its beginning
	DefaultCheckpoint = 4 << 30  // from manifest to manifest within one run
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
	r := &run{a: a, last: last, known: map[place]bool{}}
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
	known    map[place]bool // whose last archived record the topic still has
	gaps     []error        // *GapErrors: what the partitions without one have is archived
	result   Result
}

// place is a partition.
type place struct {
	topic     string
	partition int
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
