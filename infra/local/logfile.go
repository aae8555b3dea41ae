package local

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
)

const (
	logKeep      = 8 << 20 // a log longer than this is put aside at the next start
	logTailBytes = 4 << 10
	logTailLines = 12
)

// logFile is where a server's output goes. The server writes it directly.
type logFile struct {
	file  *os.File
	path  string
	start int64 // where this run's output begins
}

func openLog(path string) (*logFile, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Size() > logKeep:
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err = file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &logFile{file: file, path: path, start: info.Size()}, nil
}

func (l *logFile) close() { _ = l.file.Close() }

// tail returns the last lines of this run's output.
func (l *logFile) tail() string {
	f, err := os.Open(l.path)
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(l.start, info.Size()-logTailBytes)
	b := make([]byte, max(0, info.Size()-from))
	n, _ := f.ReadAt(b, from) // a short read is a shorter tail
	if n == 0 {
		return "(nothing)"
	}
	return lastLines(b[:n], logTailLines)
}

// lastLines returns the last n lines of b.
func lastLines(b []byte, n int) string {
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
