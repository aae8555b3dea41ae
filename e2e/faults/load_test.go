//go:build faults

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sponge/pkg/client"
	"sponge/pkg/protocol"
)

// Who talks.
const (
	pairs        = 10 // steady ones, both ways
	confirming   = 3  // of them with confirm
	roamingPairs = 3  // whose users leave and come back all the time
	groupCount   = 3
	groupSize    = 10
	groupSenders = 4
	burstEvery   = 500 * time.Millisecond
	pairBurst    = 5 // messages of each of its users in one burst
	groupBurst   = 4
	roamingBurst = 3
	roamEvery    = 1500 * time.Millisecond
	probeEvery   = 250 * time.Millisecond
)

// device is one of a user's clients. It goes home, to an edge of its own,
// unless that edge does not let it in.
type device struct {
	name    string
	user    int64
	home    int
	confirm bool
	client  *client.Client
	wire    *wire // the last one; guarded by the history's mutex
	skip    int   // edges to leave out, beginning at home: they said nothing; guarded, too
	dials   *dialer
	away    atomic.Bool // it says nothing: it has no client
}

// dialer connects devices to edges, their home first.
type dialer struct {
	edges []*proc
	gone  [numEdges]atomic.Bool // nothing answers there
	h     *history
}

// vanishedDial is how long a client tries a host that is gone.
const vanishedDial = time.Second

