package channel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Times of a channel.
const (
	// KeepFor is how long a stream outlives the last Renew of its node.
	KeepFor = 60 * time.Second

	readBlock = 500 * time.Millisecond
	readCount = 64
	retryWait = 100 * time.Millisecond
	trimEvery = time.Second
)

// ReaderConfig is what a Reader needs.
type ReaderConfig struct {
	Redis     *redis.Options // of a client of its own; copied
	Namespace string
	Node      string // name:nonce
	Log       *slog.Logger

	// Entry takes the data of one entry, which it may not keep. Read is called
	// after the last entry of each read. Both are called by Run's goroutine
	// and must not block.
	Entry func(data []byte)
	Read  func()
	// Lost says that entries may be missing, for the reason given. It is
	// called from any goroutine and must not block.
	Lost func(reason string)
}

// Reader reads a node's own channel and keeps it alive. Create comes first,
// then Run in one goroutine and Renew from another; Close is the last.
type Reader struct {
	cfg    ReaderConfig
	key    string
	client *redis.Client

	// mu guards the following.
	mu    sync.Mutex
	last  uint64        // the number in the last id that was read, or skipped
	taken uint64        // the number up to which Read has been called
	moved chan struct{} // closed when taken moves; nil when nobody waits
	whole time.Time     // when nothing had been lost yet
	runID string        // of the Redis server, empty where it does not tell

	unsure bool // Renew's own: the stream may have been made again, without an answer
}

// NewReader makes a reader. It connects on demand.
func NewReader(cfg ReaderConfig) *Reader {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reader{cfg: cfg, key: Key(cfg.Namespace, cfg.Node), whole: time.Now()}
	opts := *cfg.Redis
	opts.OnConnect = r.connected
	opts.ReadTimeout = 3 * time.Second
	opts.PoolSize = 3 // reading, renewing, and one to spare
	opts.MaxRetries = -1
	r.client = redis.NewClient(&opts)
	return r
}

// Create makes the stream, before anybody can be told of the node.
func (r *Reader) Create(ctx context.Context) error {
	_, err := r.ensure(ctx)
	return err
}

// ensure adds an empty entry, which makes the stream where it is missing, and
// reports whether it was.
func (r *Reader) ensure(ctx context.Context) (made bool, err error) {
	var add *redis.StringCmd
	_, err = r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		add = p.XAdd(ctx, &redis.XAddArgs{Stream: r.key, ID: "0-*", Values: []string{Field, ""}})
		p.Expire(ctx, r.key, KeepFor)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("make the channel: %w", err)
	}
	n, ok := number(add.Val())
	if !ok {
		return false, fmt.Errorf("make the channel: unexpected id %q", add.Val())
	}
	if n == 1 {
		r.fromStart()
	}
	return n == 1, nil
}

// fromStart has a stream that was made again read from its first entry.
func (r *Reader) fromStart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.taken = 0, 0
}

// number is N of an id 0-N.
func number(id string) (n uint64, ok bool) {
	rest, ok := strings.CutPrefix(id, "0-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(rest, 10, 64)
	return n, err == nil
}

// Run reads until ctx ends. Errors of Redis are logged, and reading goes on
// from the last entry.
func (r *Reader) Run(ctx context.Context) {
	trimmed := time.Now()
	failing := false
	for ctx.Err() == nil {
		last := r.position()
		streams, err := r.client.XRead(ctx, &redis.XReadArgs{
			Streams: []string{r.key, "0-" + strconv.FormatUint(last, 10)},
			Count:   readCount,
			Block:   readBlock,
		}).Result()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, redis.Nil):
			r.wholeUntilNow()
		case err != nil:
			if !failing {
				r.cfg.Log.Warn("the channel cannot be read, trying again", "error", err)
			}
			failing = true
			pause(ctx, retryWait)
			continue
		default:
			r.deliver(last, streams[0].Messages)
			r.cfg.Read()
			r.tookAll()
			if now := time.Now(); now.Sub(trimmed) >= trimEvery {
				trimmed = now
				id := "0-" + strconv.FormatUint(r.position(), 10)
				if err := r.client.XTrimMinID(ctx, r.key, id).Err(); err != nil && ctx.Err() == nil {
					r.cfg.Log.Warn("the channel cannot be trimmed", "error", err)
				}
			}
		}
		failing = false
	}
}

