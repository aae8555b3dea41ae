package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// relay is a TCP proxy between one client and the edges. Until it is calm it does
// what networks and dying servers do: it cuts connections between two frames or
// within one, so that replies are lost, too; it says 504 in place of a reply; and
// it loses single pushes, which no network does, but an edge that lost its channel.
type relay struct {
	addrs []string // one for each edge
	calm  atomic.Bool

	listeners []net.Listener
	running   sync.WaitGroup

	mu sync.Mutex
	// mu guards the following.
	rng   *rand.Rand // seeds those of the connections
	open  map[net.Conn]bool
	ended bool
	log   []string
	done  map[harm]int
}

// harm is what a relay does to a frame.
type harm string

const (
	none     harm = "" // it is passed on
	cut      harm = "cut before a frame"
	cutAfter harm = "cut after a frame"
	cutIn    harm = "cut within a frame"
	cutUp    harm = "cut within a frame of the client"
	unsure   harm = "504 in place of a reply"
	lost     harm = "push lost"
)

// newRelay starts one that is stopped at the end of the test.
func newRelay(t *testing.T, edges []string, rng *rand.Rand) *relay {
	t.Helper()
	r := &relay{rng: rng, open: make(map[net.Conn]bool), done: make(map[harm]int)}
	t.Cleanup(r.stop)
	for _, edge := range edges {
		l, err := net.Listen("tcp", loopback(0))
		if err != nil {
			t.Fatal(err)
		}
		r.listeners = append(r.listeners, l)
		r.addrs = append(r.addrs, l.Addr().String())
		r.running.Go(func() { r.accept(l, edge) })
	}
	return r
}

func (r *relay) stop() {
	for _, l := range r.listeners {
		l.Close()
	}
	r.mu.Lock()
	r.ended = true
	for c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

func (r *relay) accept(l net.Listener, addr string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		edge, err := net.Dial("tcp", addr)
		if err != nil {
			client.Close()
			continue
		}
		r.mu.Lock()
		up, down := rand.New(rand.NewPCG(r.rng.Uint64(), 0)), rand.New(rand.NewPCG(r.rng.Uint64(), 0))
		r.open[client], r.open[edge] = true, true
		if r.ended {
			client.Close()
			edge.Close()
		}
		r.mu.Unlock()
		r.running.Go(func() { r.pass(edge, client, ">", up, r.harmUp) })
		r.running.Go(func() { r.pass(client, edge, "<", down, r.harmDown) })
	}
}

// pass hands frames on, one line each, until either side or a harm ends the
// connection.
func (r *relay) pass(to, from net.Conn, direction string, rng *rand.Rand, harmTo func(line []byte, left int, rng *rand.Rand) harm) {
	defer func() {
		to.Close()
		from.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, to)
		delete(r.open, from)
	}()
	in := bufio.NewReader(from)
	for left := 1 + rng.IntN(80); ; left-- {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		h := none
		if !r.calm.Load() {
			h = harmTo(line, left, rng)
		}
		r.note(direction, line, h)
		switch h {
		case cut:
			return
		case cutIn, cutUp:
			_, _ = to.Write(line[:1+rng.IntN(len(line)-1)])
			return
		case lost:
			continue
		case unsure:
			f, _ := decode(line)
			line = fmt.Appendf(nil, `{"msgType":%d,"code":504,"id":%s,"error":"no answer in time"}`+"\n", f.int("msgType"), js(f.str("id")))
		}
		if _, err := to.Write(line); err != nil || h == cutAfter {
			return
		}
	}
}

func (r *relay) harmUp(_ []byte, left int, _ *rand.Rand) harm {
	if left <= 0 {
		return cutUp
	}
	return none
}

func (r *relay) harmDown(line []byte, left int, rng *rand.Rand) harm {
	if left <= 0 {
		return []harm{cut, cutAfter, cutIn}[rng.IntN(3)]
	}
	f, err := decode(line)
	if err != nil {
		return none
	}
	switch n := f.int("msgType"); {
	case n == 4 || n == 9:
		if rng.IntN(12) == 0 {
			return lost
		}
	case n > 100 && f.int("code") == 0 && f.str("id") != "":
		if rng.IntN(15) == 0 {
			return unsure
		}
	}
	return none
}

func (r *relay) note(direction string, line []byte, h harm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := direction + " " + string(bytes.TrimSuffix(line, []byte("\n")))
	if h != none {
		r.done[h]++
		text += "   *** " + string(h)
	}
	r.log = append(r.log, text)
}

// said is what passed, for the report of a failure.
func (r *relay) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.log...)
}
