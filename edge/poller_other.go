//go:build unix && !linux

package edge

import "syscall"

// poller holds the read tokens of idle connections, and gives each back once
// there is something to read, or the end: by a goroutine for each that waits
// without a buffer.
type poller struct{ edge *Edge }

func newPoller(e *Edge) (*poller, error) { return &poller{e}, nil }

// arm takes the token of a connection. On an error the caller keeps it.
func (p *poller) arm(t *tcpConn) error {
	rc, err := t.nc.SyscallConn()
	if err != nil {
		return err
	}
	go func() {
		_ = rc.Read(peek) // an error is seen again by whoever reads
		p.edge.readable <- t
	}()
	return nil
}

// peek reports whether a read would not wait.
func peek(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err != syscall.EAGAIN && err != syscall.EINTR
}

func (p *poller) run(*Edge)    {}
func (p *poller) close() error { return nil }
