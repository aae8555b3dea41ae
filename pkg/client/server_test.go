package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is a scripted edge: a test takes each connection, says what it
// expects on it, and what it sends.
type server struct {
	t     *testing.T
	conns chan net.Conn

	mu    sync.Mutex // guards the following
	dials []time.Time
	addrs []string
	down  bool
}

func newServer(t *testing.T) *server { return &server{t: t, conns: make(chan net.Conn, 1)} }

var errDown = errors.New("connection refused")

func (s *server) dial(ctx context.Context, addr string) (net.Conn, error) {
	s.mu.Lock()
	s.dials, s.addrs = append(s.dials, time.Now()), append(s.addrs, addr)
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, errDown
	}
	ours, theirs := net.Pipe()
	select {
	case s.conns <- ours:
		return theirs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// setDown says whether connections are refused.
func (s *server) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// client dials the server, and is closed when the test ends.
func (s *server) client(cfg Config) *Client {
	s.t.Helper()
	cfg.Dial = s.dial
	if cfg.Addrs == nil {
		cfg.Addrs = []string{"edge:1"}
	}
	c, err := Dial(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// accept is the next connection.
func (s *server) accept() *wire {
	c := <-s.conns
	s.t.Cleanup(func() { c.Close() })
	return &wire{s.t, c, bufio.NewReader(c)}
}

type wire struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

type members map[string]any

// next is the next frame of the client.
func (w *wire) next() members {
	w.t.Helper()
	line, err := w.r.ReadBytes('\n')
	if err != nil {
		w.t.Fatalf("the client sent nothing more: %v", err)
	}
	var m members
	if err := json.Unmarshal(line, &m); err != nil {
		w.t.Fatalf("%s: %v", line, err)
	}
	return m
}

// expect wants the next frame to be this one but for its id, which it returns.
func (w *wire) expect(frame string) (id string) {
	w.t.Helper()
	var want members
	if err := json.Unmarshal([]byte(frame), &want); err != nil {
		w.t.Fatal(err)
	}
	got := w.next()
	id, _ = got["id"].(string)
	if _, asked := want["id"]; !asked {
		delete(got, "id")
	}
	if !reflect.DeepEqual(got, want) {
		w.t.Fatalf("the client sent %v, wanted %v", got, want)
	}
	return id
}

// send sends a frame; ' stands for ".
func (w *wire) send(format string, args ...any) {
	w.t.Helper()
	if _, err := w.c.Write([]byte(strings.ReplaceAll(fmt.Sprintf(format, args...), "'", `"`) + "\n")); err != nil {
		w.t.Fatal(err)
	}
}

// login answers a login as user 6, by whatever means.
func (w *wire) login() {
	w.t.Helper()
	m := w.next()
	if m["msgType"] != 1.0 || m["USERID"] != 6.0 {
		w.t.Fatalf("the client sent %v, wanted a login", m)
	}
	w.send(`{'msgType':101,'code':0,'id':'%s','USERID':6,'name':'Eric','token':'secret','unread':0}`, m["id"])
}

// nothing answers a 14 with nothing.
func (w *wire) nothing() {
	w.t.Helper()
	w.send(`{'msgType':114,'code':0,'id':'%s','messages':[],'more':false}`, w.expect(`{"msgType":14}`))
}

// loggedIn is a client of user 6 and its connection.
func (s *server) loggedIn(cfg Config) (*Client, *wire) {
	s.t.Helper()
	c := s.client(cfg)
	w := s.accept()
	done := make(chan error)
	go func() {
		_, err := c.Login(s.t.Context(), 6, "password")
		done <- err
	}()
	w.login()
	if !cfg.Raw {
		w.nothing()
	}
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
	return c, w
}
