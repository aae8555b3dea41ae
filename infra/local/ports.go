package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The range that Ports picks from lies below the ephemeral ports of the usual
// systems, so that no outgoing connection takes one of them meanwhile.
const (
	portsFrom = 15000
	portsTo   = 32000
)

// Ports finds n consecutive TCP ports that are free on the loopback address,
// and returns them in ascending order. It is a guess and not a reservation:
// another process may take one before the caller listens on it.
func Ports(n int) ([]int, error) {
	if n < 1 || n > portsTo-portsFrom {
		return nil, fmt.Errorf("local: no block of %d ports", n)
	}
	var last error
	for range 100 {
		first := portsFrom + rand.IntN(portsTo-portsFrom-n+1)
		if last = allFree(first, n); last == nil {
			ports := make([]int, n)
			for i := range ports {
				ports[i] = first + i
			}
			return ports, nil
		}
	}
	return nil, fmt.Errorf("local: no block of %d free ports found: %w", n, last)
}

// allFree listens on all ports at once, then lets go of them.
func allFree(first, n int) (err error) {
	for port := first; port < first+n; port++ {
		l, listenErr := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if listenErr != nil {
			return listenErr
		}
		defer func() { err = errors.Join(err, l.Close()) }()
	}
	return nil
}