func (d *dialer) dial(ctx context.Context, dev *device) (net.Conn, error) {
	var errs []error
	d.h.mu.Lock()
	first := dev.home + dev.skip
	d.h.mu.Unlock()
	for i := range d.edges {
		at := (first + i) % len(d.edges)
		if d.gone[at].Load() {
			pause(ctx, vanishedDial)
			errs = append(errs, fmt.Errorf("%s: no answer", d.edges[at].name))
			continue
		}
		var nd net.Dialer
		nc, err := nd.DialContext(ctx, "tcp", d.edges[at].links[linkClients].addr)
		if err == nil {
			return newWire(nc, dev, at, d.h), nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// pingAfter is the silence after which a client asks, and after twice of which
// it leaves: longer in all than an edge may owe it an answer.
const pingAfter = 6 * time.Second

// connect gives the device a client, without a login.
func (d *dialer) connect(ctx context.Context, dev *device) (err error) {
	dev.dials = d
	dev.client, err = client.Dial(ctx, client.Config{
		Addrs:   []string{"home"},
		Dial:    func(ctx context.Context, _ string) (net.Conn, error) { return d.dial(ctx, dev) },
		Confirm: dev.confirm,
		Ping:    pingAfter,
		// Shorter than people's: what is measured is how soon edges let them in.
		Backoff: [2]time.Duration{50 * time.Millisecond, 200 * time.Millisecond},
	})
	return err
}

// drop cuts the device's connection; the client comes back by itself.
func (dev *device) drop(h *history) {
	h.mu.Lock()
	w := dev.wire
	h.mu.Unlock()
	w.Close()
}

// load is everybody who talks.
type load struct {
	h       *history
	dialer  *dialer
	steady  []*device // those that only receive, too
	roaming []*device
	watcher *device
	streams []*stream
	members map[protocol.Conversation][]*device
	probes  []*probe
	rng     *rand.Rand // of the talking goroutine

	chapter int
	number  atomic.Int64
	bursts  chan struct{} // gets one behind each burst, if somebody waits
	stop    context.CancelFunc
	running sync.WaitGroup
	roam    atomic.Bool // roaming devices leave
}

const password = "secret"

// newLoad registers everybody, makes friends and groups, and connects.
func newLoad(ctx context.Context, c *cluster, h *history, rng *rand.Rand) (*load, error) {
	l := &load{h: h, dialer: &dialer{edges: c.edges, h: h}, members: map[protocol.Conversation][]*device{}, rng: rng, bursts: make(chan struct{})}
	user := func(name string, home int, confirm bool) (*device, error) {
		d := &device{name: name, home: home % len(c.edges), confirm: confirm}
		return d, l.enter(ctx, d)
	}
	var people []*device
	for i := range pairs * 2 {
		d, err := user(fmt.Sprintf("pair%d.%d", i/2, i%2), i, i/2 < confirming)
		if err != nil {
			return nil, err
		}
		people = append(people, d)
	}
	l.steady = append(l.steady, people...)
	for i := 0; i < len(people); i += 2 {
		l.pair(people[i], people[i+1], true)
	}
	for i := range roamingPairs * 2 {
		d, err := user(fmt.Sprintf("roaming%d.%d", i/2, i%2), i, false)
		if err != nil {
			return nil, err
		}
		l.roaming = append(l.roaming, d)
	}
	for i := 0; i < len(l.roaming); i += 2 {
		l.pair(l.roaming[i], l.roaming[i+1], false)
	}
	for i := range groupCount {
		if err := l.group(ctx, people, i); err != nil {
			return nil, err
		}
	}
	for _, of := range []*device{people[0], people[8]} { // their other devices
		d := &device{name: of.name + "'", user: of.user, home: (of.home + 1) % len(c.edges), confirm: of.confirm}
		if err := l.enter(ctx, d); err != nil {
			return nil, err
		}
		l.steady = append(l.steady, d)
		for conv, members := range l.members {
			if slices.Contains(members, of) {
				l.members[conv] = append(members, d)
			}
		}
	}
	var err error
	if l.watcher, err = user("watcher", 1, false); err != nil {
		return nil, err
	}
	for _, d := range slices.Concat(people, l.roaming) {
		if err := l.watcher.client.Befriend(ctx, d.user); err != nil {
			return nil, fmt.Errorf("befriend: %w", err)
		}
	}
	return l, l.makeProbes(ctx)
}

// enter connects a device and logs it in; a new user is registered.
func (l *load) enter(ctx context.Context, d *device) error {
	if err := l.dialer.connect(ctx, d); err != nil {
		return err
	}
	if d.user == 0 {
		a, err := d.client.Register(ctx, d.name, password)
		if err != nil {
			return fmt.Errorf("register: %w", err)
		}
		d.user = a.User
	}
	if _, err := d.client.Login(ctx, d.user, password); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

func (l *load) pair(a, b *device, steady bool) {
	conv := protocol.Pair(a.user, b.user)
	l.members[conv] = []*device{a, b}
	for _, d := range []*device{a, b} {
		l.streams = append(l.streams, &stream{device: d, conv: conv, name: d.name, steady: steady})
	}
}

func (l *load) group(ctx context.Context, people []*device, i int) error {
	first := people[i*groupSize/2]
	g, err := first.client.CreateGroup(ctx, fmt.Sprintf("group%d", i), "")
	if err != nil {
		return fmt.Errorf("create a group: %w", err)
	}
	conv := protocol.GroupOf(g.ID)
	for k := range groupSize {
		d := people[(i*groupSize/2+k)%len(people)]
		if k > 0 {
			if _, err := d.client.JoinGroup(ctx, g.ID); err != nil {
				return fmt.Errorf("join a group: %w", err)
			}
		}
		l.members[conv] = append(l.members[conv], d)
		if k < groupSenders {
			l.streams = append(l.streams, &stream{device: d, conv: conv, name: fmt.Sprintf("%s in group%d", d.name, i), steady: true})
		}
	}
	return nil
}

// begin opens a chapter: everybody talks until end.
func (l *load) begin(roam bool) {
	l.chapter++
	l.h.begin()
	for _, p := range l.probes {
		p.begin(l.chapter)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.roam.Store(roam)
	for _, s := range l.streams {
		s.orders = 0
	}
	l.running.Go(func() { l.talk(ctx) })
	for _, p := range l.probes {
		l.running.Go(func() { p.run(ctx) })
	}
}

// end lets nobody say anything more.
func (l *load) end() {
	l.stop()
	l.running.Wait()
}

// talk posts bursts on a schedule that waits for nothing.
func (l *load) talk(ctx context.Context) {
	tick := time.NewTicker(burstEvery)
	defer tick.Stop()
	leaves := time.Now().Add(roamEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range l.streams {
			n := pairBurst
			switch {
			case !s.steady:
				n = roamingBurst
			case s.conv.IsGroup():
				n = groupBurst
			}
			for range n {
				l.say(s)
			}
		}
		select {
		case l.bursts <- struct{}{}:
		default:
		}
		if l.roam.Load() && time.Now().After(leaves) {
			leaves = time.Now().Add(roamEvery)
			l.roaming[l.rng.IntN(len(l.roaming))].drop(l.h)
		}
	}
}

// say has a stream's device send one message. Of every four, one is not sent
// again after a refusal.
func (l *load) say(s *stream) {
	if s.device.away.Load() {
		return
	}
	n := l.number.Add(1)
	m := &message{text: fmt.Sprintf("c%d-%d", l.chapter, n), from: s.device, stream: s, posted: time.Now(), again: n%4 != 0}
	l.h.post(m)
	o := protocol.Object(nil)
	t := protocol.Chat
	if s.conv.IsGroup() {
		t, o = protocol.GroupChat, o.Int("GROUPID", s.conv.Group())
	} else {
		o = o.Int("TOID", s.conv.Other(s.device.user))
	}
	o = o.Text("msg", m.text)
	send := s.device.client.Post
	if m.again {
		send = s.device.client.Send
	}
	if err := send(t, o, 0, nil); err != nil {
		l.h.mu.Lock()
		l.h.fault("%s: %q cannot be sent: %v", s.device.name, m.text, err)
		l.h.mu.Unlock()
	}
}

// flying is how many messages wait for their answer.
func (h *history) flying() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unheard
}

// busy waits until enough messages are in flight, right behind a burst.
func (l *load) busy(ctx context.Context, atLeast int) (int, error) {
	for {
		select {
		case <-l.bursts:
		case <-ctx.Done():
			return 0, fmt.Errorf("never %d messages in flight: %w", atLeast, ctx.Err())
		}
		if n := l.h.flying(); n >= atLeast {
			return n, nil
		}
	}
}

// goesOn waits until every steady stream, and every kind of probe, got an
// acknowledgement for something posted since, and tells how long the last of
// them took.
func (l *load) goesOn(ctx context.Context, since time.Time) (time.Duration, string, error) {
	r := &resume{since: since, left: map[*stream]bool{}, done: make(chan struct{})}
	for _, s := range l.streams {
		if s.steady {
			r.left[s] = true
		}
	}
	for _, p := range l.probes {
		r.left[p.stream] = true
	}
	l.h.mu.Lock()
	l.h.waiting = r
	l.h.mu.Unlock()
	defer func() {
		l.h.mu.Lock()
		l.h.waiting = nil
		l.h.mu.Unlock()
	}()
	select {
	case <-r.done:
		return r.last, r.who, nil
	case <-ctx.Done():
		l.h.mu.Lock()
		defer l.h.mu.Unlock()
		var who []string
		for s := range r.left {
			who = append(who, s.name)
		}
		slices.Sort(who)
		return 0, "", fmt.Errorf("nothing is acknowledged any more for %v", who)
	}
}

// settle waits until every message has its answer.
func (l *load) settle(ctx context.Context) error {
	return l.until(ctx, func() error {
		if n := l.h.flying(); n > 0 {
			return fmt.Errorf("%d messages have no answer", n)
		}
		return nil
	})
}

// until polls a condition; nothing signals what it looks at. The error is the
// last one that is not ctx's own.
func (l *load) until(ctx context.Context, done func() error) error {
	return l.untilEvery(ctx, 20*time.Millisecond, done)
}

func (l *load) untilEvery(ctx context.Context, every time.Duration, done func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var err error
	for {
		last := done()
		if last == nil {
			return nil
		}
		if err == nil || ctx.Err() == nil {
			err = last
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// goHome has devices that live elsewhere come home.
func (l *load) goHome(ctx context.Context) error {
	var away []*device
	l.h.mu.Lock()
	for _, d := range slices.Concat(l.steady, l.roaming, []*device{l.watcher}) {
		if d.wire.edge != d.home {
			away = append(away, d)
		}
	}
	l.h.mu.Unlock()
	for _, d := range away {
		d.drop(l.h)
	}
	return l.until(ctx, func() error {
		for _, d := range away {
			l.h.mu.Lock()
			connected, home := !d.wire.closed && d.wire.heard, d.wire.edge == d.home
			l.h.mu.Unlock()
			if connected && !home { // it was on its way to another edge when it was dropped
				d.drop(l.h)
			}
			if !connected || !home {
				return fmt.Errorf("%s does not come home", d.name)
			}
		}
		return nil
	})
}

// allConnected waits until every device is connected to a running edge.
func (l *load) allConnected(ctx context.Context) error {
	return l.until(ctx, func() error {
		l.h.mu.Lock()
		defer l.h.mu.Unlock()
		for _, d := range slices.Concat(l.steady, l.roaming) {
			if d.wire.closed || !d.wire.heard {
				return fmt.Errorf("%s is not connected", d.name)
			}
		}
		return nil
	})
}

// online asks whom the watcher sees.
func (l *load) online(ctx context.Context) (map[int64]bool, error) {
	people, err := l.watcher.client.Friends(ctx)
	if err != nil {
		return nil, err
	}
	out := map[int64]bool{}
	for _, p := range people {
		out[p.User] = p.Online
	}
	return out, nil
}

// seesAll waits until the watcher sees everybody, and tells how long it took.
func (l *load) seesAll(ctx context.Context, since time.Time) (time.Duration, error) {
	err := l.until(ctx, func() error {
		on, err := l.online(ctx)
		if err != nil {
			return err
		}
		for _, d := range slices.Concat(l.steady, l.roaming) {
			if !on[d.user] {
				return fmt.Errorf("%s is not seen online", d.name)
			}
		}
		return nil
	})
	return time.Since(since), err
}

func (l *load) close() {
	all := slices.Concat(l.steady, l.roaming, []*device{l.watcher})
	for _, p := range l.probes {
		all = append(all, p.device)
	}
	for _, d := range all {
		if d != nil && d.client != nil {
			d.client.Close()
		}
	}
}
