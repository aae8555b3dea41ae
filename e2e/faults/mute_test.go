//go:build faults

package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sponge/pkg/client"
)

// The crowd: a group of two hundred, of which one stops reading.
const (
	crowdSize   = 200
	loudSize    = 30 << 10 // of a message
	loudCount   = 300      // more than a socket and an edge keep for one client
	smallBuffer = 32 << 10 // of the mute one's socket
)

// listener is one of the crowd. It writes down nothing but what it hears.
type listener struct {
	user   int64
	client *client.Client
	mute   atomic.Bool
	ends   atomic.Int64 // of connections

	mu    sync.Mutex
	heard map[string]bool // beginnings of messages
}

// muteConn does not read while its listener is mute.
type muteConn struct {
	net.Conn
	l *listener
}

func (c *muteConn) Read(b []byte) (int, error) {
	for c.l.mute.Load() {
		time.Sleep(5 * time.Millisecond)
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		c.l.ends.Add(1)
	}
	return n, err
}

// mute is the fault: a client that stops reading.
func mute() *fault {
	var crowd []*listener
	var group int64
	round := 0
	return &fault{name: "a client of a group of 200 stops reading", bar: backBar, doubles: true,
		prepare: func(ctx context.Context, s *stage) error {
			speaker := s.l.watcher.client
			g, err := speaker.CreateGroup(ctx, "crowd", "")
			if err != nil {
				return err
			}
			group = g.ID
			for i := range crowdSize - 1 {
				l := &listener{heard: map[string]bool{}}
				crowd = append(crowd, l)
				if err := l.enter(ctx, s.c.edges[i%numEdges].listens, fmt.Sprint("crowd", i), group); err != nil {
					return err
				}
			}
			return nil
		},
		strike: func(ctx context.Context, s *stage) (time.Time, error) {
			round++
			deaf := pick(s, crowd)
			before := deaf.ends.Load()
			deaf.mute.Store(true)
			for i := range loudCount {
				text := fmt.Sprintf("%d/%d ", round, i) + strings.Repeat("x", loudSize)
				if _, err := s.l.watcher.client.GroupChat(ctx, group, text); err != nil {
					return time.Time{}, err
				}
			}
			if err := everyHeard(ctx, s, crowd, deaf, round); err != nil {
				return time.Time{}, err
			}
			closed := 0.0
			for _, p := range s.c.edges {
				text, err := p.get("/metrics")
				if err != nil {
					return time.Time{}, err
				}
				closed += metric(strings.ReplaceAll(text, `sponge_edge_closes_total{reason="slow consumer"}`, "slow "), "slow")
			}
			if int(closed) < round {
				return time.Time{}, fmt.Errorf("%v slow consumers were closed in %d rounds", closed, round)
			}
			deaf.mute.Store(false)
			since := time.Now()
			if err := everyHeard(ctx, s, []*listener{deaf}, nil, round); err != nil {
				return time.Time{}, err
			}
			if deaf.ends.Load() == before {
				return time.Time{}, errors.New("the mute client kept its connection")
			}
			return since, nil
		},
		finish: func(ctx context.Context, s *stage) error {
			for _, l := range crowd {
				l.client.Close()
			}
			crowd, round = nil, 0
			return nil
		}}
}

func everyHeard(ctx context.Context, s *stage, crowd []*listener, but *listener, round int) error {
	return s.l.until(ctx, func() error {
		for _, l := range crowd {
			if l == but {
				continue
			}
			l.mu.Lock()
			n := 0
			for i := range loudCount {
				if l.heard[fmt.Sprintf("%d/%d", round, i)] {
					n++
				}
			}
			l.mu.Unlock()
			if n < loudCount {
				return fmt.Errorf("user %d has heard %d of %d messages", l.user, n, loudCount)
			}
		}
		return nil
	})
}

// enter registers a listener and has it join.
func (l *listener) enter(ctx context.Context, addr, name string, group int64) (err error) {
	dial := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, smallBuffer)
		})
	}}
	l.client, err = client.Dial(ctx, client.Config{
		Addrs: []string{addr}, Ping: -1, Backoff: [2]time.Duration{50 * time.Millisecond, time.Second},
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := dial.DialContext(ctx, "tcp", addr)
			return &muteConn{nc, l}, err
		},
		OnPush: func(f *client.Frame) {
			head, _, _ := strings.Cut(string(f.RawText()[:12]), " ")
			l.mu.Lock()
			l.heard[head] = true
			l.mu.Unlock()
		},
	})
	if err != nil {
		return err
	}
	a, err := l.client.Register(ctx, name, password)
	if err != nil {
		return err
	}
	l.user = a.User
	if _, err := l.client.Login(ctx, a.User, password); err != nil {
		return err
	}
	_, err = l.client.JoinGroup(ctx, group)
	return err
}
