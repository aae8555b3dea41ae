package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
)

// cluster is where a running Sponge is to be reached.
type cluster struct {
	name    string
	edges   []string // TCP address of each edge
	shared  string   // TCP address that stands for all edges
	web     string   // WebSocket URL
	metrics []string // address of each role's metrics; none for "up"

	up    *process // the one process of "up", else nil
	roles *roles   // the processes of the roles, else nil
}

// edge is the address of the i-th edge, counted around.
func (c *cluster) edge(i int) string { return c.edges[i%len(c.edges)] }

// upOptions are the flags of "sponge up" that tests choose.
type upOptions struct {
	dir   string
	port  int // the shared one; edges on the next ones, the web port behind them
	edges int
	empty bool // without the demo accounts
}

func newUpOptions(edges int) (upOptions, error) {
	dir, err := os.MkdirTemp(suite.dir, "up-")
	if err != nil {
		return upOptions{}, err
	}
	port, err := freePorts(edges + 2)
	return upOptions{dir: dir, port: port, edges: edges}, err
}

func (o upOptions) webPort() int { return o.port + o.edges + 1 }

func (o upOptions) args() []string {
	return []string{
		"up", "--dir", o.dir, "--port", strconv.Itoa(o.port), "--edges", strconv.Itoa(o.edges),
		"--web", strconv.Itoa(o.webPort()), "--kafka", cmp.Or(os.Getenv("SPONGE_TEST_SERVICES"), "embedded"), "--demo=" + strconv.FormatBool(!o.empty),
	}
}

// startUp starts everything in one process and waits until it serves.
func startUp(o upOptions) (*cluster, error) {
	p, err := launch("up", nil, o.args()...)
	if err != nil {
		return nil, err
	}
	if err := p.waitReady(); err != nil {
		return nil, err
	}
	c := &cluster{name: "up", up: p, shared: loopback(o.port), web: webURL(loopback(o.webPort()))}
	for i := range o.edges {
		c.edges = append(c.edges, loopback(o.port+1+i))
	}
	return c, nil
}

var sharedUp = sync.OnceValues(func() (*cluster, error) {
	o, err := newUpOptions(3)
	if err != nil {
		return nil, err
	}
	return startUp(o)
})

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func webURL(addr string) string { return "ws://" + addr + "/ws" }

// freePorts finds n consecutive ports that nobody listens on, below those that the
// kernel hands out for outgoing connections, and returns the first. Two calls never
// return the same ones.
func freePorts(n int) (int, error) {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	for range 1000 {
		first := 20000 + rand.IntN(12000)
		if portsFree(first, n) {
			for p := first; p < first+n; p++ {
				suite.ports[p] = true
			}
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d consecutive free ports", n)
}

func portsFree(first, n int) bool {
	for p := first; p < first+n; p++ {
		if suite.ports[p] {
			return false
		}
		l, err := net.Listen("tcp", loopback(p))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
