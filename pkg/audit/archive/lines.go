package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"sponge/pkg/queue"
)

// maxLine bounds a line, in bytes: Kafka takes no record that comes near it.
const maxLine = 256 << 20

// fileReader reads one file's records in order, and proves at its end that the
// file is the one its manifest names. It is for one goroutine.
type fileReader struct {
	file File
	raw  io.ReadCloser
	sum  hash.Hash
	size int64
	zip  *zstd.Decoder
	buf  *bufio.Reader

	long     []byte // a line beyond buf
	next     int64  // no offset below comes
	records  int64
	unpacked int64
	err      error // the first, also io.EOF
}

// openFile opens a file. Who opens it closes it.
func openFile(ctx context.Context, s Store, f File) (*fileReader, error) {
	raw, err := s.Open(ctx, f.Path)
	if errors.Is(err, ErrNotFound) {
		return nil, fault(f.Path, ErrMissing, "it should hold offsets %d to %d of %s/%d", f.First, f.Last, f.Topic, f.Partition)
	}
	if err != nil {
		return nil, err
	}
	r := &fileReader{file: f, raw: raw, sum: sha256.New(), next: f.First}
	r.zip, err = zstd.NewReader(readerFunc(r.read), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(16*window))
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("archive: read %s: %w", f.Path, err)
	}
	r.buf = bufio.NewReaderSize(r.zip, 64<<10)
	return r, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// read passes the file's own bytes on.
func (r *fileReader) read(p []byte) (int, error) {
	n, err := r.raw.Read(p)
	r.sum.Write(p[:n])
	r.size += int64(n)
	return n, err
}

func (r *fileReader) close() {
	r.zip.Close()
	r.raw.Close()
}

// line returns the next line and its offset; io.EOF behind the last if all that
// the manifest says held. The line is good until the next call.
func (r *fileReader) line() ([]byte, int64, error) {
	if r.err != nil {
		return nil, 0, r.err
	}
	line, offset, err := r.step()
	if err != nil {
		r.err = r.judge(err)
		return nil, 0, r.err
	}
	return line, offset, nil
}

func (r *fileReader) step() ([]byte, int64, error) {
	line, err := r.buf.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) && len(r.long) < maxLine {
			line, err = r.buf.ReadSlice('\n')
			r.long = append(r.long, line...)
		}
		line = r.long
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return nil, 0, r.wrong("the last line has no end")
	}
	if err != nil {
		return nil, 0, err
	}
	r.unpacked += int64(len(line))
	r.records++
	line = line[:len(line)-1]
	offset, err := lineOffset(line)
	if err != nil {
		return nil, 0, r.wrong("line %d is no record", r.records)
	}
	if offset < r.next || offset > r.file.Last {
		return nil, 0, r.wrong("line %d has offset %d, of %d to %d", r.records, offset, r.next, r.file.Last)
	}
	r.next = offset + 1
	return line, offset, nil
}

// parse reads a line of this file.
func (r *fileReader) parse(line []byte) (queue.Message, error) {
	m, err := ParseLine(line)
	if err == nil {
		return m, nil
	}
	return m, r.judge(r.wrong("line %d: %v", r.records, err))
}

func (r *fileReader) wrong(format string, args ...any) error {
	return fault(r.file.Path, ErrContent, format, args...)
}

// judge says why reading ended with err. What is wrong with the file as a whole
// explains more than what that did to a line.
func (r *fileReader) judge(err error) error {
	if _, rest := io.Copy(io.Discard, readerFunc(r.read)); rest != nil {
		return fmt.Errorf("archive: read %s: %w", r.file.Path, errors.Join(rest, err))
	}
	f := &r.file
	if r.size != f.Size {
		return fault(f.Path, ErrSize, "%d bytes, not %d", r.size, f.Size)
	}
	if sum := hex.EncodeToString(r.sum.Sum(nil)); sum != f.SHA256 {
		return fault(f.Path, ErrHash, "%s, not %s", sum, f.SHA256)
	}
	var known *Fault
	switch {
	case errors.As(err, &known):
		return err
	case !errors.Is(err, io.EOF):
		return r.wrong("behind line %d: %v", r.records, err)
	case r.records != f.Records:
		return r.wrong("%d records, not %d", r.records, f.Records)
	case r.unpacked != f.Unpacked:
		return r.wrong("%d bytes of lines, not %d", r.unpacked, f.Unpacked)
	}
	return io.EOF
}
