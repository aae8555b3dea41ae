package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestWeb tests what is a WebSocket's own: a message is a frame.
func TestWeb(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		a := dial(t, c.web)
		for _, text := range []string{
			`{"msgType":0`, `hello`, `[1]`, `"x"`, `42`, `null`, `{}`, `{"msgType":"0"}`, `{"msgType":0,}`,
			"{\"msgType\":0,\"a\":\"\x00\"}", `{"msgType":77}`,
		} {
			a.write(text)
			a.wantNotAFrame()
			a.write(`{"msgType":0}`)
			a.must(a.next(), `{"msgType":100,"code":0}`)
		}
		a.write(" {\"msgType\":0}\r\n")
		a.must(a.next(), `{"msgType":100,"code":0}`)

		written := flood(a, []byte(strings.Repeat("x", 1<<20)))
		a.wantFault(0, 413, "")
		a.wantNotice()
		a.wantClosed()
		<-written
	})
}

// TestWebPlain asks the WebSocket's address in plain HTTP.
func TestWebPlain(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		browser := http.Client{Timeout: patience}
		r, err := browser.Get(strings.Replace(c.web, "ws://", "http://", 1))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode < 400 || r.StatusCode > 499 {
			t.Errorf("status %s", r.Status)
		}
	})
}
