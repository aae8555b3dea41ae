package compose_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestDeployment runs what compose.yml says as processes, and does with it what
// docs/deploy.md does: bring it up, talk, scale, upgrade without loss, and down.
func TestDeployment(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	migrate := d.project.Services["migrate"]
	for range 2 { // every "up" runs it again
		start(t, "migrate", "", d.env("migrate", ""), sponge(t), migrate.Command...).end(t, patience)
	}
	workers := []string{"worker-login", "worker-friend", "worker-group", "worker-storage"}
	for _, w := range workers {
		d.scale(t, w, 1)
	}
	edges := d.project.Services["edge"]
	d.scale(t, "edge", edges.GetScale())
	d.balance(t)
	d.awaitBackends(t, 3)

	a, b := join(t, d, "a"), join(t, d, "b")
	a.chat(b, "first")
	spread(t, d, 3)

	d.scale(t, "worker-storage", 3)
	a.chat(b, "with three workers for storage")

	t.Log("an upgrade: as many new edges, and the old ones drain")
	old := d.running["edge"]
	d.scale(t, "edge", 6)
	d.awaitBackends(t, 6)
	const count, window = 300, 64
	// The workers answer only when the balancer has seen the edges go: it must
	// not cut who waits for an answer.
	for _, w := range d.running["worker-storage"] {
		w.signal(t, syscall.SIGSTOP)
	}
	for i := range count {
		a.send(`{"msgType":4,"TOID":%d,"msg":"%d","id":"%d"}`, b.id, i, i)
	}
	d.awaitOutstanding(t, window)
	for _, e := range old {
		e.signal(t, syscall.SIGTERM)
	}
	d.awaitBackends(t, 3)
	for _, w := range d.running["worker-storage"] {
		w.signal(t, syscall.SIGCONT)
	}
	answered, noticed := 0, false
	for {
		f, err := a.read()
		if err != nil {
			break
		}
		switch {
		case f["msgType"] == 98.0:
			noticed = f["reconnect"] == true
		case f["msgType"] == 104.0 && f["code"] == 0.0 && f["id"] == strconv.Itoa(answered):
			answered++
		default:
			t.Fatalf("unexpected: %v", f)
		}
	}
	// What the edge had not read when it was told is not answered, and not stored.
	if !noticed || answered != window {
		t.Errorf("%d of %d answered, told to come back: %t", answered, window, noticed)
	}
	d.ended(t, "edge", old)
	a, b = a.again(t, d), b.again(t, d)
	for i := range count {
		a.send(`{"msgType":4,"TOID":%d,"msg":"%d","id":"%d"}`, b.id, i, i)
		if f := a.reply(104); f["seq"] != float64(i+3) { // after the two of before, in order, once
			t.Fatalf("message %d: %v", i, f)
		}
	}
	d.awaitBackends(t, 3)

	t.Log("down: balancer and edges together, then the workers")
	d.running["haproxy"][0].signal(t, syscall.SIGUSR1)
	d.stop(t, "edge", d.running["edge"])
	if f, err := a.read(); err != nil || f["msgType"] != 98.0 {
		t.Errorf("not told to come back: %v, %v", f, err)
	}
	a.conn.Close()
	b.conn.Close()
	d.running["haproxy"][0].end(t, time.Duration(*d.project.Services["haproxy"].StopGracePeriod))
	for _, w := range workers {
		d.stop(t, w, d.running[w])
	}
}

// spread checks that connections land on each of n edges.
func spread(t *testing.T, d *deployment, n int) {
	t.Helper()
	for range 2 * n {
		conn, err := net.Dial("tcp", d.front)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	open := regexp.MustCompile(`(?m)^sponge_edge_connections\{transport="tcp"\} [1-9]`)
	for _, c := range d.running["edge"] {
		until(t, "connections to "+c.name, func(ctx context.Context) error {
			text, err := get(ctx, "http://"+d.inside(":9100", c.ip)+"/metrics")
			if err == nil && !open.MatchString(text) {
				err = errors.New("none")
			}
			return err
		})
	}
}

// client is a user behind the balancer.
type client struct {
	t    *testing.T
	id   int64
	conn net.Conn
	in   *json.Decoder
}

func dial(t *testing.T, d *deployment) *client {
	t.Helper()
	conn, err := net.Dial("tcp", d.front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, in: json.NewDecoder(conn)}
}

// join registers a user and logs him in.
func join(t *testing.T, d *deployment, name string) *client {
	t.Helper()
	c := dial(t, d)
	c.send(`{"msgType":2,"name":"%s","password":"p"}`, name)
	c.id = int64(c.reply(102)["USERID"].(float64))
	c.login()
	return c
}

// again comes back on a connection of its own.
func (c *client) again(t *testing.T, d *deployment) *client {
	t.Helper()
	fresh := dial(t, d)
	fresh.id = c.id
	fresh.login()
	return fresh
}

func (c *client) login() {
	c.t.Helper()
	c.send(`{"msgType":1,"USERID":%d,"password":"p"}`, c.id)
	c.reply(101)
}

// chat sends a message, and has the other receive it.
func (c *client) chat(to *client, text string) {
	c.t.Helper()
	c.send(`{"msgType":4,"TOID":%d,"msg":"%s"}`, to.id, text)
	c.reply(104)
	if f, err := to.read(); err != nil || f["msg"] != text || f["FROMID"] != float64(c.id) {
		c.t.Fatalf("%q came as %v, %v", text, f, err)
	}
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, format+"\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next frame; an error means that the connection has ended.
func (c *client) read() (map[string]any, error) {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	var f map[string]any
	err := c.in.Decode(&f)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatal(err)
	}
	return f, err
}

// reply returns the next reply, which must be a success of this kind.
func (c *client) reply(kind int) map[string]any {
	c.t.Helper()
	for {
		f, err := c.read()
		if err != nil {
			c.t.Fatal(err)
		}
		if f["msgType"] == 4.0 { // a push to another of his devices, or to him
			continue
		}
		if f["msgType"] != float64(kind) || f["code"] != 0.0 {
			c.t.Fatalf("want %d, got %v", kind, f)
		}
		return f
	}
}
