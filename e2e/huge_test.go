package e2e

import (
	"bytes"
	"slices"
	"testing"
)

// TestHuge sends 10 MiB without a newline. The connection beside it notices nothing.
func TestHuge(t *testing.T) {
	huge := bytes.Repeat([]byte("x"), 10<<20)
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		beside, peer := login(t, c.edge(0), pair[0].account), pair[1]

		t.Run("as a frame", func(t *testing.T) {
			conn := dial(t, c.edge(0))
			conn.write(`{"msgType":4,"TOID":1,"msg":"`)
			written := flood(conn, huge)
			conn.wantFault(0, 413, "")
			conn.wantNotice()
			peer.wantChat(beside.id, "during", beside.chat(peer.id, "during"))
			conn.wantClosed()
			<-written
		})
		t.Run("as a key", func(t *testing.T) {
			conn := dial(t, c.edge(0))
			conn.write(`{"msgType":0,"`)
			written := flood(conn, huge)
			conn.wantFault(0, 413, "")
			conn.wantNotice()
			conn.wantClosed()
			<-written
		})
		t.Run("behind frames that get their answers", func(t *testing.T) {
			conn := login(t, c.edge(0), peer.account)
			conn.write(`{"msgType":0}{"msgType":8}{"msgType":4,"TOID":` + js(peer.id) + `,"msg":"x"}{"msgType":0,"`)
			written := flood(conn, huge[:1<<20])
			conn.wantReply(`{"msgType":100,"code":0}`)
			conn.wantReply(`{"msgType":108,"code":0,"friends":[]}`)
			conn.wantReply(`{"msgType":104,"code":0,"TOID":%d,"seq":1,"msgId":"$text","time":"$time"}`, peer.id)
			conn.wantFault(0, 413, "")
			conn.wantNotice()
			conn.wantClosed()
			<-written
		})
		t.Run("as no frame", func(t *testing.T) {
			// That is malformed up to the next newline, however far it is; or too large.
			conn := dial(t, c.edge(0))
			written := flood(conn, slices.Concat(huge, []byte("\n{\"msgType\":0}")))
			f := conn.reply()
			if f.int("code") == 413 {
				conn.wantNotice()
				conn.wantClosed()
			} else {
				conn.must(f, `{"msgType":100,"code":400,"error":"$text"}`)
				conn.must(conn.next(), `{"msgType":100,"code":0}`)
			}
			<-written
		})
	})
}

// flood writes without waiting, and without complaint when the server hangs up.
func flood(c *client, b []byte) (written <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.link.write(b)
	}()
	return done
}
