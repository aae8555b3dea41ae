package edge

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort lets several edges listen on one address: the kernel spreads the
// connections, as a layer-4 balancer would.
func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); ctlErr != nil {
		return ctlErr
	}
	return err
}
