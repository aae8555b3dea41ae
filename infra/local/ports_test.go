package local

import (
	"net"
	"strconv"
	"testing"
)

func TestPorts(t *testing.T) {
	t.Parallel()
	ports, err := Ports(4)
	if err != nil {
		t.Fatal(err)
	}
	if len(ports) != 4 {
		t.Fatalf("ports %v", ports)
	}
	for i, port := range ports {
		if port != ports[0]+i {
			t.Errorf("not consecutive: %v", ports)
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Errorf("not free: %v", err)
			continue
		}
		defer l.Close() //nolint:errcheck // it only had to be there
	}
	if err := allFree(ports[0], len(ports)); err == nil {
		t.Error("taken ports count as free")
	}
	for _, n := range []int{0, -1, portsTo} {
		if _, err := Ports(n); err == nil {
			t.Errorf("a block of %d ports", n)
		}
	}
}
