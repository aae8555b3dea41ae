package e2e

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sponge "sponge/pkg/client"
	"sponge/pkg/protocol"
)

// device is a client of pkg/client behind a relay of its own, and what it was
// handed over and was told.
type device struct {
	t     *testing.T
	relay *relay
	c     *sponge.Client
	user  int64
	keeps bool // it confirms

	mu sync.Mutex
	// mu guards the following.
	got   map[protocol.Conversation][]message // by OnPush
	acks  map[protocol.Conversation][]message // its own, in the order in which they were sent
	count int                                 // of others' messages in got
	news  chan struct{}                       // has room for one: got has changed
}

// message is one as its sender or a recipient knows it.
type message struct {
	seq  int64
	from int64
	text string
}

// newDevice logs an account in through a relay.
func newDevice(t *testing.T, c *cluster, a account, keeps bool, seen []protocol.Conversation, rng *rand.Rand, harmless bool) *device {
	t.Helper()
	d := &device{t: t, relay: newRelay(t, c.edges, rng), user: a.id, keeps: keeps, news: make(chan struct{}, 1),
		got: make(map[protocol.Conversation][]message), acks: make(map[protocol.Conversation][]message)}
	d.relay.calm.Store(harmless)
	dead, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	cfg := sponge.Config{
		Addrs:   append([]string{loopback(dead)}, d.relay.addrs...),
		Backoff: [2]time.Duration{5 * time.Millisecond, 50 * time.Millisecond},
		OnPush:  d.push,
		Confirm: keeps,
	}
	if !keeps { // what was written to a connection that broke, 14 does not bring again
		cfg.Seen = make(map[protocol.Conversation]int64)
		for _, conv := range seen {
			cfg.Seen[conv] = 0
		}
	}
	if d.c, err = sponge.Dial(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), runPatience)
	defer cancel()
	if _, err := d.c.Login(ctx, a.id, a.password); err != nil {
		t.Fatalf("login of user %d: %v", a.id, err)
	}
	return d
}

func (d *device) push(f *sponge.Frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	conv := f.Conversation()
	d.got[conv] = append(d.got[conv], message{f.Seq, f.From, f.Text()})
	if f.From != d.user { // one's own comes where it was sent on a connection that broke
		d.count++
	}
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// send sends messages to a conversation, one after the other.
func (d *device) send(conv protocol.Conversation, texts ...string) {
	ctx, cancel := context.WithTimeout(d.t.Context(), runPatience)
	defer cancel()
	for _, text := range texts {
		var ack sponge.Ack
		var err error
		if conv.IsGroup() {
			ack, err = d.c.GroupChat(ctx, conv.Group(), text)
		} else {
			ack, err = d.c.Chat(ctx, conv.Other(d.user), text)
		}
		if err != nil {
			d.t.Errorf("user %d, %v, %q: %v", d.user, conv, text, err)
			return
		}
		d.mu.Lock()
		d.acks[conv] = append(d.acks[conv], message{ack.Seq, d.user, text})
		d.mu.Unlock()
	}
}

// wait waits until n messages of others have come.
func (d *device) wait(n int) {
	d.t.Helper()
	late := time.After(runPatience)
	for {
		d.mu.Lock()
		count := d.count
		d.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-d.news:
		case <-late:
			d.fail("%d messages of others, want %d", count, n)
		}
	}
}

// ping shows that all is answered that was sent before.
func (d *device) ping() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), runPatience)
	defer cancel()
	if _, err := d.c.Request(ctx, protocol.Ping, nil); err != nil {
		d.fail("ping: %v", err)
	}
}

// fail ends the test with what passed through the relay.
func (d *device) fail(format string, args ...any) {
	d.t.Helper()
	said := d.relay.said()
	for i, line := range said {
		said[i] = line[:min(len(line), 400)]
	}
	d.t.Fatalf("user %d: %s\nclient: %+v\n\t%s", d.user, fmt.Sprintf(format, args...), d.c.Stats(), strings.Join(said, "\n\t"))
}

// talk has every device send to each of its conversations at the same time, and
// then once more when the relays do no harm any longer: what was lost last shows
// by what follows.
func talk(devices []*device, members map[protocol.Conversation][]*device, each int) {
	var all sync.WaitGroup
	for conv, list := range members {
		for _, d := range list {
			texts := make([]string, each)
			for i := range texts {
				texts[i] = fmt.Sprintf("%d to %v, %d", d.user, conv, i)
			}
			all.Go(func() { d.send(conv, texts...) })
		}
	}
	all.Wait()
	for _, d := range devices {
		d.relay.calm.Store(true)
	}
	for conv, list := range members {
		for _, d := range list {
			all.Go(func() { d.send(conv, fmt.Sprintf("%d to %v, last", d.user, conv)) })
		}
	}
	all.Wait()
}

