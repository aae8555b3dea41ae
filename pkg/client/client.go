package client

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"sponge/pkg/protocol"
)

// Config says where to connect, and what to do with what arrives. The
// callbacks are called one at a time from the client's goroutine: they must
// not block, nor call methods that wait for an answer or Close; Post and
// Confirm are meant for them.
type Config struct {
	Addrs []string // host:port of one or more edges, tried in turn; required

	OnPush   func(*Frame)     // a chat frame of somebody else, or the user's own from elsewhere, or from a connection that broke
	OnNotice func(Notice)     // the server is about to close the connection
	OnLink   func(Link)       // a connection was made, resumed or lost
	Dial     DialFunc         // nil: TCP
	Log      *slog.Logger     // nil: nothing is logged
	Confirm  bool             // log in with "confirm", and confirm every push that OnPush returned from (not if Raw)
	Raw      bool             // hand pushes over as they come: in no better order, with holes and repeats; nothing is fetched
	Ping     time.Duration    // silence after which the server is asked whether it lives, seen to at this interval: after 0.9 to 1.9 times as long; 25 s unless given; below 0: never
	Backoff  [2]time.Duration // first and longest pause between attempts to connect, 100 ms and 10 s unless given; each ± half

	// Seen is the highest seq that the program has of conversations, 0 to have
	// one from its begin. What follows is handed over after the first login; of
	// other conversations, only what 14 brings and what is new.
	Seen map[protocol.Conversation]int64
}

// DialFunc opens a connection to one address.
type DialFunc func(ctx context.Context, addr string) (net.Conn, error)

// Notice is why the server closes a connection.
type Notice struct {
	Reason    string
	Reconnect bool          // whether to come back
	After     time.Duration // after how long
}

// Link is a change of the connection: Up and Err nil when frames flow, on a
// Resumed session where there was one before; else Err says why they don't.
type Link struct {
	Up      bool
	Resumed bool
	Addr    string
	Err     error
}

// Errors of a client that has ended, and why it has.
var (
	ErrClosed  = errors.New("client: closed")
	ErrRevoked = errors.New("client: the server ended the session for good")

	// ErrOtherUser is of a frame only: it would have been sent again, but the
	// user who sent it is not logged in any more. Whether it had its effect is
	// unknown.
	ErrOtherUser = errors.New("client: the user has changed since the frame was sent")
)

const (
	defaultPing    = 25 * time.Second
	defaultBackoff = 100 * time.Millisecond
	defaultLongest = 10 * time.Second
	dialWithin     = 5 * time.Second  // for one address: a dead host does not refuse
	answerWithin   = 15 * time.Second // an edge answers every frame within 10 s
	farewellWithin = 30 * time.Second // from a notice to the close
)

// Client is one user's device: one connection at a time, made again whenever
// it breaks, until Close. Its methods may be called from any goroutine.
type Client struct {
	cfg    Config
	prefix string // of every id, so that no other client makes the same
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}  // closed when the client's goroutine has ended
	next   int            // address to try next
	aside  sync.WaitGroup // a write that the reader does not wait for

	// Only for the client's goroutine.
	frame  Frame
	reply  Reply
	readAt time.Time
	convs  map[protocol.Conversation]*conversation
	dirty  []*conversation // to be confirmed
	fills  int             // conversations whose history is asked for, and was not refused
	tails  []*conversation // whose history is to be asked for to the end
	paging paging

	mu sync.Mutex // guards the following
	link
	calls   []*call // unanswered, in the order of sending; onWire of them were sent on this connection
	free    []*call
	waiting map[uint64]*waiting // by number
	numbers uint64
	session session
	err     error // why the client has ended
	stats   Stats
}

// session is what to log in with after a reconnect.
type session struct {
	user            int64
	password, token string
}

// Stats counts what went other than smoothly.
type Stats struct {
	Reconnects int64 // connections made after the first
	Repeated   int64 // frames sent again on a later connection
	Gaps       int64 // holes in a conversation's seqs that were filled
	Dropped    int64 // pushes that had been seen before
}

// Dial connects to the first address that answers, in the order given, and
// gives each 5 s. ctx bounds only this; the connection is kept up until Close.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if len(cfg.Addrs) == 0 {
		return nil, errors.New("client: an address is needed")
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Ping == 0 {
		cfg.Ping = defaultPing
	}
	if cfg.Backoff[0] <= 0 {
		cfg.Backoff[0] = defaultBackoff
	}
	if cfg.Backoff[1] <= 0 {
		cfg.Backoff[1] = max(defaultLongest, cfg.Backoff[0])
	}
	c := &Client{cfg: cfg, prefix: rand.Text()[:13] + ".", done: make(chan struct{}), convs: map[protocol.Conversation]*conversation{}, waiting: map[uint64]*waiting{}}
	for id, seq := range cfg.Seen {
		c.convs[id] = &conversation{id: id, next: seq + 1}
	}
	nc, addr, err := c.dialAny(ctx)
	if err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run(nc, addr)
	return c, nil
}

// dialAny tries every address once, the one after the last used first.
func (c *Client) dialAny(ctx context.Context) (net.Conn, string, error) {
	var errs []error
	for range c.cfg.Addrs {
		addr := c.cfg.Addrs[c.next%len(c.cfg.Addrs)]
		c.next++
		bounded, cancel := context.WithTimeout(ctx, dialWithin)
		nc, err := c.cfg.Dial(bounded, addr)
		cancel()
		if err == nil {
			return nc, addr, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, "", errors.Join(errs...)
}

// Close ends the client and waits for its goroutine. Unanswered frames end
// with ErrClosed; whether they had their effect is unknown.
func (c *Client) Close() error {
	c.cancel()
	c.mu.Lock()
	if c.nc != nil {
		c.nc.Close()
	}
	c.mu.Unlock()
	<-c.done
	return nil
}

// Done is closed when the client has ended: closed, revoked, or not let in any
// more.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the client has ended, nil while it has not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Stats are the counts so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// User is who is logged in, 0 for nobody.
func (c *Client) User() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.user
}
