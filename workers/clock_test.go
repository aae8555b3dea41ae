package workers_test

import (
	"fmt"
	"testing"
	"time"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/workers/workertest"
)

// TestProofsFromOtherClocks: a proof that a worker with another clock signed
// holds, and one that has ended for good is still renewed while its session is
// there.
func TestProofsFromOtherClocks(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	cfg := sp.Config(t)
	sp.Run(t, cfg, workertest.Handlers(), nil)
	e := sp.NewEdge(t, "e1")
	register(t, e, 1, 2)
	bound := e.Reply(e.Publish(workertest.Session{Conn: 1}, `{"msgType":1,"USERID":1,"password":"p"}`, nil))
	if bound.Life > cfg.ProofTime || bound.Life < cfg.ProofTime-time.Minute || !bound.CaughtUp {
		t.Errorf("a login with nothing unread: a proof for %s, caught up: %t", bound.Life, bound.CaughtUp)
	}
	one := e.Bound(bound)
	session := bound.Proof.Session()
	ended := func(ago time.Duration) func(*envelope.Envelope) {
		return func(env *envelope.Envelope) {
			env.Proof = sp.Key.Prove(1, session, e.Node, 1, time.Now().Add(-ago))
		}
	}
	for ago, want := range map[time.Duration]int{keys.ClockLeeway / 2: 0, keys.ClockLeeway + time.Minute: 401} {
		reply := e.Reply(e.Publish(one, `{"msgType":4,"TOID":2,"msg":"x"}`, ended(ago)))
		if got := workertest.Decode(t, reply.Payload); code(got) != want {
			t.Errorf("with a proof that ended %s ago: %v, want %d", ago, got, want)
		}
	}
	renew := func(change func(*envelope.Envelope)) channel.Result {
		return e.Reply(e.Publish(one, `{"msgType":1}`, func(env *envelope.Envelope) {
			env.Kind = envelope.Renew
			change(env)
		}))
	}
	fresh := renew(ended(24 * time.Hour))
	if fresh.Session != channel.SessionBound || fresh.Proof.Session() != session || fresh.Life < cfg.ProofTime-time.Minute {
		t.Fatalf("renewal of a proof that ended: %+v", fresh)
	}
	if r := renew(func(env *envelope.Envelope) {
		ended(24 * time.Hour)(env)
		env.Proof[7] = 2
	}); r.Session != channel.SessionRevoked {
		t.Errorf("renewal of a forged proof: %+v", r)
	}
	sp.Exec(t, "DELETE FROM sessions")
	if r := renew(ended(24 * time.Hour)); r.Session != channel.SessionRevoked {
		t.Errorf("renewal for a session that has ended: %+v", r)
	}
}

// TestWhatEdgesAreToldBesideMessages: whose a push is, and whether a page was
// the last.
func TestWhatEdgesAreToldBesideMessages(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	sp.Run(t, sp.Config(t), workertest.Handlers(), nil)
	e := sp.NewEdge(t, "e1")
	register(t, e, 1, 2)
	one, elsewhere := e.Login(1, 1), e.Login(1, 11)
	for i := range 101 {
		if r := e.Ask(one, fmt.Sprintf(`{"msgType":4,"TOID":2,"msg":"%d"}`, i)); code(r) != 0 {
			t.Fatal(r)
		}
	}
	if p := e.Push(elsewhere.Conn); p.Sender != 1 {
		t.Errorf("a push of user 1 says that its sender is %d", p.Sender)
	}
	login := e.Reply(e.Publish(workertest.Session{Conn: 2}, `{"msgType":1,"USERID":2,"password":"p"}`, nil))
	if login.CaughtUp {
		t.Error("a login with unread messages says that there are none")
	}
	two := e.Bound(login)
	first := e.Reply(e.Publish(two, `{"msgType":14}`, nil))
	if first.CaughtUp || len(first.Shown) != 1 {
		t.Errorf("a page with more behind it: caught up %t, shown %v", first.CaughtUp, first.Shown)
	}
	last := e.Reply(e.Publish(two, `{"msgType":14}`, func(env *envelope.Envelope) { env.Ranges = first.Shown }))
	if page := workertest.Decode(t, last.Payload); !last.CaughtUp || page["more"] != false {
		t.Errorf("the last page: caught up %t, %v", last.CaughtUp, page)
	}
}
