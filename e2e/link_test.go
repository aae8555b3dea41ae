package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a client waits for a frame: the program answers each within
// 10 s, if only with a 504, which is better seen than missed.
const patience = 12 * time.Second

// maxOutbound is the largest frame that the server may send.
const maxOutbound = 1 << 20

// errClosed says that the server ended the connection in an orderly way.
var errClosed = errors.New("closed by the server")

// link carries frames: over TCP, or one a text message over a WebSocket.
type link interface {
	// write sends bytes as they are.
	write(b []byte) error
	// read returns the next frame's bytes, or errClosed.
	read(patience time.Duration) ([]byte, error)
	// close drops the connection without a word.
	close()
}

// open connects to a TCP address or, for one that begins with ws://, a WebSocket.
func open(addr string) (link, error) {
	if strings.HasPrefix(addr, "ws://") {
		return openWeb(addr)
	}
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return newTCP(conn), nil
}

type tcp struct {
	conn net.Conn
	in   *bufio.Reader
}

func newTCP(conn net.Conn) *tcp { return &tcp{conn: conn, in: bufio.NewReader(conn)} }

func (l *tcp) write(b []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(4 * patience)); err != nil {
		return err
	}
	_, err := l.conn.Write(b)
	return err
}

func (l *tcp) read(patience time.Duration) ([]byte, error) {
	if err := l.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	line, err := l.in.ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, errClosed
	case err != nil:
		return nil, fmt.Errorf("%w, after %d bytes of a frame: %.200q", err, len(line), line)
	case len(line) > maxOutbound:
		return nil, fmt.Errorf("a frame of %d bytes", len(line))
	}
	return line[:len(line)-1], nil
}

func (l *tcp) close() { _ = l.conn.Close() }

type web struct{ conn *websocket.Conn }

func openWeb(url string) (*web, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxOutbound)
	return &web{conn}, nil
}

func (l *web) write(b []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return l.conn.Write(ctx, websocket.MessageText, b)
}

func (l *web) read(patience time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, b, err := l.conn.Read(ctx)
	switch {
	case websocket.CloseStatus(err) != -1:
		return nil, errClosed
	case err != nil:
		return nil, err
	case kind != websocket.MessageText:
		return nil, fmt.Errorf("a message that is not text: %.200q", b)
	}
	// A newline may stand at the end, as on TCP.
	return []byte(strings.TrimSuffix(string(b), "\n")), nil
}

func (l *web) close() { _ = l.conn.CloseNow() }
