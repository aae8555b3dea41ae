package archive

import (
	"context"
	"errors"
	"io"

	"sponge/pkg/queue"
)

// A batch of Stream.Next ends when it has so many records, or so many bytes of
// lines.
const (
	batchRecords = 256
	batchBytes   = 128 << 10
)

// stream is an audit.Stream over an archive.
type stream struct {
	store  Store
	parts  map[int]*partition
	closed bool
}

type partition struct {
	files []File // left to open
	want  queue.Bounds
	in    *fileReader // nil: none is open
	err   error       // the first
}

// Next implements audit.Stream.
func (s *stream) Next(ctx context.Context, partition int) ([]queue.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := s.parts[partition]
	switch {
	case s.closed:
		return nil, errors.New("archive: the stream is closed")
	case p == nil:
		return nil, io.EOF // it was not asked for
	case p.err == nil:
		var out []queue.Message
		out, p.err = p.batch(ctx, s.store)
		if len(out) > 0 {
			return out, nil // the error comes the next time
		}
	}
	if p.in != nil {
		p.in.close()
		p.in = nil
	}
	return nil, p.err
}

// batch reads on. It may return records beside an error.
func (p *partition) batch(ctx context.Context, store Store) (out []queue.Message, err error) {
	size := 0
	for len(out) < batchRecords && size < batchBytes {
		if p.in == nil {
			if len(p.files) == 0 {
				return out, io.EOF
			}
			if p.in, err = openFile(ctx, store, p.files[0]); err != nil {
				return out, err
			}
			p.files = p.files[1:]
		}
		line, offset, err := p.in.line()
		if errors.Is(err, io.EOF) {
			p.in.close()
			p.in = nil
			continue
		}
		if err != nil {
			return out, err
		}
		if offset < p.want.First {
			continue
		}
		if offset >= p.want.Next {
			return out, io.EOF
		}
		m, err := p.in.parse(line)
		if err != nil {
			return out, err
		}
		if m.Offset+1 >= p.want.Next {
			// What nobody asks for must be what it should be, too.
			if err := p.prove(); err != nil {
				return out, err
			}
		}
		out = append(out, m)
		size += len(line)
	}
	return out, nil
}

// prove reads the open file to its end, where it shows whether it is the one that
// its manifest names.
func (p *partition) prove() error {
	for p.in != nil {
		if _, _, err := p.in.line(); err != nil {
			p.in.close()
			p.in = nil
			if !errors.Is(err, io.EOF) {
				return err
			}
		}
	}
	p.files = nil
	return nil
}

// Prove implements audit.Prover.
func (s *stream) Prove(ctx context.Context) error {
	for _, p := range s.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.err != nil && !errors.Is(p.err, io.EOF) {
			return p.err
		}
		if p.err == nil {
			p.err = p.prove()
		}
		if p.err != nil && !errors.Is(p.err, io.EOF) {
			return p.err
		}
	}
	return nil
}

// Close implements audit.Stream.
func (s *stream) Close() error {
	s.closed = true
	for _, p := range s.parts {
		if p.in != nil {
			p.in.close()
			p.in = nil
		}
	}
	return nil
}
