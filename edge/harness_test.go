package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"sponge/pkg/channel"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for how long a test waits for what must happen.
const patience = 10 * time.Second

// harness is an edge between fakes.
type harness struct {
	t     testing.TB
	edge  *Edge
	kafka *fakeKafka
	chann *fakeChannel
	lease *fakeLease
	key   *keys.WorkerKey
	stop  func() // drains; returns when Run has returned
}

func testConfig(key *keys.WorkerKey) Config {
	return Config{
		Kafka: []string{"127.0.0.1:1"}, Redis: "redis://127.0.0.1:1/0", SealKey: key.Seal().String(),
		Node: "test", Listen: []string{"127.0.0.1:0"},
		MaxFrame: protocol.MaxFrame, MaxOutbound: 4 << 20, QueueBytes: 64 << 20,
		LoginTimeout: time.Minute, IdleTimeout: time.Hour, WriteTimeout: 10 * time.Second,
		AnswerTimeout: 10 * time.Second, RepublishAfter: 4 * time.Second,
		ReportEvery: 50 * time.Millisecond, DrainTimeout: 5 * time.Second,
	}
}

func newHarness(t testing.TB, change func(*Config)) *harness {
	t.Helper()
	key, err := keys.ParseWorkerKey(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(key)
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var log *slog.Logger
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	e, err := newEdge(cfg, Deps{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, edge: e, kafka: newFakeKafka(), lease: &fakeLease{entries: map[string]bool{}}, key: key}
	h.chann = &fakeChannel{edge: e, entries: make(chan []byte, 1000)}
	e.producer, e.channel, e.lease = h.kafka, h.chann, h.lease
	return h
}

// startEdge runs an edge between fakes until the test ends.
func startEdge(t testing.TB, change func(*Config)) *harness {
	t.Helper()
	h := newHarness(t, change)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.edge.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(h.stop)
	select {
	case <-h.edge.Ready():
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}
	return h
}

// client is a connection to the edge.
type client struct {
	t  testing.TB
	h  *harness
	nc *net.TCPConn
	r  *bufio.Reader
}

func (h *harness) dial() *client {
	h.t.Helper()
	nc, err := net.Dial("tcp", h.edge.Addrs()[0].String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { nc.Close() })
	return &client{h.t, h, nc.(*net.TCPConn), bufio.NewReader(nc)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, s); err != nil {
		c.t.Fatal(err)
	}
}

// line reads one line, without its newline.
func (c *client) line() string {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v (got %q)", err, s)
	}
	return strings.TrimSuffix(s, "\n")
}

// expect reads one line for each of the substrings.
func (c *client) expect(substrings ...string) {
	c.t.Helper()
	for _, want := range substrings {
		if got := c.line(); !strings.Contains(got, want) {
			c.t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// rest reads all lines up to the end.
func (c *client) rest() string {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("read: %v (got %q)", err, b)
	}
	return string(b)
}

// quiet checks that nothing was written to the client before the answer to a
// ping.
func (c *client) quiet() {
	c.t.Helper()
	c.send(`{"msgType":0,"id":"quiet"}`)
	c.expect(`"id":"quiet"`)
}

// next is the next published record.
func (h *harness) next() *published {
	h.t.Helper()
	select {
	case p := <-h.kafka.records:
		return p
	case <-time.After(patience):
		h.t.Fatal("nothing was published")
		return nil
	}
}

// silent checks that nothing was published so far.
func (h *harness) silent() {
	h.t.Helper()
	select {
	case p := <-h.kafka.records:
		h.t.Fatalf("published %s", p.rec.Value)
	default:
	}
}

func (h *harness) results(rs ...channel.Result) {
	var b []byte
	for _, r := range rs {
		if r.Proof != nil && r.Life == 0 {
			r.Life = time.Until(r.Proof.Expiry())
		}
		b = r.Append(b)
	}
	h.chann.entries <- b
}

// answer replies to a record with success.
func (h *harness) answer(p *published, change ...func(*channel.Result)) {
	h.results(h.result(p, change...))
}

func (h *harness) result(p *published, change ...func(*channel.Result)) channel.Result {
	r := channel.Result{
		Conns: []uint64{p.env.Conn}, Request: p.env.Request,
		Payload: protocol.NewReply(nil, p.frame.Type, protocol.OK, p.frame.Echo()).End(),
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

// login logs a client in and returns its connection's id.
func (c *client) login(user int64) uint64 {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"msgType":1,"USERID":%d,"password":"secret"}`, user))
	p := c.h.next()
	c.h.answer(p, func(r *channel.Result) {
		r.Session = channel.SessionBound
		r.Proof = c.h.prove(user, p.env.Conn, time.Hour)
	})
	c.expect(`{"msgType":101,"code":0`)
	return p.env.Conn
}

func (h *harness) prove(user int64, conn uint64, life time.Duration) *keys.Proof {
	_, session := keys.NewToken()
	return h.key.Prove(user, session, h.edge.Node(), conn, time.Now().Add(life))
}

// eventually polls, where nothing signals.
func (h *harness) eventually(what string, ok func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h.edge.await(ctx, ok)
	if !ok() {
		h.t.Fatalf("not in time: %s", what)
	}
}

// result is what workers send.
type result = channel.Result

// count reads a counter or gauge.
func count(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

// closed waits until n connections were closed for a reason.
func (h *harness) closed(r Reason, n int) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("%d connections closed: %s", n, r), func() bool { return count(h.t, h.edge.metrics.closes[r]) == float64(n) })
}
