package floor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"
)

// echoConns is how many connections there are: both users of each pair.
const echoConns = 2 * pairs

// echo sends frames to a server of its own over loopback, which sends every
// byte back: an item has gone two ways over TCP.
type echo struct {
	frames *frames
}

// Saturate implements bench.Stage: each connection has a window of frames
// under way, and sends one for each that comes back.
func (e *echo) Saturate(ctx context.Context, done func(int)) error {
	return e.serve(ctx, func(ctx context.Context, work *errgroup.Group, conns []net.Conn) {
		for i, c := range conns {
			frame := append(e.frames.append(nil, int64(i)), '\n')
			all := make([]byte, 0, window*len(frame))
			for range window {
				all = append(all, frame...)
			}
			work.Go(func() error {
				if _, err := c.Write(all); err != nil {
					return err
				}
				buf, got := make([]byte, 32<<10), 0
				for {
					n, err := c.Read(buf)
					if err != nil {
						return err
					}
					got += n
					back := got / len(frame)
					got %= len(frame)
					if back == 0 {
						continue
					}
					done(back)
					if _, err := c.Write(all[:back*len(frame)]); err != nil {
						return err
					}
				}
			})
		}
	})
}

// Carry implements bench.Stage: frames go over the connections in turn.
func (e *echo) Carry(ctx context.Context, items <-chan int64, arrived func(int64)) error {
	return e.serve(ctx, func(ctx context.Context, work *errgroup.Group, conns []net.Conn) {
		for _, c := range conns {
			work.Go(func() error {
				lines := bufio.NewScanner(c)
				lines.Buffer(nil, 1<<20)
				for lines.Scan() {
					if n, ok := numberIn(lines.Bytes()); ok {
						arrived(n)
					}
				}
				return errors.Join(lines.Err(), io.EOF)
			})
		}
		work.Go(func() error {
			var line []byte
			for {
				batch, _ := take(ctx, items, 1, nil)
				if len(batch) == 0 {
					return nil
				}
				line = append(e.frames.append(line[:0], batch[0]), '\n')
				if _, err := conns[batch[0]%echoConns].Write(line); err != nil {
					return err
				}
			}
		})
	})
}

// serve runs a server and use, with its connections, until ctx ends or either
// fails. Whatever use starts ends with its connections.
func (e *echo) serve(ctx context.Context, use func(context.Context, *errgroup.Group, []net.Conn)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	work, inner := errgroup.WithContext(ctx)
	var mu sync.Mutex
	open := []io.Closer{listener} // guarded by mu; nil when all are closed
	own := func(c io.Closer) {
		mu.Lock()
		defer mu.Unlock()
		if open == nil {
			c.Close()
			return
		}
		open = append(open, c)
	}
	stop := context.AfterFunc(inner, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
		open = nil
	})
	defer stop()
	work.Go(func() error {
		for {
			c, err := listener.Accept()
			if err != nil {
				return err
			}
			own(c)
			work.Go(func() error { return bounce(c) })
		}
	})
	work.Go(func() error {
		conns := make([]net.Conn, echoConns)
		for i := range conns {
			var d net.Dialer
			c, err := d.DialContext(inner, "tcp", listener.Addr().String())
			if err != nil {
				return err
			}
			own(c)
			conns[i] = c
		}
		use(inner, work, conns)
		return nil
	})
	return ended(ctx, work.Wait())
}

// bounce sends back what it reads.
func bounce(c net.Conn) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return err
		}
	}
}
