// Package archive keeps Sponge's log outside of Kafka, for as long as somebody
// must be able to prove what was said: in a directory or in a bucket.
//
// An archive consists of files and manifests. A file holds a run of one
// partition's records of one day, one JSON object a line (see AppendLine),
// compressed with zstd. A manifest names the files that one run of an Archiver
// added, each with its SHA-256, names the SHA-256 of the manifest before it, and
// is signed with an Ed25519 key: so the last manifest vouches for all before
// it, and who wrote its number and hash down elsewhere can tell later whether
// the archive still is what it was. Manifests are numbered 1, 2, 3…; what none
// names is no part of the archive.
//
// Nothing in an archive is ever written twice. Files come first, then the
// manifest; a run that dies in between leaves files that no manifest names.
//
// It knows records and envelopes, never what a frame means.
package archive

import (
	"errors"
	"fmt"
)

// Format is the version of files and manifests that this package writes. It
// reads every version up to it.
const Format = 1

// The reasons for which an archive is refused or found faulty. They come within
// a *Fault, which says where.
var (
	ErrFormat    = errors.New("it has a newer format than this program reads")
	ErrManifest  = errors.New("it is no manifest of an archive, or was altered")
	ErrSignature = errors.New("its signature does not hold")
	ErrKey       = errors.New("it is signed with another key than the one to trust")
	ErrNumber    = errors.New("a manifest is missing or stands in another's place")
	ErrChain     = errors.New("it does not follow from the manifest before it")
	ErrNamespace = errors.New("it belongs to another namespace")
	ErrMissing   = errors.New("it is missing")
	ErrSize      = errors.New("it has another size than its manifest says")
	ErrHash      = errors.New("its SHA-256 is not its manifest's")
	ErrContent   = errors.New("its content is not what its manifest says")
	ErrGap       = errors.New("records are missing")
	ErrHead      = errors.New("the archive does not hold the manifest that was written down")
	ErrDiffers   = errors.New("archive and topics differ")
)

// ErrForked means that another archiver wrote the next manifest first. What it
// wrote holds; the next run goes on from there.
var ErrForked = errors.New("archive: another archiver wrote the next manifest first; only one may write to an archive")

// Fault is what is wrong with an archive. errors.Is finds its reason, one of
// those above.
type Fault struct {
	Name   string // the file or manifest, or topic/partition
	Reason error
	Detail string // where in it, and what was found; may be empty
}

func (f *Fault) Error() string {
	if f.Detail == "" {
		return fmt.Sprintf("archive: %s: %v", f.Name, f.Reason)
	}
	return fmt.Sprintf("archive: %s: %v: %s", f.Name, f.Reason, f.Detail)
}

// Unwrap is the reason.
func (f *Fault) Unwrap() error { return f.Reason }

func fault(name string, reason error, format string, args ...any) error {
	return &Fault{Name: name, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
