package edge

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// userTimeout ends connections whose peer has vanished while something was
// under way to it: keep-alive does not look at those, and the kernel would try
// for a quarter of an hour. Accepted sockets inherit it.
func userTimeout(_, _ string, c syscall.RawConn) error {
	return setOption(c, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(peerTimeout.Milliseconds()))
}

// reusePort lets several edges listen on one address: the kernel spreads the
// connections, as a layer-4 balancer would.
func reusePort(network, address string, c syscall.RawConn) error {
	return errors.Join(setOption(c, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1), userTimeout(network, address, c))
}

func setOption(c syscall.RawConn, level, option, value int) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); ctlErr != nil {
		return ctlErr
	}
	return err
}
