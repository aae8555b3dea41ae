package archive

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// count says how many manifests a store has: their numbers must be 1 to that.
func count(ctx context.Context, s Store) (int64, error) {
	var last int64
	for name, err := range s.Names(ctx, manifestDir) {
		if err != nil {
			return 0, err
		}
		number := strings.TrimSuffix(strings.TrimPrefix(name, manifestDir), manifestExt)
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 || manifestName(n) != name {
			return 0, fault(name, ErrManifest, "no manifest has such a name")
		}
		if n != last+1 {
			return 0, fault(manifestName(last+1), ErrNumber, "the next there is number %d", n)
		}
		last = n
	}
	return last, nil
}

// load reads manifest number n.
func load(ctx context.Context, s Store, n int64, trusted ed25519.PublicKey) (*sealed, error) {
	b, err := fetch(ctx, s, n)
	if err != nil {
		return nil, err
	}
	return open(b, n, trusted)
}

func fetch(ctx context.Context, s Store, n int64) ([]byte, error) {
	b, err := readAll(ctx, s, manifestName(n), maxManifest)
	if errors.Is(err, ErrNotFound) {
		return nil, fault(manifestName(n), ErrNumber, "")
	}
	return b, err
}

// head reads the last manifest; nil in an empty archive.
func head(ctx context.Context, s Store, trusted ed25519.PublicKey) (*sealed, error) {
	n, err := count(ctx, s)
	if err != nil || n == 0 {
		return nil, err
	}
	return load(ctx, s, n, trusted)
}

// walk reads all manifests in order, each checked against the one before, and
// returns the last. Without a trusted key, all must have the first's.
func walk(ctx context.Context, s Store, trusted ed25519.PublicKey, visit func(*sealed) error) (*sealed, error) {
	n, err := count(ctx, s)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("archive: there is no archive in %s: no manifest", s)
	}
	ctx, cancel := context.WithCancel(ctx)
	ahead := readAhead(ctx, s, n)
	defer ahead.wait()
	defer cancel()
	var last *sealed
	for i := int64(1); i <= n; i++ {
		b, err := ahead.next(ctx)
		if err != nil {
			return nil, err
		}
		m, err := open(b, i, trusted)
		if err != nil {
			return nil, err
		}
		if err := m.follows(last); err != nil {
			return nil, err
		}
		if err := visit(m); err != nil {
			return nil, err
		}
		trusted, last = m.key, m
	}
	return last, nil
}

// follows checks that m is what comes behind last, nil for the first: the chain,
// and that its files go on where the archive ended, without a gap.
func (m *sealed) follows(last *sealed) error {
	name := manifestName(m.Number)
	held := map[string]map[int]Span{}
	switch {
	case last == nil && m.Previous != "":
		return fault(name, ErrChain, "the first has none before it, this names %s", m.Previous)
	case last == nil:
	case m.Previous != last.head.Hash:
		return fault(name, ErrChain, "it names %s, manifest %d has %s", m.Previous, last.Number, last.head.Hash)
	case m.Namespace != last.Namespace:
		return fault(name, ErrNamespace, "%q, the one before has %q", m.Namespace, last.Namespace)
	default:
		held = last.Held
	}
	next, err := m.extend(held)
	if err != nil {
		return err
	}
	for topic, partitions := range next {
		for p, span := range partitions {
			if m.Held[topic][p] != span {
				return fault(name, ErrGap, "%s/%d: it says offsets %d to %d, its files %d to %d, or another last record", topic, p,
					m.Held[topic][p].First, m.Held[topic][p].Next-1, span.First, span.Next-1)
			}
		}
	}
	for topic, partitions := range m.Held {
		for p, span := range partitions {
			if _, ok := next[topic][p]; !ok && span.First != span.Next {
				return fault(name, ErrGap, "%s/%d: it says offsets %d to %d, but has no file", topic, p, span.First, span.Next-1)
			}
		}
	}
	return nil
}

// extend adds the manifest's files to what was held before.
func (m *sealed) extend(held map[string]map[int]Span) (map[string]map[int]Span, error) {
	next := map[string]map[int]Span{}
	for topic, partitions := range held {
		next[topic] = maps.Clone(partitions)
	}
	for _, f := range m.Files {
		if f.Last < f.First || f.First < 0 || f.Records < 1 || f.Records > f.Last-f.First+1 || !fs.ValidPath(f.Path) {
			return nil, fault(manifestName(m.Number), ErrManifest, "%s: %d records at offsets %d to %d", f.Path, f.Records, f.First, f.Last)
		}
		if next[f.Topic] == nil {
			next[f.Topic] = map[int]Span{}
		}
		span, ok := next[f.Topic][f.Partition]
		if !ok {
			span = Span{First: f.First, Next: f.First}
		}
		if f.First != span.Next {
			return nil, fault(f.Path, ErrGap, "%s/%d: offset %d should come next, the file begins with %d", f.Topic, f.Partition, span.Next, f.First)
		}
		next[f.Topic][f.Partition] = Span{span.First, f.Last + 1, f.LastHash}
	}
	return next, nil
}

// sortedKeys are a map's keys in ascending order.
func sortedKeys[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }
