package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"sponge/pkg/queue"
)

// window is how far back compression sees, in bytes. A reader of many partitions
// side by side holds one for each; it spans what thousands of connections sent
// last.
const window = 1 << 20

// File is what a manifest says of a file.
type File struct {
	Path      string `json:"path"`
	Topic     string `json:"topic"` // without the namespace
	Partition int    `json:"partition"`

	// First to Last inclusive are the offsets that it covers. They are as many as
	// Records, unless the broker itself lacked some.
	First   int64 `json:"first"`
	Last    int64 `json:"last"`
	Records int64 `json:"records"`

	SHA256   string `json:"sha256"`   // of the file, in hex
	Size     int64  `json:"size"`     // of the file, in bytes
	Unpacked int64  `json:"unpacked"` // of its lines, in bytes
	LastHash string `json:"lastHash"` // see lineHash; of the last line

	// The earliest and the latest time of a record, in Unix milliseconds. Records
	// need not be in the order of their times.
	MinTime int64 `json:"minTime"`
	MaxTime int64 `json:"maxTime"`
}

// lineHash is the first half of a line's SHA-256, in hex: by it a topic is known
// again that has changed under an archive.
func lineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:16])
}

// name is the file's path: topic, day and what it covers, and enough of its hash
// that no two files share one.
func (f *File) name(day time.Time) string {
	return fmt.Sprintf("%s/%s/p%03d-%020d-%020d-%s.jsonl.zst", f.Topic, day.Format(time.DateOnly), f.Partition, f.First, f.Last, f.SHA256[:8])
}

// day is the UTC day of a time.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// fileWriter writes one file.
type fileWriter struct {
	store Store
	blob  Blob
	zip   *zstd.Encoder
	sum   hash.Hash
	file  File
	day   time.Time
	line  []byte
}

// newFileWriter begins a file at offset first; records of its day are added
// next. The encoder is used again for the next file.
func newFileWriter(ctx context.Context, s Store, zip *zstd.Encoder, topic string, partition int, first int64, on time.Time) (*fileWriter, error) {
	blob, err := s.Create(ctx)
	if err != nil {
		return nil, err
	}
	w := &fileWriter{store: s, blob: blob, zip: zip, sum: sha256.New(), day: on,
		file: File{Topic: topic, Partition: partition, First: first, Last: first - 1}}
	zip.Reset(w)
	return w, nil
}

// newEncoder makes the encoder for files: one goroutine, so that the same
// records give the same bytes.
func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
}

// Write takes what the encoder made.
func (w *fileWriter) Write(p []byte) (int, error) {
	w.sum.Write(p)
	w.file.Size += int64(len(p))
	return w.blob.Write(p)
}

func (w *fileWriter) add(m *queue.Message) error {
	f, ms := &w.file, m.Time.UnixMilli()
	if m.Offset <= f.Last {
		return fmt.Errorf("archive: %s/%d gave offset %d behind %d", f.Topic, f.Partition, m.Offset, f.Last)
	}
	if f.Records == 0 {
		f.MinTime, f.MaxTime = ms, ms
	}
	f.MinTime, f.MaxTime = min(f.MinTime, ms), max(f.MaxTime, ms)
	f.Last = m.Offset
	f.Records++
	w.line = append(AppendLine(w.line[:0], m), '\n')
	f.Unpacked += int64(len(w.line))
	if _, err := w.zip.Write(w.line); err != nil {
		return fmt.Errorf("archive: write %s: %w", w.store, err)
	}
	return nil
}

// commit ends the file and gives it its name. It may stand there already, from
// a run that did not come to its manifest.
func (w *fileWriter) commit(ctx context.Context) (File, error) {
	defer w.abort()
	if err := w.zip.Close(); err != nil {
		return File{}, fmt.Errorf("archive: write %s: %w", w.store, err)
	}
	w.file.LastHash = lineHash(bytes.TrimSuffix(w.line, []byte("\n")))
	w.file.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	w.file.Path = w.file.name(w.day)
	err := w.blob.Commit(ctx, w.file.Path)
	if errors.Is(err, ErrExists) {
		err = exists(ctx, w.store, w.file.Path, w.file.SHA256)
	}
	return w.file, err
}

func (w *fileWriter) abort() { w.blob.Abort() }

// hashOf reads r to its end.
func hashOf(r io.Reader) (sum string, size int64, err error) {
	h := sha256.New()
	size, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), size, err
}
