package edge

import (
	"fmt"
	"strings"
	"testing"

	"sponge/pkg/protocol"
)

func chat(to int, id string) string {
	return fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"x","id":"%s"}`, to, id)
}

func TestBarriers(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.login(6)
	c.send(chat(8, "a") + chat(8, "b") + `{"msgType":8}` + chat(8, "c") + `{"msgType":0,"id":"p"}` + `[]` + chat(8, "d"))
	a, b := h.next(), h.next()
	h.answer(a)
	c.expect(`"id":"a"`)
	h.silent() // 8 waits for b
	h.answer(b)
	c.expect(`"id":"b"`)
	list := h.next()
	if list.frame.Type != protocol.ListFriends {
		t.Fatalf("published %s", list.rec.Value)
	}
	h.silent() // c waits for 8
	h.answer(list)
	c.expect(`"msgType":108`)
	h.answer(h.next())
	c.expect(`"id":"c"`, `{"msgType":100,"code":0,"id":"p"}`, `{"msgType":100,"code":400,`)
	h.answer(h.next())
	c.expect(`"id":"d"`)
}

func TestFullWindowStopsReading(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.login(6)
	const n = 3 * protocol.Window
	var script strings.Builder
	for i := range n {
		script.WriteString(chat(8, fmt.Sprint(i)))
	}
	c.send(script.String())
	var waiting []*published
	for i := range n {
		for len(waiting) == 0 || len(h.kafka.records) > 0 {
			waiting = append(waiting, h.next())
		}
		if len(waiting) > protocol.Window {
			t.Fatalf("%d frames are outstanding", len(waiting))
		}
		h.answer(waiting[0])
		waiting = waiting[1:]
		c.expect(fmt.Sprintf(`"id":"%d"`, i))
	}
	h.silent()
}

func TestRepliesKeepTypedOrderWithinAConversation(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.login(6)
	c.send(chat(8, "a") + chat(8, "b") + chat(9, "other") + chat(8, "c") + `{"msgType":5,"TOID":8,"seq":1}` + chat(8, "d"))
	var p []*published
	for range 6 {
		p = append(p, h.next())
	}
	h.answer(p[3])
	h.answer(p[1])
	h.answer(p[2])
	c.expect(`"id":"other"`)
	h.answer(p[0])
	c.expect(`"id":"a"`, `"id":"b"`, `"id":"c"`)
	h.answer(p[5])
	h.results(h.result(p[4], func(r *result) { r.Payload = nil })) // 5 is answered only if it fails
	c.expect(`"id":"d"`)
	c.quiet()
	if n := h.edge.metrics.outstanding.Load(); n != 0 {
		t.Errorf("%d frames are outstanding", n)
	}
}

func TestAnswersThatAreNotOutstanding(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.login(6)
	c.send(chat(8, "a"))
	p := h.next()
	h.answer(p)
	h.answer(p) // the topic may hold a frame twice
	c.expect(`"id":"a"`)
	h.results(result{Conns: []uint64{p.env.Conn}, Request: 99, Payload: []byte("{}\n")})
	h.results(result{Conns: []uint64{12345}, Push: true, Payload: []byte("{}\n")})
	h.chann.entries <- []byte{0xff, 0xff} // nothing that can be read
	c.quiet()
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.login(6)
	c.send(chat(8, "a") + `{"msgType":8,"id":"b"}` + `{"msgType":0`)
	c.nc.CloseWrite()
	h.answer(h.next())
	h.answer(h.next())
	c.expect(`"id":"a"`, `"id":"b"`, `"msgType":100,"code":400`)
	if rest := c.rest(); rest != "" {
		t.Errorf("then %q", rest)
	}
	h.closed(ClientClosed, 1)
}

func TestHalfCloseWithNothingOutstanding(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.send(`{"msgType":0}`)
	c.nc.CloseWrite()
	if rest := c.rest(); rest != `{"msgType":100,"code":0}`+"\n" {
		t.Errorf("got %q", rest)
	}
	h.closed(ClientClosed, 1)
}

func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	conn := c.login(6)
	c.send(chat(8, "a") + `{"msgType":8}`) // one outstanding, one parked
	p := h.next()
	c.nc.SetLinger(0) // a reset
	c.nc.Close()
	h.answer(p)
	h.eventually("the presence entry is removed", func() bool { return !h.lease.has(6, conn) })
	h.eventually("the connection is forgotten", func() bool { return h.edge.table.get(conn) == nil })
}

func TestRefusedByAFullQueue(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.login(6)
	h.kafka.setFull(true)
	c.send(chat(8, "a") + chat(8, "b") + `{"msgType":8,"id":"c"}`)
	for _, id := range []string{"a", "b", "c"} {
		c.expect(`"code":503,"id":"` + id + `"`)
	}
	h.kafka.setFull(false)
	c.send(chat(8, "d"))
	h.answer(h.next())
	c.expect(`"code":0,"id":"d"`)
}

func TestByteByByte(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.nc.SetNoDelay(true)
	for _, b := range []byte(`{"msgType":0,"id":"slowly"}`) {
		c.send(string(b))
	}
	c.expect(`"id":"slowly"`)
}

func TestTooManySecrets(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	frame := `{"msgType":8,"x":[` + strings.Repeat(`{"token":"t"},`, 1000) + `0]}`
	c.send(frame)
	c.expect(`{"msgType":108,"code":401,`)
	c.login(6)
	c.send(frame)
	c.expect(`{"msgType":108,"code":400,`)
	h.silent()
}

func TestOversized(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	beside := h.dial()
	for _, head := range []string{"", "{", `{"a":"`, "[", `"`, "}"} {
		c := h.dial()
		go func() { // 10 MiB; the edge closes before all of it is written
			for i := 0; i < 160; i++ {
				if _, err := c.nc.Write([]byte(head + strings.Repeat("1", 64<<10))); err != nil {
					return
				}
			}
		}()
		first := c.line()
		if head == "}" || head == "{" { // a fault before the limit
			if !strings.Contains(first, `"code":400`) {
				t.Errorf("%q: got %s", head, first)
			}
			first = c.line()
		}
		if !strings.Contains(first, `{"msgType":100,"code":413,`) {
			t.Errorf("%q: got %s", head, first)
		}
		c.expect(`{"msgType":98,"reason":"oversized: the frame is too large","reconnect":true`)
	}
	beside.quiet()
	h.closed(Oversized, 6)
}

func TestLargestFrame(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()
	c.login(6)
	frame := `{"msgType":4,"TOID":8,"msg":""}`
	frame = strings.Replace(frame, `""`, `"`+strings.Repeat("好", (protocol.MaxFrame-len(frame))/3)+`"`, 1)
	frame += strings.Repeat(" ", protocol.MaxFrame-len(frame)) // blanks belong to no frame
	c.send(frame + frame)
	for range 2 {
		p := h.next()
		if want := strings.TrimRight(frame, " "); string(p.rec.Value) != want {
			t.Errorf("%d bytes were published, want %d", len(p.rec.Value), len(want))
		}
		h.answer(p)
		c.expect(`"msgType":104,"code":0`)
	}
}