// check holds what every device was handed over against what was acknowledged.
func check(t *testing.T, devices []*device, members map[protocol.Conversation][]*device, each int) {
	t.Helper()
	stored := make(map[protocol.Conversation][]message)
	total := make(map[*device]int)
	for conv, list := range members {
		for _, d := range list {
			if n := len(d.acks[conv]); n != each+1 {
				d.fail("%d acknowledgements in %v, want %d", n, conv, each+1)
			}
			if !slices.IsSortedFunc(d.acks[conv], bySeq) {
				d.fail("%v: its own messages have the numbers %v", conv, d.acks[conv])
			}
			stored[conv] = append(stored[conv], d.acks[conv]...)
			total[d] += (len(list) - 1) * (each + 1)
		}
		slices.SortFunc(stored[conv], bySeq)
		for i, m := range stored[conv] {
			if m.seq != int64(i+1) {
				t.Fatalf("%v: the %d. message has the number %d", conv, i+1, m.seq)
			}
		}
	}
	for _, d := range devices {
		d.wait(total[d])
		d.ping()
	}
	for conv, list := range members {
		for _, d := range list {
			d.mu.Lock()
			got := slices.Clone(d.got[conv])
			d.mu.Unlock()
			if !slices.IsSortedFunc(got, bySeq) {
				d.fail("%v: out of order: %v", conv, got)
			}
			for _, m := range got {
				if m.seq > int64(len(stored[conv])) || stored[conv][m.seq-1] != m {
					d.fail("%v: got %v, stored is %v", conv, m, stored[conv][min(int(m.seq), len(stored[conv]))-1])
				}
			}
			own := func(m message) bool { return m.from == d.user }
			if want := slices.DeleteFunc(slices.Clone(stored[conv]), own); !slices.Equal(slices.DeleteFunc(got, own), want) {
				d.fail("%v: got %v, want %v", conv, got, want)
			}
		}
	}
}

func bySeq(a, b message) int {
	if a.seq == b.seq {
		return 1 // twice is out of order
	}
	return cmp.Compare(a.seq, b.seq)
}

// setting is five devices, of which two confirm, in four pairs and a group.
func setting(t *testing.T, c *cluster, harmless bool) ([]*device, map[protocol.Conversation][]*device) {
	t.Helper()
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	all := users(t, c, 5)
	group := protocol.GroupOf(createGroup(all...))
	pairs := [][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 4}}
	devices := make([]*device, len(all))
	for i, u := range all {
		u.drop()
		seen := []protocol.Conversation{group}
		for _, p := range pairs {
			if p[0] == i || p[1] == i {
				seen = append(seen, protocol.Pair(all[p[0]].id, all[p[1]].id))
			}
		}
		if harmless {
			seen = nil // what 16 brings to the end is on its way as a push, too
		}
		devices[i] = newDevice(t, c, u.account, i%2 == 1, seen, rand.New(rand.NewPCG(rng.Uint64(), 0)), harmless)
		devices[i].ping() // also what a login fetches is there
	}
	members := map[protocol.Conversation][]*device{group: devices}
	for _, p := range pairs {
		members[protocol.Pair(all[p[0]].id, all[p[1]].id)] = []*device{devices[p[0]], devices[p[1]]}
	}
	return devices, members
}

// newSeed is what the test's chances come from; SPONGE_TEST_SEED sets it.
func newSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("SPONGE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SPONGE_TEST_SEED=%d", seed)
	return seed
}

// TestGoClient has clients of pkg/client talk through relays that cut connections,
// lose replies and lose pushes: each gets every message once and in order all the
// same, and each message is stored once.
func TestGoClient(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		const each = 20
		devices, members := setting(t, c, false)
		began := time.Now()
		talk(devices, members, each)
		check(t, devices, members, each)

		harms := make(map[harm]int)
		var sum sponge.Stats
		for _, d := range devices {
			s := d.c.Stats()
			sum.Reconnects += s.Reconnects
			sum.Repeated += s.Repeated
			sum.Gaps += s.Gaps
			sum.Dropped += s.Dropped
			d.relay.mu.Lock()
			for h, n := range d.relay.done {
				harms[h] += n
			}
			d.relay.mu.Unlock()
		}
		t.Logf("%v: %v: %+v", time.Since(began), harms, sum)
		for _, h := range []harm{cut, cutAfter, cutIn, cutUp, unsure, lost} {
			if harms[h] == 0 {
				t.Errorf("nothing was tried of: %s", h)
			}
		}
		if sum.Reconnects == 0 || sum.Repeated == 0 || sum.Gaps == 0 {
			t.Errorf("the clients had nothing to mend: %+v", sum)
		}
	})
}

// TestGoClientUndisturbed has them talk without faults: who does not confirm gets
// nothing twice, not even on the wire, and finds no hole.
func TestGoClientUndisturbed(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		const each = 20
		devices, members := setting(t, c, true)
		talk(devices, members, each)
		check(t, devices, members, each)
		for _, d := range devices {
			if s := d.c.Stats(); s.Reconnects > 0 || s.Repeated > 0 || s.Gaps > 0 || s.Dropped > 0 && !d.keeps {
				d.fail("it had something to mend")
			}
		}
	})
}

// TestGoClientComesAmidTalk logs recipients in while they are being written to:
// what waited for them comes first, and nothing is missing.
func TestGoClientComesAmidTalk(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		const recipients, before, after = 6, 120, 30
		rng := rand.New(rand.NewPCG(newSeed(t), 0))
		sender := newDevice(t, c, register(t, c, 1)[0], false, nil, rng, true)
		accounts := register(t, c, recipients)
		texts := make([]string, before+after)
		for i := range texts {
			texts[i] = fmt.Sprint(i)
		}
		var sending sync.WaitGroup
		for _, a := range accounts {
			sending.Go(func() { sender.send(protocol.Pair(sender.user, a.id), texts[:before]...) })
		}
		sending.Wait()
		defer sending.Wait()
		for i, a := range accounts {
			conv := protocol.Pair(sender.user, a.id)
			sending.Go(func() { sender.send(conv, texts[before:]...) })
			d := newDevice(t, c, a, i%2 == 1, nil, rng, true)
			d.wait(len(texts))
			d.mu.Lock()
			got := slices.Clone(d.got[conv])
			d.mu.Unlock()
			for k, m := range got {
				if m != (message{int64(k + 1), sender.user, texts[k]}) {
					d.fail("message %d is %v", k+1, m)
				}
			}
			if s := d.c.Stats(); s.Gaps > 0 {
				d.fail("it asked for what was on its way")
			}
		}
	})
}
