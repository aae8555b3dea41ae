package edge

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller holds the read tokens of idle connections, and gives each back once
// there is something to read, or the end. The runtime's own poller would need
// a goroutine for each connection, which takes 2.5 KiB; this one needs one for
// all.
type poller struct {
	fd   int      // an epoll instance, apart from the runtime's
	file *os.File // the same, by which the runtime waits for it
	rc   syscall.RawConn
	// armed orders what the last holder of a token did before what the next
	// one does: the way through the kernel is nothing that Go's memory model
	// knows of.
	armed atomic.Uint64
}

func newPoller(*Edge) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("edge: epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("edge: epoll: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if p.rc, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("edge: epoll: %w", err)
	}
	return p, nil
}

// arm takes the token of a connection. On an error the caller keeps it.
func (p *poller) arm(t *tcpConn) error {
	p.armed.Add(1)
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(t.id), Pad: int32(t.id >> 32)}
	err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, int(t.fd), &event)
	if errors.Is(err, unix.ENOENT) { // the first time
		err = unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(t.fd), &event)
	}
	return err
}

// run gives tokens back until the poller is closed.
func (p *poller) run(e *Edge) {
	events := make([]unix.EpollEvent, 256)
	n := 0
	poll := func(fd uintptr) bool {
		var err error
		if n, err = unix.EpollWait(int(fd), events, 0); err != nil {
			n = 0
			return !errors.Is(err, unix.EINTR)
		}
		return n > 0
	}
	for p.rc.Read(poll) == nil {
		p.armed.Load()
		for _, ev := range events[:n] {
			id := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
			if c := e.table.get(id); c != nil {
				e.readable <- c.sock.(*tcpConn)
			}
		}
	}
}

func (p *poller) close() error { return p.file.Close() }
