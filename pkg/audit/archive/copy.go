package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/klauspost/compress/zstd"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// copyTopic copies ranges of a topic, one partition behind the other.
func (r *run) copyTopic(ctx context.Context, topic string, ranges map[int]queue.Bounds) (err error) {
	zip, err := newEncoder()
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	from := maps.Clone(ranges)
	for p, b := range from {
		if r.known[place{topic, p}] {
			from[p] = queue.Bounds{First: b.First - 1, Next: b.Next}
		}
	}
	stream, err := r.a.cfg.Log.Open(ctx, topic, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	for _, p := range sortedKeys(ranges) {
		if err := r.copyPartition(ctx, stream, zip, topic, p, ranges[p]); err != nil {
			var fault *Fault
			if errors.As(err, &fault) {
				return err
			}
			return fmt.Errorf("%s/%d: %w", topic, p, err)
		}
		if r.unpacked >= r.a.cfg.Checkpoint {
			if err := r.commit(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) copyPartition(ctx context.Context, stream audit.Stream, zip *zstd.Encoder, topic string, p int, b queue.Bounds) error {
	var w *fileWriter
	defer func() {
		if w != nil {
			w.abort()
		}
	}()
	next, known := b.First, r.known[place{topic, p}]
	for {
		messages, err := stream.Next(ctx, p)
		if errors.Is(err, io.EOF) {
			return r.finish(ctx, w)
		}
		if err != nil {
			return err
		}
		for i := range messages {
			m := &messages[i]
			if known {
				if err := r.recognise(topic, p, m); err != nil {
					return err
				}
				known = false
				r.done-- // it is none of those to copy
				continue
			}
			// A clock that goes back does not begin a file for each record.
			if w != nil && (day(m.Time).After(w.day) || w.file.Unpacked >= r.a.cfg.FileSize) {
				if err := r.finish(ctx, w); err != nil {
					return err
				}
				w = nil
			}
			if w == nil {
				if w, err = newFileWriter(ctx, r.a.cfg.Store, zip, topic, p, next, day(m.Time)); err != nil {
					return err
				}
			}
			if err := w.add(m); err != nil {
				return err
			}
			next = m.Offset + 1
		}
		r.done += int64(len(messages))
		r.a.cfg.Progress(Progress{Topic: topic, Partition: p, Done: r.done, Total: r.total})
	}
}

// recognise fails unless m is the record that was archived last.
func (r *run) recognise(topic string, p int, m *queue.Message) error {
	span := r.held[topic][p]
	if m.Offset == span.Next-1 && lineHash(AppendLine(nil, m)) == span.LastHash {
		return nil
	}
	return fault(fmt.Sprintf("%s/%d", topic, p), ErrDiffers, "offset %d is another record in the topic: it was made anew, or altered", span.Next-1)
}

// finish ends a file, if there is one. What the next begins with need not be
// Last+1 then: what the broker lacks between belongs to the next file.
func (r *run) finish(ctx context.Context, w *fileWriter) error {
	if w == nil {
		return nil
	}
	f, err := w.commit(ctx)
	if err != nil {
		return err
	}
	r.files = append(r.files, f)
	r.unpacked += f.Unpacked
	held := r.held[f.Topic]
	held[f.Partition] = Span{held[f.Partition].First, f.Last + 1, f.LastHash}
	return nil
}

// commit writes the manifest of the files so far: from then on they are
// archived.
func (r *run) commit(ctx context.Context) error {
	m := &Manifest{Format: Format, Number: r.result.Head.Number + 1, Previous: r.result.Head.Hash,
		Time: r.a.cfg.Now().UTC(), Namespace: r.a.cfg.Namespace, Held: map[string]map[int]Span{}, Files: r.files}
	for topic, partitions := range r.held {
		m.Held[topic] = maps.Clone(partitions)
	}
	b, err := m.seal(r.a.cfg.Key)
	if err != nil {
		return err
	}
	name, sum := manifestName(m.Number), sha256.Sum256(b)
	err = put(ctx, r.a.cfg.Store, name, b)
	if errors.Is(err, ErrExists) {
		// Ours may stand there: a store's answer was lost and the request repeated.
		if there, rerr := readAll(ctx, r.a.cfg.Store, name, maxManifest); rerr != nil || !bytes.Equal(there, b) {
			return errors.Join(fmt.Errorf("%w: %s", ErrForked, name), rerr)
		}
		err, r.a.proven = nil, true
	}
	if err != nil {
		return err
	}
	r.result.Head = Head{m.Number, hex.EncodeToString(sum[:])}
	r.result.Manifests++
	for _, f := range r.files {
		r.result.Files++
		r.result.Records += f.Records
		r.result.Size += f.Size
		r.result.Unpacked += f.Unpacked
	}
	r.files, r.unpacked = nil, 0
	return r.prove(ctx, name, b)
}

// prove has the store refuse to put a manifest in its own place, once. One that
// does not refuse writes the same bytes again, so nothing is harmed.
func (r *run) prove(ctx context.Context, name string, b []byte) error {
	if r.a.proven {
		return nil
	}
	err := put(ctx, r.a.cfg.Store, name, b)
	if err == nil {
		return ErrOverwrites
	}
	if !errors.Is(err, ErrExists) {
		return err
	}
	r.a.proven = true
	return nil
}

func put(ctx context.Context, s Store, name string, b []byte) error {
	blob, err := s.Create(ctx)
	if err != nil {
		return err
	}
	defer blob.Abort()
	if _, err := blob.Write(b); err != nil {
		return fmt.Errorf("archive: write %s: %w", s, err)
	}
	return blob.Commit(ctx, name)
}
