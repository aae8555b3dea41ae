package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sponge/pkg/protocol"
)

// talk is a case in which messages are sent and received: who is connected,
// who says what, and who has to get it.
type talk struct {
	*run
	peers   []*peer
	senders []*sender
	convs   []conversation
	busy    atomic.Bool // the schedule has not come to its end
}

type conversation struct {
	streams []*stream
	inboxes []*inbox
}

// Chat measures pairs of which one sends to the other, keeping a window of
// unanswered messages.
func Chat(ctx context.Context, o Options, pairs, window, size int) (*Result, error) {
	if window < 1 || window > protocol.Window {
		return nil, fmt.Errorf("a window is from 1 to %d messages", protocol.Window)
	}
	t := &talk{run: newRun("chat", o)}
	defer t.close()
	if err := t.pairs(ctx, pairs, window, size); err != nil {
		return nil, err
	}
	return t.talk(ctx, t.fill)
}

// Rate measures pairs at an open schedule: messages are due at fixed times,
// whether or not earlier ones were answered, and late from when they were due.
func Rate(ctx context.Context, o Options, rate float64, pairs, size int) (*Result, error) {
	if rate <= 0 {
		return nil, errors.New("a rate is above 0")
	}
	t := &talk{run: newRun("rate", o)}
	defer t.close()
	if err := t.pairs(ctx, pairs, 0, size); err != nil {
		return nil, err
	}
	var scheduler sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer scheduler.Wait()
	defer cancel()
	t.busy.Store(true)
	return t.talk(ctx, func() {
		scheduler.Go(func() {
			defer t.busy.Store(false)
			precisely(func(sleep func(time.Duration)) {
				t.schedule(ctx, rate, sleep, func(i int64) { t.senders[i%int64(len(t.senders))].send(int64(dueAt(i, rate))) })
			})
		})
	})
}

// Group measures one group in which some members send, keeping a window of
// unanswered messages, and all receive. absent are members more, who are not
// connected.
func Group(ctx context.Context, o Options, members, absent, senders, window, size int) (*Result, error) {
	if window < 1 || window > protocol.Window {
		return nil, fmt.Errorf("a window is from 1 to %d messages", protocol.Window)
	}
	if senders < 1 || senders > members || members < 2 || absent < 0 {
		return nil, errors.New("a group has at least 2 members, and from 1 to all of them send")
	}
	t := &talk{run: newRun("group", o)}
	defer t.close()
	if err := t.group(ctx, members, absent, senders, window, size); err != nil {
		return nil, err
	}
	return t.talk(ctx, t.fill)
}

func (t *talk) fill() {
	for _, s := range t.senders {
		s.fill()
	}
}

// talk runs the load and adds up.
func (t *talk) talk(ctx context.Context, start func()) (*Result, error) {
	tallies := make([]*tally, len(t.peers))
	for i, p := range t.peers {
		tallies[i] = &p.tally
	}
	res, err := t.measure(ctx, tallies, start)
	if err != nil {
		return nil, err
	}
	t.stopped.Store(true)
	if err := t.settle(ctx, t.settled); err != nil {
		return nil, err
	}
	for _, s := range t.senders {
		s.mu.Lock()
		if s.outstanding > 0 {
			res.Errors[unanswered] += int64(s.outstanding)
		}
		s.mu.Unlock()
	}
	t.close() // from here on nobody else touches inboxes and streams
	t.finish(res)
	for _, c := range t.convs {
		balance(res, c.streams, c.inboxes, t.measured)
	}
	return res, nil
}

// settled reports whether everything that was sent was answered and delivered.
// Deliveries of what was not acknowledged may come, too: it is only a hint.
func (t *talk) settled() bool {
	if t.busy.Load() {
		return false
	}
	var acked, delivered int64
	for _, p := range t.peers {
		acked += p.tally.acked.Load()
		delivered += p.tally.delivered.Load()
	}
	for _, s := range t.senders {
		if !s.idle() {
			return false
		}
	}
	return delivered >= acked*t.recipients()
}

// recipients is how many get each message.
func (t *talk) recipients() int64 {
	n := int64(0)
	c := t.convs[0]
	for _, in := range c.inboxes {
		if in.own != 0 {
			n++
		}
	}
	return n
}

func (t *talk) close() {
	closeAll(t.peers)
	t.peers = nil
}

// pairs connects two peers for each pair: the first sends to the second, which
// is on the next address.
func (t *talk) pairs(ctx context.Context, n, window, size int) error {
	if n < 1 {
		return errors.New("at least one pair is needed")
	}
	if err := checkSize(size); err != nil {
		return err
	}
	accounts, err := t.register(ctx, 2*n)
	if err != nil {
		return err
	}
	for i := range n {
		a, b := accounts[2*i].user, accounts[2*i+1].user
		conv, s := protocol.Pair(a, b), newStream()
		c := conversation{streams: []*stream{s}, inboxes: []*inbox{newInbox([]*stream{s}, -1)}}
		from := &peer{run: t.run, index: 2 * i, conv: conv}
		to := &peer{run: t.run, index: 2*i + 1, conv: conv, in: c.inboxes[0]}
		t.peers, t.convs = append(t.peers, from, to), append(t.convs, c)
		t.senders = append(t.senders, newSender(from, conv, b, 0, s, window, size))
	}
	return t.connect(ctx, accounts)
}

// group connects the members of a new group, spread over the addresses.
func (t *talk) group(ctx context.Context, members, absent, senders, window, size int) error {
	if err := checkSize(size); err != nil {
		return err
	}
	accounts, err := t.register(ctx, members+absent)
	if err != nil {
		return err
	}
	away := accounts[members:]
	c := conversation{}
	for range senders {
		c.streams = append(c.streams, newStream())
	}
	for i := range members {
		own := -1
		if i < senders {
			own = i
		}
		c.inboxes = append(c.inboxes, newInbox(c.streams, own))
		t.peers = append(t.peers, &peer{run: t.run, index: i, in: c.inboxes[i]})
	}
	t.convs = []conversation{c}
	if err := t.connect(ctx, accounts[:members]); err != nil {
		return err
	}
	g, err := t.peers[0].c.CreateGroup(ctx, "bench", "")
	if err != nil {
		return fmt.Errorf("create a group: %w", err)
	}
	conv := protocol.GroupOf(g.ID)
	for _, p := range t.peers {
		p.conv = conv // nothing is said before start
	}
	for i := range senders {
		t.senders = append(t.senders, newSender(t.peers[i], conv, 0, i, c.streams[i], window, size))
	}
	join := func(ctx context.Context, p *peer) error {
		if _, err := p.c.JoinGroup(ctx, g.ID); err != nil {
			return fmt.Errorf("join the group: %w", err)
		}
		return nil
	}
	if err := each(ctx, members-1, func(ctx context.Context, i int) error { return join(ctx, t.peers[i+1]) }); err != nil {
		return err
	}
	return each(ctx, absent, func(ctx context.Context, i int) error {
		p := &peer{run: t.run, index: i}
		defer closeAll([]*peer{p})
		if err := p.connect(ctx, away[i]); err != nil {
			return err
		}
		return join(ctx, p)
	})
}

func (t *talk) connect(ctx context.Context, accounts []account) error {
	return each(ctx, len(t.peers), func(ctx context.Context, i int) error { return t.peers[i].connect(ctx, accounts[i]) })
}

func checkSize(size int) error {
	if size < stampSize || size > protocol.MaxFrame-1024 {
		return fmt.Errorf("a message has from %d to %d bytes", stampSize, protocol.MaxFrame-1024)
	}
	return nil
}
