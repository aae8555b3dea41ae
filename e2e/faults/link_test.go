//go:build faults

package faults

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// link is the way from one process to one service: a proxy that can delay and
// cut, and before the service a tap that sees every chunk.
//
//	process → toxiproxy → tap → service
type link struct {
	addr  string // where the process finds it
	proxy *toxiproxy.Proxy
	tap   *tap

	mu sync.Mutex // guards the following
	trouble
	changed chan struct{} // closed when trouble changes
}

// trouble is what a link does to every chunk, in both directions.
type trouble struct {
	delay  time.Duration // of each; 0: none
	slow   bool          // one in a hundred takes slowRead
	silent bool          // nothing goes on until that ends
	gone   bool          // nothing goes on, ever
}

const slowRead = 500 * time.Millisecond

// links finds a link from within toxiproxy, which makes toxics from JSON.
var links sync.Map // by name

// troubleToxic does what its link's trouble says. It is in the chain of every
// connection from the beginning: toxiproxy may wait for ever when toxics come
// and go while connections end.
type troubleToxic struct {
	Link string `json:"link"`
}

// GetBufferSize is how many chunks may be on their way at once.
func (t *troubleToxic) GetBufferSize() int { return 1024 }

func (t *troubleToxic) Pipe(stub *toxics.ToxicStub) {
	at, _ := links.Load(t.Link)
	l := at.(*link)
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			if l.pass(c.Timestamp) {
				stub.Output <- c
			}
		}
	}
}

// pass waits until a chunk that came at some time may go on, or reports that
// it never will.
func (l *link) pass(came time.Time) bool {
	slow := rand.IntN(100) == 0
	for {
		l.mu.Lock()
		now, changed := l.trouble, l.changed
		l.mu.Unlock()
		wait := time.Until(came.Add(now.delay))
		if now.slow && slow {
			wait = slowRead
		}
		switch {
		case now.gone:
			return false
		case now.silent:
			<-changed
			continue
		case wait <= 0:
			return true
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
			return true
		case <-changed:
			t.Stop()
			came, slow = time.Now(), false
		}
	}
}

func (l *link) set(t trouble) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = t
	close(l.changed)
	l.changed = make(chan struct{})
}

// newLinks is a maker of links; they last until the process ends.
func newLinks() *toxiproxy.ApiServer {
	toxics.Register("trouble", new(troubleToxic))
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
}

// connect makes a link to a service. A port of 0 is any.
func connect(server *toxiproxy.ApiServer, name string, port int, network, to string) (*link, error) {
	t, err := newTap(network, to)
	if err != nil {
		return nil, err
	}
	name = fmt.Sprintf("%s %s", name, t.addr) // unique
	l := &link{tap: t, proxy: toxiproxy.NewProxy(server, name, loopback(port), t.addr), changed: make(chan struct{})}
	links.Store(name, l)
	for _, stream := range []string{"upstream", "downstream"} {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(
			fmt.Sprintf(`{"type":"trouble","stream":%q,"toxicity":1,"attributes":{"link":%q}}`, stream, name))); err != nil {
			return nil, fmt.Errorf("link %s: %w", name, err)
		}
	}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	l.addr = l.proxy.Listen
	return l, nil
}

// latency delays every chunk, both ways. Nothing is lost when it goes.
func (l *link) latency(d time.Duration) { l.set(trouble{delay: d}) }

// silence lets nothing through, and nobody knows. What was sent arrives when
// it ends.
func (l *link) silence() { l.set(trouble{silent: true}) }

// vanish swallows everything, as a host does that is gone: no end, no reset.
func (l *link) vanish() { l.set(trouble{gone: true}) }

func (l *link) slow() { l.set(trouble{slow: true}) }

// cut ends every connection and refuses new ones until mended.
func (l *link) cut() { l.proxy.Stop() }

// mend undoes everything.
func (l *link) mend() error {
	l.set(trouble{})
	if err := l.proxy.Start(); err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		return err
	}
	return nil
}

// tap forwards connections, and shows each chunk to a hook before it goes on.
type tap struct {
	addr        string
	network, to string
	hook        atomic.Pointer[hook]
}

// hook sees a chunk of connection n on its way to the service, or back. What
// it takes as long as it runs, the link waits. It reports whether the chunk
// goes on; if not, the connection ends.
type hook func(n int64, toService bool, chunk []byte) (goOn bool)

func newTap(network, to string) (*tap, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &tap{addr: l.Addr().String(), network: network, to: to}
	go t.serve(l)
	return t, nil
}

func (t *tap) serve(l net.Listener) {
	for n := int64(0); ; n++ {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go t.carry(n, c)
	}
}

func (t *tap) carry(n int64, c net.Conn) {
	s, err := net.Dial(t.network, t.to)
	if err != nil {
		c.Close()
		return
	}
	end := sync.OnceFunc(func() { c.Close(); s.Close() })
	go t.copy(n, true, s, c, end)
	t.copy(n, false, c, s, end)
}

func (t *tap) copy(n int64, toService bool, to io.Writer, from io.Reader, end func()) {
	defer end()
	buf := make([]byte, 64<<10)
	for {
		k, err := from.Read(buf)
		if k > 0 {
			if h := t.hook.Load(); h != nil && !(*h)(n, toService, buf[:k]) {
				return
			}
			if _, err := to.Write(buf[:k]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// on sets the hook; nil takes it away.
func (t *tap) on(h hook) {
	if h == nil {
		t.hook.Store(nil)
		return
	}
	t.hook.Store(&h)
}
