package edge

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sponge/pkg/channel"
	"sponge/pkg/protocol"
)

type webClient struct {
	t  *testing.T
	ws *websocket.Conn
}

func (h *harness) dialWeb(t *testing.T, url string) *webClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(2 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return &webClient{t, ws}
}

func (c *webClient) send(kind websocket.MessageType, text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, kind, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *webClient) read() (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, b, err := c.ws.Read(ctx)
	return string(b), err
}

func (c *webClient) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got, err := c.read(); err != nil || !strings.Contains(got, w) || strings.Contains(got, "\n") {
			c.t.Fatalf("got %q, %v; want %s", got, err, w)
		}
	}
}

func startWeb(t *testing.T, change func(*Config)) (*harness, string) {
	t.Helper()
	h := startEdge(t, func(c *Config) {
		c.WebListen = "127.0.0.1:0"
		if change != nil {
			change(c)
		}
	})
	return h, "ws://" + h.edge.Addrs()[1].String() + "/ws"
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	h, url := startWeb(t, nil)
	c := h.dialWeb(t, url)
	c.send(websocket.MessageText, `{"msgType":1,"USERID":6,"password":"x"}`)
	p := h.next()
	conn := p.env.Conn
	h.answer(p, func(r *result) { r.Session, r.Proof = channel.SessionBound, h.prove(6, conn, time.Hour) })
	c.expect(`{"msgType":101,"code":0}`)

	// A frame that waits for answers does not hold the socket's goroutine for ever.
	c.send(websocket.MessageText, chat(8, "a"))
	c.send(websocket.MessageText, `{"msgType":8,"id":"b"}`+"\n"+`{"msgType":0,"id":"c"}`)
	h.answer(h.next())
	c.expect(`"id":"a"`)
	h.answer(h.next())
	c.expect(`"id":"b"`, `"id":"c"`)

	h.results(result{Conns: []uint64{conn}, Push: true, Payload: []byte("{\"x\":1}\n{\"x\":2}\n")})
	c.expect(`{"x":1}`, `{"x":2}`)

	c.send(websocket.MessageText, `{"msgType":0`)
	c.expect(`{"msgType":100,"code":400`)
	c.send(websocket.MessageText, `} nonsense`)
	c.expect(`{"msgType":100,"code":400`)
	c.send(websocket.MessageText, `{"msgType":0,"id":"d"}`) // what was skipped ended with its message
	c.expect(`{"msgType":100,"code":0,"id":"d"}`)
	c.send(websocket.MessageBinary, `{"msgType":0}`)
	c.expect(`{"msgType":100,"code":400`)
	c.send(websocket.MessageText, `{"msgType":0}`)
	c.expect(`{"msgType":100,"code":0}`)
	if err := c.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
	h.closed(ClientClosed, 1)
	h.eventually("the presence entry is removed", func() bool { return !h.lease.has(6, conn) })
}

func TestWebSocketOversized(t *testing.T) {
	t.Parallel()
	h, url := startWeb(t, nil)
	c := h.dialWeb(t, url)
	fits := `{"msgType":0,"x":"` + strings.Repeat("x", protocol.MaxFrame-20) + `"}`
	c.send(websocket.MessageText, fits)
	c.expect(`{"msgType":100,"code":0}`)
	c.send(websocket.MessageText, fits+" ")
	c.expect(`{"msgType":100,"code":413`, `{"msgType":98,"reason":"oversized`)
	if _, err := c.read(); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("closed with %v", err)
	}
	h.closed(Oversized, 1)

	// What is far too large is not read to its end, and answered all the same.
	c = h.dialWeb(t, url)
	c.ws.SetReadLimit(-1)
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = c.ws.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat("x", 8<<20)))
	}()
	c.expect(`{"msgType":100,"code":413`, `{"msgType":98,"reason":"oversized`)
	<-written
	h.closed(Oversized, 2)
}

func TestWebSocketDrain(t *testing.T) {
	t.Parallel()
	h, url := startWeb(t, nil)
	c := h.dialWeb(t, url)
	c.send(websocket.MessageText, `{"msgType":0}`)
	c.expect(`{"msgType":100,"code":0}`)
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	c.expect(`{"msgType":98,"reason":"draining`)
	if _, err := c.read(); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("closed with %v", err)
	}
	<-stopped
}

func TestWebSocketGoesAway(t *testing.T) {
	t.Parallel()
	h, url := startWeb(t, func(c *Config) { c.DrainTimeout = 50 * time.Millisecond })
	c := h.dialWeb(t, url)
	c.send(websocket.MessageText, chat(8, "a"))
	c.send(websocket.MessageText, `{"msgType":8}`) // parked
	h.next()
	c.ws.CloseNow()
	h.stop()
	if n := h.edge.table.open.Load(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

func TestWebSocketThroughAnotherServer(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	other := httptest.NewServer(httpHandler(h.edge.HandleWebSocket))
	defer other.Close()
	c := h.dialWeb(t, other.URL)
	c.send(websocket.MessageText, `{"msgType":0}`)
	c.expect(`{"msgType":100,"code":0}`)
	h.stop()
	if _, _, err := websocket.Dial(t.Context(), other.URL, nil); err == nil {
		t.Error("a WebSocket is accepted after the end")
	}
}
