package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/coder/websocket"

	"sponge/pkg/protocol"
)

// webConn is a connection over a WebSocket: each frame is a text message, both
// ways. Its read token stays with the goroutine of the HTTP handler.
type webConn struct {
	conn
	ws      *websocket.Conn
	ctx     context.Context // ends with the socket
	cancel  context.CancelFunc
	resumed chan struct{}
	frame   protocol.Frame
}

// webServer serves /ws on WebListen.
func (e *Edge) webServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", e.HandleWebSocket)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
}

// HandleWebSocket serves one WebSocket, so that another web server of the
// process can lead /ws here. It refuses with 503 unless the edge serves.
func (e *Edge) HandleWebSocket(w http.ResponseWriter, r *http.Request) {
	if !e.enter() {
		http.Error(w, "this server is starting or going away", http.StatusServiceUnavailable)
		return
	}
	defer e.sockets.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		// Pages of any origin may connect: who is speaking is told by the
		// password or token within a frame, never by a cookie that a browser
		// would add for somebody else's page.
		InsecureSkipVerify: true,
		// A compressor takes more memory than everything else of a connection.
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		e.log.Debug("not a WebSocket", "peer", r.RemoteAddr, "error", err)
		return
	}
	ws.SetReadLimit(-1) // read bounds a message itself, to answer what is too large
	ctx, cancel := context.WithCancel(e.serving)
	defer cancel()
	c := &webConn{ws: ws, ctx: ctx, cancel: cancel, resumed: make(chan struct{}, 1)}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	e.admit(&c.conn, c, peer)
	c.serve()
	ws.CloseNow()
}

// enter counts a handler in, unless the edge does not serve.
func (e *Edge) enter() bool {
	select {
	case <-e.ready:
	default:
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining.Load() {
		return false
	}
	e.sockets.Add(1)
	return true
}

// serve reads messages until the socket ends.
func (c *webConn) serve() {
	for {
		message, verdict, err := c.read()
		if err != nil {
			c.failed(err)
			return
		}
		if !c.heard() {
			continue
		}
		c.ended, c.verdict = true, verdict
		for readOn := c.take(message, &c.frame); !readOn; readOn = c.take(nil, &c.frame) {
			select {
			case <-c.resumed:
			case <-c.ctx.Done():
				c.failed(c.ctx.Err())
				return
			}
		}
		if verdict == itemOversized {
			// The rest of the message is the closing handshake's to read: ending
			// the socket before would take the answer from the client.
			<-c.ctx.Done()
			c.failed(c.ctx.Err())
			return
		}
	}
}

// read reads one message, and says where it is none that can be handled.
func (c *webConn) read() (message []byte, verdict itemKind, err error) {
	kind, r, err := c.ws.Reader(c.ctx)
	if err != nil {
		return nil, itemNone, err
	}
	limit := c.edge.cfg.MaxFrame
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, itemNone, err
	case n > int64(limit):
		return buf.Bytes(), itemOversized, nil
	case kind != websocket.MessageText:
		return buf.Bytes(), itemMalformed, nil
	}
	return buf.Bytes(), itemNone, nil
}

// failed ends the connection of a socket that cannot be read any more.
func (c *webConn) failed(err error) {
	reason := ClientClosed
	if status := websocket.CloseStatus(err); status == -1 && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
		reason = ProtocolError
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eof = true
	if c.state == open {
		c.dropOut()
		c.close(reason)
		return
	}
	c.giveBack()
}

func (c *webConn) transport() transport { return webSocket }

func (c *webConn) resume() {
	select {
	case c.resumed <- struct{}{}:
	default:
	}
}

// write leaves everything to writeAll: the WebSocket waits.
func (c *webConn) write([]byte) (int, error) { return 0, nil }

// writeAll writes each line as a message, without its newline.
func (c *webConn) writeAll(b []byte, within time.Duration) (n int, err error) {
	for n < len(b) {
		end := bytes.IndexByte(b[n:], '\n')
		if end < 0 {
			end = len(b) - n
		}
		ctx, cancel := context.WithTimeout(c.ctx, within)
		err := c.ws.Write(ctx, websocket.MessageText, b[n:n+end])
		timedOut := ctx.Err() == context.DeadlineExceeded
		cancel()
		if err != nil {
			if timedOut {
				err = errors.Join(err, context.DeadlineExceeded)
			}
			return n, err
		}
		n = min(n+end+1, len(b))
	}
	return n, nil
}

// shutdown says goodbye in a goroutine: that waits for the other side.
func (c *webConn) shutdown(r Reason) {
	c.edge.sockets.Add(1)
	go func() {
		defer c.edge.sockets.Done()
		_ = c.ws.Close(closeStatus(r), r.String())
		c.cancel()
	}()
}

func closeStatus(r Reason) websocket.StatusCode {
	switch r {
	case ClientClosed:
		return websocket.StatusNormalClosure
	case Oversized:
		return websocket.StatusMessageTooBig
	case Draining:
		return websocket.StatusServiceRestart
	case ServerFull:
		return websocket.StatusTryAgainLater
	case Internal:
		return websocket.StatusInternalError
	}
	return websocket.StatusPolicyViolation
}

func (c *webConn) destroy() { c.cancel() }

func (c *webConn) release() { c.cancel() }
