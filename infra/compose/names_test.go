package compose_test

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a DNS server as Docker's own is to a container: the name of a service
// has the addresses of its containers.
type names struct {
	conn    net.PacketConn
	serving sync.WaitGroup

	mu sync.Mutex
	// mu guards the following.
	addrs map[string][]netip.Addr
}

// newNames starts one that ends with the test.
func newNames(t *testing.T) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{conn: conn, addrs: map[string][]netip.Addr{}}
	n.serving.Go(n.serve)
	t.Cleanup(func() {
		conn.Close()
		n.serving.Wait()
	})
	return n
}

// addr is where it is asked.
func (n *names) addr() string { return n.conn.LocalAddr().String() }

// set changes a name's addresses.
func (n *names) set(name string, addrs []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[name] = addrs
}

func (n *names) serve() {
	b := make([]byte, 4096)
	for {
		size, from, err := n.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if reply, err := n.answer(b[:size]); err == nil {
			_, _ = n.conn.WriteTo(reply, from) // who does not get it asks again
		}
	}
}

func (n *names) answer(question []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(question)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	addrs, known := n.addrs[strings.TrimSuffix(q.Name.String(), ".")]
	n.mu.Unlock()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	if q.Type == dnsmessage.TypeA {
		for _, a := range addrs {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 600}, // as Docker's
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return m.Pack()
}
