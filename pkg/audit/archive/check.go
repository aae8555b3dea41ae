package archive

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sponge/pkg/audit"
)

// CheckConfig is what Check goes by.
type CheckConfig struct {
	// Key is the public key to trust; nil: the first manifest's, which proves only
	// that one and the same key signed all.
	Key ed25519.PublicKey

	// Head is a manifest that somebody wrote down earlier: the archive must still
	// hold it, so that a tail that was cut off is found. The zero Head: none.
	Head Head

	// Topics is the log to compare the archive with where both hold the same
	// offsets; nil: it is not compared.
	Topics audit.Log

	// Namespace is that of Topics: the archive must be of the same. Nil: any.
	Namespace *string

	Progress func(CheckProgress) // called now and then; may be nil
}

// CheckProgress is how far a check has come.
type CheckProgress struct {
	Bytes, TotalBytes int64 // of files
	Records           int64
	Compared          int64 // records
}

// Report is what Check has proved.
type Report struct {
	Head      Head
	Key       ed25519.PublicKey // that signed all manifests
	Namespace string
	Manifests int64
	Files     int
	Records   int64
	Size      int64     // of the files, in bytes
	Unpacked  int64     // of their lines, in bytes
	First     time.Time // of a record, with Last
	Last      time.Time

	// Lacking are the offsets that the brokers themselves had no record for, by
	// the manifests. Sponge's own topics have none.
	Lacking int64

	Compared int64    // records that the topics hold, too
	Unnamed  []string // files that no manifest names: left by a run that failed
}

// Check proves that an archive is complete and unaltered: each manifest signed
// and following from the one before, each file there with its size and SHA-256,
// each line a record, offsets ascending and counted, each partition's files
// without a gap between them. The error names the first thing that is wrong; a
// *Fault, unless something could not be read at all. The report is what was
// proved until then.
func Check(ctx context.Context, s Store, cfg CheckConfig) (*Report, error) {
	c := &checker{store: s, cfg: cfg, report: &Report{}}
	if cfg.Progress == nil {
		c.cfg.Progress = func(CheckProgress) {}
	}
	return c.report, c.check(ctx)
}

type checker struct {
	store    Store
	cfg      CheckConfig
	report   *Report
	progress CheckProgress
	named    map[string]bool
	headSeen bool
}

func (c *checker) check(ctx context.Context) error {
	// The manifests twice: first their chain, which is quick, then what they name;
	// so nothing must be kept of them but names.
	c.named = map[string]bool{}
	last, err := walk(ctx, c.store, c.cfg.Key, func(m *sealed) error {
		if m.Number == c.cfg.Head.Number {
			c.headSeen = true
			if m.head != c.cfg.Head {
				return fault(manifestName(m.Number), ErrHead, "its SHA-256 is %s, not %s", m.head.Hash, c.cfg.Head.Hash)
			}
		}
		for _, f := range m.Files {
			if c.named[f.Path] || !strings.HasPrefix(f.Path, f.Topic+"/") {
				return fault(manifestName(m.Number), ErrManifest, "it names %s again, or for another topic", f.Path)
			}
			c.named[f.Path] = true
			c.progress.TotalBytes += f.Size
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.cfg.Head.Number > 0 && !c.headSeen {
		return fault(manifestName(c.cfg.Head.Number), ErrHead, "the last is number %d", last.Number)
	}
	r := c.report
	r.Head, r.Key, r.Namespace = last.head, last.key, last.Namespace
	if want := c.cfg.Namespace; want != nil && *want != last.Namespace {
		return fault(manifestName(last.Number), ErrNamespace, "%q, not %q", last.Namespace, *want)
	}
	if _, err := walk(ctx, c.store, last.key, func(m *sealed) error { return c.manifest(ctx, m) }); err != nil {
		return err
	}
	for name, err := range c.store.Names(ctx, "") {
		if err != nil {
			return err
		}
		if !c.named[name] && !strings.HasPrefix(name, manifestDir) {
			r.Unnamed = append(r.Unnamed, name)
		}
	}
	if c.cfg.Topics == nil {
		return nil
	}
	return c.compare(ctx)
}

func (c *checker) manifest(ctx context.Context, m *sealed) error {
	r := c.report
	if m.Number > r.Head.Number { // written since
		for _, f := range m.Files {
			c.named[f.Path] = true
		}
		return nil
	}
	for _, f := range m.Files {
		if err := c.file(ctx, f); err != nil {
			return err
		}
		r.Files++
		r.Records += f.Records
		r.Size += f.Size
		r.Unpacked += f.Unpacked
		r.Lacking += f.Last - f.First + 1 - f.Records
		if first := time.UnixMilli(f.MinTime).UTC(); r.First.IsZero() || first.Before(r.First) {
			r.First = first
		}
		if last := time.UnixMilli(f.MaxTime).UTC(); last.After(r.Last) {
			r.Last = last
		}
	}
	r.Manifests++
	return nil
}

// file reads a file to its end, where openFile's reader compares it with the
// manifest.
func (c *checker) file(ctx context.Context, f File) error {
	size, err := c.store.Size(ctx, f.Path)
	if err == nil && size != f.Size {
		return fault(f.Path, ErrSize, "%d bytes, not %d", size, f.Size)
	}
	in, err := openFile(ctx, c.store, f) // tells, too, that it is missing
	if err != nil {
		return err
	}
	defer in.close()
	least, most, hash := int64(0), int64(0), ""
	for {
		line, offset, err := in.line()
		if errors.Is(err, io.EOF) {
			if least != f.MinTime || most != f.MaxTime {
				return in.wrong("times from %d to %d, not from %d to %d", least, most, f.MinTime, f.MaxTime)
			}
			if hash != f.LastHash {
				return in.wrong("its last record has hash %s, not %s", hash, f.LastHash)
			}
			if in.next != f.Last+1 {
				return in.wrong("it ends with offset %d, not %d", in.next-1, f.Last)
			}
			return nil
		}
		if err != nil {
			return err
		}
		m, err := in.parse(line)
		if err != nil {
			return err
		}
		if !json.Valid(line) {
			return in.judge(in.wrong("offset %d: the line is no JSON", offset))
		}
		at := m.Time.UnixMilli()
		if in.records == 1 {
			least, most = at, at
		}
		least, most = min(least, at), max(most, at)
		c.progress.Records++
		if in.records%1000 == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("archive: check: %w", err)
			}
			c.tell(in.size)
		}
		if in.records == f.Records {
			hash = lineHash(line)
			c.progress.Bytes += f.Size
			c.tell(0)
		}
	}
}

func (c *checker) tell(inFile int64) {
	p := c.progress
	p.Bytes += inFile
	c.cfg.Progress(p)
}
