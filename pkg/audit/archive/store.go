package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"
)

// ErrExists means that a store has something under a name already. It is never
// overwritten.
var ErrExists = errors.New("archive: the name is taken")

// ErrNotFound means that a store has nothing under a name.
var ErrNotFound = errors.New("archive: no such file")

// Store keeps blobs under names with slashes, for good: none is changed or
// removed. Safe for concurrent use.
type Store interface {
	// Create begins a blob, without a name yet.
	Create(ctx context.Context) (Blob, error)

	// Open reads a blob from its beginning; ErrNotFound where there is none.
	Open(ctx context.Context, name string) (io.ReadCloser, error)

	// Size is a blob's size in bytes; ErrNotFound where there is none.
	Size(ctx context.Context, name string) (int64, error)

	// Names lists the blobs whose names begin with prefix, in ascending order,
	// until the first error.
	Names(ctx context.Context, prefix string) iter.Seq2[string, error]

	// String is the location, without secrets.
	String() string
}

// Blob is a blob that is being written. Nobody sees it before Commit. It is for
// one goroutine.
type Blob interface {
	io.Writer

	// Commit gives the blob its name, whole and durable, or returns ErrExists
	// where the name is taken. Whatever it returns, the blob is done with.
	Commit(ctx context.Context, name string) error

	// Abort drops the blob. Behind Commit it does nothing.
	Abort()
}

// Retention is how long a bucket must refuse to remove what is put into it.
type Retention struct {
	Mode string // GOVERNANCE or COMPLIANCE
	Days int    // 0: no retention
}

// Validate reports what is wrong.
func (r Retention) Validate() error {
	switch {
	case r.Days < 0:
		return fmt.Errorf("retention of %d days", r.Days)
	case r.Days > 0 && r.Mode != "GOVERNANCE" && r.Mode != "COMPLIANCE":
		return fmt.Errorf("retention mode %q: it is GOVERNANCE or COMPLIANCE", r.Mode)
	}
	return nil
}

// StoreConfig is what a store may need besides its location.
type StoreConfig struct {
	Endpoint  string // of S3, a host or a URL; empty: Amazon's
	Region    string // empty: the bucket's own, asked for
	Retention Retention
}

// OpenStore opens the store at a location: s3://bucket/prefix, else a directory,
// which is made where it is missing if create is set. S3's credentials are those
// of the environment (AWS_ACCESS_KEY_ID …), of ~/.aws/credentials, or of the
// machine's role.
func OpenStore(location string, create bool, cfg StoreConfig) (Store, error) {
	if err := cfg.Retention.Validate(); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	scheme, _, ok := strings.Cut(location, "://")
	switch {
	case location == "":
		return nil, errors.New("archive: no location")
	case !ok:
		if cfg.Retention.Days > 0 {
			return nil, errors.New("archive: retention needs a bucket with object lock; a directory has none")
		}
		return openDir(location, create)
	case scheme != "s3":
		return nil, fmt.Errorf("archive: %s: a location is a directory or s3://bucket/prefix", location)
	}
	u, err := url.Parse(location)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("archive: a bucket's location is s3://bucket/prefix, not %q", location)
	}
	return openS3(u.Host, strings.Trim(u.Path, "/"), cfg)
}

// exists compares what stands under a name that is taken with what was to be put
// there: a run that died may have left it, and the same bytes are as good.
func exists(ctx context.Context, s Store, name, sha256 string) error {
	r, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	sum, _, err := hashOf(r)
	if err != nil {
		return fmt.Errorf("archive: read %s: %w", name, err)
	}
	if sum != sha256 {
		return fault(name, ErrExists, "it holds something else than what was to be archived there")
	}
	return nil
}
