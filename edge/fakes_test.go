package edge

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// published is a record as the workers would see it.
type published struct {
	topic     string
	partition int
	rec       *queue.Record
	env       envelope.Envelope
	frame     protocol.Frame
}

// fakeKafka is a producer that keeps records for the test, and answers each
// with result, from a goroutine of its own.
type fakeKafka struct {
	records chan *published

	mu        sync.Mutex
	result    func(*published) (answer bool, err error) // nil: success
	full      bool
	cancelled map[*queue.Record]bool
	held      map[*queue.Record]func(*queue.Record, error)
	wg        sync.WaitGroup
}

func newFakeKafka() *fakeKafka {
	return &fakeKafka{
		records:   make(chan *published, 10000),
		cancelled: map[*queue.Record]bool{},
		held:      map[*queue.Record]func(*queue.Record, error){},
	}
}

func (k *fakeKafka) Partitions(context.Context, string) (int, error) { return 4, nil }

func (k *fakeKafka) Enqueue(topic string, partition int, r *queue.Record, done func(*queue.Record, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		return queue.ErrFull
	}
	p := &published{topic: topic, partition: partition, rec: r}
	if err := p.env.Parse(r.Headers[0].Value); err != nil {
		panic(err)
	}
	if n, err := p.frame.Parse(r.Value); err != nil || n != len(r.Value) {
		panic(fmt.Sprintf("published %q: %v", r.Value, err))
	}
	answer, err := true, error(nil)
	if k.result != nil {
		answer, err = k.result(p)
	}
	if answer {
		k.wg.Go(func() { done(r, err) })
	} else {
		k.held[r] = done
	}
	k.records <- p
	return nil
}

func (k *fakeKafka) Cancel(r *queue.Record) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	done, ok := k.held[r]
	delete(k.held, r)
	k.cancelled[r] = ok
	if ok {
		k.wg.Go(func() { done(r, queue.ErrNotSent) })
	}
	return ok
}

func (k *fakeKafka) Close(context.Context) error {
	k.mu.Lock()
	for r, done := range k.held {
		k.wg.Go(func() { done(r, queue.ErrNotSent) })
	}
	clear(k.held)
	k.mu.Unlock()
	k.wg.Wait()
	return nil
}

// script makes the results of the records to come.
func (k *fakeKafka) script(result func(*published) (answer bool, err error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.result = result
}

func (k *fakeKafka) setFull(full bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.full = full
}

// fakeChannel delivers what the test sends.
type fakeChannel struct {
	edge    *Edge
	entries chan []byte
	renewed func() (bool, error)
	behind  chan struct{} // where set, there is more to read until it is closed
	mu      sync.Mutex
}

func (c *fakeChannel) Create(context.Context) error { return nil }
func (c *fakeChannel) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-c.entries:
			c.edge.entry(b)
			c.edge.flushDirty()
		}
	}
}
func (c *fakeChannel) Renew(context.Context) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renewed != nil {
		return c.renewed()
	}
	return false, nil
}
func (c *fakeChannel) CatchUp(ctx context.Context) error {
	c.mu.Lock()
	behind := c.behind
	c.mu.Unlock()
	if behind == nil {
		return nil
	}
	select {
	case <-behind:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
func (c *fakeChannel) WholeSince() time.Time        { return time.Now() }
func (c *fakeChannel) Remove(context.Context) error { return nil }
func (c *fakeChannel) Close() error                 { return nil }

// fakeLease is a presence that the test can look at, and break.
type fakeLease struct {
	mu      sync.Mutex
	entries map[string]bool // user/conn
	writes  int
	last    presence.Change
	fail    error
	lapsed  bool // as the next Renew will find
	removed bool
	swept   []int64
}

func (l *fakeLease) Renew(context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := !l.lapsed
	l.lapsed = false
	return there, nil
}

func (l *fakeLease) Write(_ context.Context, changes []presence.Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	for _, c := range changes {
		key := fmt.Sprintf("%d/%d", c.User, c.Conn)
		l.writes++
		l.last = c
		if c.There {
			l.entries[key] = true
		} else {
			delete(l.entries, key)
		}
	}
	return nil
}

func (l *fakeLease) Sweep(_ context.Context, users []int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.swept = append(l.swept, users...)
	return l.fail
}

func (l *fakeLease) Remove(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed = true
	return nil
}

func (l *fakeLease) has(user int64, conn uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[fmt.Sprintf("%d/%d", user, conn)]
}

func (l *fakeLease) breakDown(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}
