package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// account is a registered user, and the token of its last login.
type account struct {
	id       int64
	name     string
	password string
	token    string
}

// client is one connection, and what was said on it. It is for the test's own
// goroutine, but for write.
type client struct {
	account
	t    *testing.T
	addr string
	link link
	seen []string // what went out and came in, for the report of a failure
	held []frame  // pushes that came while a reply was awaited
}

// dial connects to an edge; the connection is dropped at the end of the test.
func dial(t *testing.T, addr string) *client {
	t.Helper()
	l, err := open(addr)
	if err != nil {
		t.Fatalf("connect to %s: %v", addr, err)
	}
	return newClient(t, addr, l)
}

func newClient(t *testing.T, addr string, l link) *client {
	t.Cleanup(l.close)
	return &client{t: t, addr: addr, link: l}
}

func (c *client) note(direction string, b []byte) {
	text := strings.TrimSuffix(string(b), "\n")
	if len(text) > 300 {
		text = fmt.Sprintf("%s … (%d bytes)", text[:300], len(text))
	}
	c.seen = append(c.seen, direction+" "+text)
}

// fail ends the test with the last of what was said on the connection.
func (c *client) fail(format string, args ...any) {
	c.t.Helper()
	seen := c.seen[max(0, len(c.seen)-40):]
	c.t.Fatalf("%s\non the connection of user %d to %s:\n\t%s",
		fmt.Sprintf(format, args...), c.id, c.addr, strings.Join(seen, "\n\t"))
}

// write sends text as it is.
func (c *client) write(text string) {
	c.t.Helper()
	c.note(">", []byte(text))
	if err := c.link.write([]byte(text)); err != nil {
		c.fail("write: %v", err)
	}
}

// send sends one frame, formatted, and a newline.
func (c *client) send(format string, args ...any) {
	c.t.Helper()
	c.write(fmt.Sprintf(format, args...) + "\n")
}

// read returns the next frame, or errClosed.
func (c *client) read() (frame, error) {
	c.t.Helper()
	b, err := c.link.read(patience)
	if errors.Is(err, errClosed) {
		c.note("<", []byte("(closed)"))
		return nil, err
	}
	if err != nil {
		c.fail("read: %v", err)
	}
	c.note("<", b)
	f, err := decode(b)
	if err != nil {
		c.fail("read: %v: %.200q", err, b)
	}
	if f.int("msgType") < 0 {
		c.fail("a frame without msgType")
	}
	return f, nil
}

// next returns the next frame of any kind.
func (c *client) next() frame {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.fail("read: %v", err)
	}
	return f
}

// reply returns the next reply, and keeps the pushes before it for push.
func (c *client) reply() frame {
	c.t.Helper()
	for {
		switch f := c.next(); f.int("msgType") {
		case 4, 9:
			c.held = append(c.held, f)
		case 98:
			c.fail("a notice instead of a reply")
		default:
			return f
		}
	}
}

// push returns the next push.
func (c *client) push() frame {
	c.t.Helper()
	if len(c.held) > 0 {
		f := c.held[0]
		c.held = c.held[1:]
		return f
	}
	f := c.next()
	if n := f.int("msgType"); n != 4 && n != 9 {
		c.fail("want a push")
	}
	return f
}

// call sends a frame and returns its reply.
func (c *client) call(format string, args ...any) frame {
	c.t.Helper()
	c.send(format, args...)
	return c.reply()
}

// match holds a frame against a template (see mismatch).
func (c *client) match(f frame, template string) frame {
	c.t.Helper()
	if d := mismatch(f, template); d != "" {
		c.fail("got  %.1000s\nwant %.1000s\n%s", f, template, d)
	}
	return f
}

// must is match with a format.
func (c *client) must(f frame, format string, args ...any) frame {
	c.t.Helper()
	return c.match(f, fmt.Sprintf(format, args...))
}

// wantReply holds the next reply against a template.
func (c *client) wantReply(format string, args ...any) frame {
	c.t.Helper()
	return c.must(c.reply(), format, args...)
}

// wantPush holds the next push against a template.
func (c *client) wantPush(format string, args ...any) frame {
	c.t.Helper()
	return c.must(c.push(), format, args...)
}

// wantFault expects the refusal of a frame of the given type. A 400 about a field
// names it.
func (c *client) wantFault(msgType, code int, field string) {
	c.t.Helper()
	template := fmt.Sprintf(`{"msgType":%d,"code":%d,"error":"$text"}`, 100+msgType, code)
	if field != "" {
		template = fmt.Sprintf(`{"msgType":%d,"code":%d,"error":"$text","field":%s}`, 100+msgType, code, js(field))
	}
	c.match(c.reply(), template)
}

// wantNotAFrame expects the answer to what could not be read as a frame.
func (c *client) wantNotAFrame() {
	c.t.Helper()
	c.wantReply(`{"msgType":100,"code":400,"error":"$text","field?":"$text"}`)
}

// ping shows that the connection serves, and that nothing came before the answer.
func (c *client) ping() {
	c.t.Helper()
	c.send(`{"msgType":0}`)
	c.must(c.next(), `{"msgType":100,"code":0}`)
}

// wantNotice expects a notice.
func (c *client) wantNotice() frame {
	c.t.Helper()
	return c.must(c.next(), `{"msgType":98,"reason":"$text","reconnect":"$bool","after":"$count"}`)
}

// wantClosed expects the end of the connection.
func (c *client) wantClosed() {
	c.t.Helper()
	if f, err := c.read(); !errors.Is(err, errClosed) {
		c.fail("still open: %s", f)
	}
}

// drop closes the connection without a word.
func (c *client) drop() { c.link.close() }

// eventually polls, for what no frame announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
