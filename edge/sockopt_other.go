//go:build !linux

package edge

import (
	"errors"
	"syscall"
)

// reusePort: other systems accept the option, but give all connections to one
// listener.
func reusePort(string, string, syscall.RawConn) error {
	return errors.New("listening together works on Linux only")
}

// userTimeout: other systems have another option, or none.
func userTimeout(string, string, syscall.RawConn) error { return nil }
