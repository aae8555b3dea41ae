package e2e

import (
	"testing"
	"time"
)

// TestIdle tests an edge with short limits: who doesn't log in, or says nothing, is
// closed with a notice.
func TestIdle(t *testing.T) {
	t.Parallel()
	c := get(t, sharedRoles)
	const loginTimeout, idleTimeout = 5 * time.Second, 3 * time.Second
	_, addr := c.roles.startEdge(t, "idle",
		"SPONGE_EDGE_LOGIN_TIMEOUT="+loginTimeout.String(), "SPONGE_EDGE_IDLE_TIMEOUT="+idleTimeout.String())
	user := users(t, c, 1)[0].account

	closes := func(t *testing.T, conn *client, after time.Duration, since time.Time) {
		t.Helper()
		conn.wantNotice()
		conn.wantClosed()
		if took := time.Since(since); took < after-100*time.Millisecond || took > after+8*time.Second {
			t.Errorf("closed after %v, want %v", took, after)
		}
	}
	t.Run("silent from the start", func(t *testing.T) {
		t.Parallel()
		start := time.Now()
		conn := dial(t, addr)
		closes(t, conn, min(loginTimeout, idleTimeout), start)
	})
	t.Run("half a frame", func(t *testing.T) {
		t.Parallel()
		conn := login(t, addr, user)
		start := time.Now()
		conn.write(`{"msgType":4,"TOID":1,"msg":"`)
		closes(t, conn, idleTimeout, start)
	})
	t.Run("silent after the login", func(t *testing.T) {
		t.Parallel()
		conn := login(t, addr, user)
		start := time.Now()
		conn.ping()
		closes(t, conn, idleTimeout, start)
	})
	t.Run("talks but does not log in", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, addr)
		start := time.Now()
		tick := time.NewTicker(idleTimeout / 8)
		defer tick.Stop()
		for time.Since(start) < loginTimeout+8*time.Second {
			<-tick.C
			if err := conn.link.write([]byte(`{"msgType":0}`)); err != nil {
				t.Fatalf("closed without a notice: %v", err)
			}
			f := conn.next()
			if f.int("msgType") == 98 {
				conn.must(f, `{"msgType":98,"reason":"$text","reconnect":"$bool","after":"$count"}`)
				conn.wantClosed()
				if took := time.Since(start); took < loginTimeout-100*time.Millisecond {
					t.Errorf("closed after %v, want %v", took, loginTimeout)
				}
				return
			}
			conn.match(f, `{"msgType":100,"code":0}`)
		}
		conn.fail("still open")
	})
	t.Run("talks", func(t *testing.T) {
		t.Parallel()
		conn := login(t, addr, user)
		tick := time.NewTicker(idleTimeout / 4)
		defer tick.Stop()
		for start := time.Now(); time.Since(start) < loginTimeout+idleTimeout; <-tick.C {
			conn.ping()
		}
	})
	t.Run("web", func(t *testing.T) {
		t.Parallel()
		port, err := freePorts(1)
		if err != nil {
			t.Fatal(err)
		}
		c.roles.startEdge(t, "idle-web", "SPONGE_EDGE_WEB_LISTEN="+loopback(port),
			"SPONGE_EDGE_LOGIN_TIMEOUT="+loginTimeout.String(), "SPONGE_EDGE_IDLE_TIMEOUT="+idleTimeout.String())
		conn := login(t, webURL(loopback(port)), user)
		start := time.Now()
		conn.ping()
		closes(t, conn, idleTimeout, start)
	})
}