// deliver hands entries over, and notices the numbers that do not follow.
func (r *Reader) deliver(from uint64, messages []redis.XMessage) {
	last, gap := from, false
	for _, m := range messages {
		n, ok := number(m.ID)
		gap = gap || !ok || n != last+1
		if ok {
			last = n
		}
		if data, _ := m.Values[Field].(string); data != "" {
			r.cfg.Entry([]byte(data))
		}
	}
	r.mu.Lock()
	if r.last == from { // else the stream was made anew meanwhile
		r.last = last
	}
	if !gap {
		r.whole = time.Now()
	}
	r.mu.Unlock()
	if gap {
		r.cfg.Lost("numbers do not follow")
	}
}

// tookAll notes that all that was read has been handed over, Read included.
func (r *Reader) tookAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = r.last
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// CatchUp waits until everything that the stream holds by now has been handed
// over, Read included. An error says that this cannot be known.
func (r *Reader) CatchUp(ctx context.Context) error {
	newest, err := r.client.XRevRangeN(ctx, r.key, "+", "-", 1).Result()
	if err != nil {
		return fmt.Errorf("ask how far the channel goes: %w", err)
	}
	if len(newest) == 0 {
		return nil // trimmed behind what was read, or gone, which Renew tells
	}
	end, ok := number(newest[0].ID)
	if !ok {
		return fmt.Errorf("ask how far the channel goes: unexpected id %q", newest[0].ID)
	}
	for {
		r.mu.Lock()
		if r.taken >= end {
			r.mu.Unlock()
			return nil
		}
		if r.moved == nil {
			r.moved = make(chan struct{})
		}
		moved := r.moved
		r.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Reader) position() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *Reader) wholeUntilNow() {
	r.mu.Lock()
	r.whole = time.Now()
	r.mu.Unlock()
}

// WholeSince is the last time at which, as far as the reader knows, no entry
// had been lost.
func (r *Reader) WholeSince() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole
}

// Renew keeps the stream alive for another KeepFor. Where it is gone, Renew
// makes it again and reports the loss. So it does where an earlier Renew made
// it, but was not told: its numbers begin again below what was read.
func (r *Reader) Renew(ctx context.Context) (lost bool, err error) {
	last := r.position() // before the stream is asked, whose numbers only grow
	there, err := r.client.Expire(ctx, r.key, KeepFor).Result()
	if err != nil {
		return false, fmt.Errorf("renew the channel: %w", err)
	}
	if !there {
		made, err := r.ensure(ctx)
		r.unsure = err != nil
		return made, err
	}
	info, err := r.client.XInfoStream(ctx, r.key).Result()
	if err != nil {
		return false, fmt.Errorf("renew the channel: %w", err)
	}
	newest, ok := number(info.LastGeneratedID)
	if !ok {
		return false, fmt.Errorf("renew the channel: unexpected id %q", info.LastGeneratedID)
	}
	// A new connection to another server may have set the position back itself.
	if !r.unsure && (newest >= last || newest >= r.position()) {
		return false, nil
	}
	r.unsure = false
	r.fromStart()
	return true, nil
}

// connected looks, on each new connection, whether it leads to the server
// that the last one did.
func (r *Reader) connected(ctx context.Context, conn *redis.Conn) error {
	id := serverRunID(ctx, conn)
	if id == "" {
		return nil
	}
	r.mu.Lock()
	before := r.runID
	r.runID = id
	r.mu.Unlock()
	if before == "" || before == id {
		return nil
	}
	// The other server may be a replica that lacks the newest entries, and
	// give their numbers again.
	if info, err := conn.XInfoStream(ctx, r.key).Result(); err == nil {
		if n, ok := number(info.LastGeneratedID); ok {
			r.mu.Lock()
			r.last = min(r.last, n)
			r.taken = min(r.taken, n)
			r.mu.Unlock()
		}
	}
	r.cfg.Lost("Redis is another server, or was restarted")
	return nil
}

func serverRunID(ctx context.Context, conn *redis.Conn) string {
	info, err := conn.Info(ctx, "server").Result()
	if err != nil {
		return "" // not every server tells
	}
	_, rest, _ := strings.Cut(info, "run_id:")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

// Remove deletes the stream: the node is going.
func (r *Reader) Remove(ctx context.Context) error {
	if err := r.client.Del(ctx, r.key).Err(); err != nil {
		return fmt.Errorf("remove the channel: %w", err)
	}
	return nil
}

// Close ends the connections, and with them a Run that waits.
func (r *Reader) Close() error {
	if err := r.client.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the channel: %w", err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
