package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// peerTimeout is after how long a peer that acknowledges nothing counts as
// dead.
const peerTimeout = time.Minute

// keepAlive finds dead peers in about a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// listen opens every listener, or none.
func (e *Edge) listen(ctx context.Context) error {
	plain := net.ListenConfig{KeepAliveConfig: keepAlive, Control: userTimeout}
	shared := net.ListenConfig{KeepAliveConfig: keepAlive, Control: reusePort}
	var opened []net.Listener
	open := func(lc *net.ListenConfig, addr string) error {
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			for _, l := range opened {
				l.Close()
			}
			return fmt.Errorf("edge: listen on %s: %w", addr, err)
		}
		opened = append(opened, l)
		return nil
	}
	for _, addr := range e.cfg.Listen {
		if err := open(&plain, addr); err != nil {
			return err
		}
	}
	for _, addr := range e.cfg.SharedListen {
		if err := open(&shared, addr); err != nil {
			return err
		}
	}
	if e.cfg.WebListen != "" {
		if err := open(&plain, e.cfg.WebListen); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners = opened
	return nil
}

func (e *Edge) closeListeners() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.listeners {
		l.Close()
	}
}

// accept serves the open listeners until they are closed. It returns the
// server of WebListen, nil where there is none.
func (e *Edge) accept(acceptors *sync.WaitGroup) *http.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	tcp := e.listeners
	var web *http.Server
	if e.cfg.WebListen != "" {
		last := len(tcp) - 1
		web = e.webServer()
		l := tcp[last]
		tcp = tcp[:last]
		acceptors.Go(func() {
			if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				e.log.Error("web listener ended", "address", l.Addr(), "error", err)
			}
		})
	}
	for _, l := range tcp {
		acceptors.Go(func() { e.acceptTCP(l) })
	}
	return web
}

// acceptTCP takes connections in. Where the system has none to give (too many
// open files), it waits a moment instead of spinning.
func (e *Edge) acceptTCP(l net.Listener) {
	wait := time.Duration(0)
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			e.serveTCP(nc.(*net.TCPConn))
		case errors.Is(err, net.ErrClosed):
			return
		default:
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			e.log.Error("a connection cannot be accepted", "address", l.Addr(), "error", err)
			pause(e.serving, wait)
		}
	}
}
