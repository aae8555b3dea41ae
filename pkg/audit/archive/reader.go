package archive

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// Reader is an archive as an audit.Log: what its manifests name when it is
// opened. It keeps about 300 bytes for each file. Safe for concurrent use.
type Reader struct {
	store     Store
	head      Head
	key       ed25519.PublicKey
	namespace string
	held      map[string]map[int]Span
	files     map[string]map[int][]File // by offset
}

var _ audit.Log = (*Reader)(nil)

// NewReader reads all manifests of an archive and checks their chain. Each must
// be signed with the trusted key; without one (nil), all with the same key, which
// proves only that nobody without that key has altered anything since. What is
// wrong is a *Fault.
func NewReader(ctx context.Context, s Store, trusted ed25519.PublicKey) (*Reader, error) {
	r := &Reader{store: s, files: map[string]map[int][]File{}}
	last, err := walk(ctx, s, trusted, func(m *sealed) error {
		for _, f := range m.Files {
			if r.files[f.Topic] == nil {
				r.files[f.Topic] = map[int][]File{}
			}
			r.files[f.Topic][f.Partition] = append(r.files[f.Topic][f.Partition], f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.head, r.key, r.namespace, r.held = last.head, last.key, last.Namespace, last.Held
	return r, nil
}

// Head is the archive's last manifest.
func (r *Reader) Head() Head { return r.head }

// Key is the key that the manifests are signed with.
func (r *Reader) Key() ed25519.PublicKey { return r.key }

// Namespace is that of the topics in the archive.
func (r *Reader) Namespace() string { return r.namespace }

// Bounds implements audit.Log.
func (r *Reader) Bounds(_ context.Context, topic string) (map[int]queue.Bounds, error) {
	held, ok := r.held[topic]
	if !ok {
		return nil, fmt.Errorf("%w: %s in %s", audit.ErrNoTopic, topic, r.store)
	}
	out := map[int]queue.Bounds{}
	for p, span := range held {
		out[p] = span.bounds()
	}
	return out, nil
}

// OffsetsAt implements audit.Log. It reads at most one file of a partition, from
// its beginning.
func (r *Reader) OffsetsAt(ctx context.Context, topic string, t time.Time) (map[int]int64, error) {
	bounds, err := r.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	return eachPartition(ctx, bounds, func(ctx context.Context, p int, b queue.Bounds) (int64, error) {
		return r.offsetAt(ctx, r.files[topic][p], t.UnixMilli(), b.Next)
	})
}

// EndsAt implements audit.Log. It reads at most one file of a partition, whole.
func (r *Reader) EndsAt(ctx context.Context, topic string, t time.Time) (map[int]int64, error) {
	bounds, err := r.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	return eachPartition(ctx, bounds, func(ctx context.Context, p int, b queue.Bounds) (int64, error) {
		return r.endAt(ctx, r.files[topic][p], t.UnixMilli(), b.First)
	})
}

// eachPartition finds an offset of each, some side by side.
func eachPartition(ctx context.Context, bounds map[int]queue.Bounds, find func(context.Context, int, queue.Bounds) (int64, error)) (map[int]int64, error) {
	var mu sync.Mutex
	out := map[int]int64{} // guarded by mu
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for p, b := range bounds {
		group.Go(func() error {
			offset, err := find(ctx, p, b)
			mu.Lock()
			defer mu.Unlock()
			out[p] = offset
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// endAt is the offset behind the last record with a time before ms, first where
// there is none.
func (r *Reader) endAt(ctx context.Context, files []File, ms, first int64) (int64, error) {
	for _, f := range slices.Backward(files) {
		if f.MinTime >= ms {
			continue
		}
		if f.MaxTime < ms {
			return f.Last + 1, nil
		}
		end := first
		err := r.times(ctx, f, func(offset, at int64) (enough bool) {
			if at < ms {
				end = offset + 1
			}
			return false
		})
		return end, err
	}
	return first, nil
}

// offsetAt is the first offset of a record with a time of ms or later, next where
// there is none.
func (r *Reader) offsetAt(ctx context.Context, files []File, ms, next int64) (int64, error) {
	for _, f := range files {
		if f.MaxTime < ms {
			continue
		}
		found := int64(-1)
		err := r.times(ctx, f, func(offset, at int64) (enough bool) {
			if at >= ms {
				found = offset
			}
			return found >= 0
		})
		if err == nil && found < 0 {
			err = fault(f.Path, ErrContent, "no record has the time %d, which the manifest says", f.MaxTime)
		}
		return found, err
	}
	return next, nil
}

// times tells the time of each record in a file, until it is enough.
func (r *Reader) times(ctx context.Context, f File, each func(offset, at int64) (enough bool)) error {
	in, err := openFile(ctx, r.store, f)
	if err != nil {
		return err
	}
	defer in.close()
	for {
		line, offset, err := in.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		at, err := lineTime(line)
		if err != nil {
			return in.judge(in.wrong("offset %d: %v", offset, err))
		}
		if each(offset, at) {
			return nil
		}
	}
}

// Open implements audit.Log. A partition's files are opened one behind the other
// when Next comes to them. Next's errors are *Faults where a file is not what
// its manifest says, at the latest at the file's end.
func (r *Reader) Open(ctx context.Context, topic string, ranges map[int]queue.Bounds) (audit.Stream, error) {
	bounds, err := r.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	s := &stream{store: r.store, parts: map[int]*partition{}}
	for p, want := range ranges {
		held, ok := bounds[p]
		if !ok || want.First < want.Next && (want.First < held.First || want.Next > held.Next) {
			return nil, &audit.RangeError{Topic: topic, Partition: p, Wanted: want, Held: held}
		}
		files := r.files[topic][p]
		from := sort.Search(len(files), func(i int) bool { return files[i].Last >= want.First })
		to := sort.Search(len(files), func(i int) bool { return files[i].First >= want.Next })
		s.parts[p] = &partition{files: files[min(from, to):to], want: want}
	}
	return s, nil
}

// Topics are the archive's topics with the offsets it holds of each partition.
func (r *Reader) Topics() map[string]map[int]Span { return maps.Clone(r.held) }
