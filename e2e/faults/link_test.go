//go:build faults

package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
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
}

// slowReads makes one read in a hundred slow.
type slowReads struct {
	_ int // toxiproxy makes it from its type
}

const slowRead = 500 * time.Millisecond

func (*slowReads) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			if rand.IntN(100) == 0 {
				select {
				case <-time.After(slowRead):
				case <-stub.Interrupt:
					stub.Output <- c
					return
				}
			}
			stub.Output <- c
		}
	}
}

// newLinks is a maker of links; they last until the process ends.
func newLinks() *toxiproxy.ApiServer {
	toxics.Register("slow_reads", new(slowReads))
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
}

// connect makes a link to a service. A port of 0 is any.
func connect(server *toxiproxy.ApiServer, name string, port int, network, to string) (*link, error) {
	t, err := newTap(network, to)
	if err != nil {
		return nil, err
	}
	l := &link{tap: t, proxy: toxiproxy.NewProxy(server, name, fmt.Sprintf("127.0.0.1:%d", port), t.addr)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	l.addr = l.proxy.Listen
	return l, nil
}

// toxic adds one in a direction: upstream is towards the service.
func (l *link) toxic(kind, stream, attributes string) error {
	_, err := l.proxy.Toxics.AddToxicJson(bytes.NewBufferString(
		fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"toxicity":1,"attributes":{%s}}`, kind+stream, kind, stream, attributes)))
	return err
}

// latency delays every chunk, both ways. Nothing is lost when it goes.
func (l *link) latency(d time.Duration) error {
	at := fmt.Sprintf(`"latency":%d`, d.Milliseconds())
	if err := l.toxic("latency", "upstream", at); err != nil {
		return err
	}
	return l.toxic("latency", "downstream", at)
}

// silence lets nothing through, and nobody knows. What was sent arrives when
// it ends.
func (l *link) silence() error { return l.latency(time.Hour) }

// vanish swallows everything, as a host does that is gone: no end, no reset.
func (l *link) vanish() error {
	if err := l.toxic("timeout", "upstream", `"timeout":0`); err != nil {
		return err
	}
	return l.toxic("timeout", "downstream", `"timeout":0`)
}

func (l *link) slow() error { return l.toxic("slow_reads", "downstream", "") }

// cut ends every connection and refuses new ones until mended.
func (l *link) cut() { l.proxy.Stop() }

// mend undoes everything.
func (l *link) mend() error {
	for _, name := range []string{"latencyupstream", "latencydownstream", "timeoutupstream", "timeoutdownstream", "slow_readsdownstream"} {
		if l.proxy.Toxics.GetToxic(name) != nil {
			if err := l.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
				return err
			}
		}
	}
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
