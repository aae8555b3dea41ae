package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sponge/pkg/protocol"
)

func TestUnansweredFramesAreRepeatedInOrderWithTheirIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		var answered []int64
		for i := range int64(3) {
			o := protocol.Object(nil).Int("TOID", 8).Int("n", i)
			go c.Post(protocol.Chat, o, i, func(r *Reply) { answered = append(answered, r.Tag) })
			synctest.Wait()
		}
		ids := []string{w.expect(`{"msgType":4,"TOID":8,"n":0}`), w.expect(`{"msgType":4,"TOID":8,"n":1}`), w.expect(`{"msgType":4,"TOID":8,"n":2}`)}
		w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':2}`, ids[1])
		synctest.Wait()
		w.c.Close()

		w = s.accept()
		if m := w.next(); m["msgType"] != 1.0 || m["token"] != "secret" || m["password"] != nil {
			t.Fatalf("the client sent %v, wanted a login by token", m)
		} else {
			w.send(`{'msgType':101,'code':0,'id':'%s','USERID':6,'token':'secret'}`, m["id"])
		}
		for _, n := range []int{0, 2} {
			m := w.next()
			if m["id"] != ids[n] || m["n"] != float64(n) {
				t.Fatalf("the client sent %v, wanted frame %d under %s again", m, n, ids[n])
			}
			w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':%d}`, ids[n], n+1)
		}
		synctest.Wait()
		if len(answered) != 3 || answered[0] != 1 || answered[1] != 0 || answered[2] != 2 {
			t.Errorf("answered %v, wanted 1, 0, 2", answered)
		}
		if st := c.Stats(); st.Reconnects != 1 || st.Repeated != 2 {
			t.Errorf("stats %+v, wanted 1 reconnect and 2 repeated", st)
		}
	})
}

func TestAtMostAWindowIsOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		go func() {
			for i := range int64(protocol.Window + 1) {
				if err := c.Post(protocol.Chat, protocol.Object(nil).Int("TOID", 8), i, nil); err != nil {
					t.Error(err)
				}
			}
		}()
		var first any
		for i := range protocol.Window {
			m := w.next()
			if i == 0 {
				first = m["id"]
			}
		}
		synctest.Wait()
		if n := w.r.Buffered(); n > 0 {
			t.Fatalf("%d bytes beyond the window", n)
		}
		w.send(`{'msgType':104,'code':0,'id':'%s','seq':1}`, first)
		w.expect(`{"msgType":4,"TOID":8}`)
	})
}

func TestPausesGrowWithJitterAndHaveABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true, Addrs: []string{"a:1", "b:1"}, Backoff: [2]time.Duration{100 * time.Millisecond, 2 * time.Second}})
		s.setDown(true)
		w.c.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		s.setDown(false)
		s.mu.Lock()
		dials, addrs := s.dials[1:], s.addrs
		s.mu.Unlock()
		base := 100 * time.Millisecond
		same := true
		for i := 2; i < len(dials); i += 2 { // each attempt tries both addresses
			pause := dials[i].Sub(dials[i-1])
			base = min(2*base, 2*time.Second)
			if pause < base/2 || pause > base*3/2 {
				t.Errorf("pause %d is %v, wanted %v ± half", i/2, pause, base)
			}
			same = same && pause == base
		}
		if same || len(dials) < 40 {
			t.Errorf("%d attempts, without jitter: %v", len(dials), same)
		}
		if addrs[1] != "b:1" || addrs[2] != "a:1" {
			t.Errorf("addresses tried: %v, wanted the other one first", addrs[:3])
		}
		s.accept().login()
		synctest.Wait()
		if c.Err() != nil {
			t.Error(c.Err())
		}
	})
}

func TestANoticeSaysWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var seen Notice
		c, w := s.loggedIn(Config{Raw: true, OnNotice: func(n Notice) { seen = n }})
		told := time.Now()
		w.send(`{'msgType':98,'reason':'draining','reconnect':true,'after':5000}`)
		synctest.Wait()
		if seen != (Notice{"draining", true, 5 * time.Second}) {
			t.Errorf("notice %+v", seen)
		}
		// What comes now belongs to the next connection.
		if err := c.Post(protocol.Chat, protocol.Object(nil).Int("TOID", 8), 0, nil); err != nil {
			t.Fatal(err)
		}
		w.c.Close()
		w = s.accept()
		if waited := time.Since(told); waited < 5*time.Second || waited > 6*time.Second {
			t.Errorf("came back after %v, was told 5 s", waited)
		}
		w.login()
		w.expect(`{"msgType":4,"TOID":8}`)
	})
}

func TestANoticeCanForbidToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		var ended error
		go c.Post(protocol.Chat, protocol.Object(nil).Int("TOID", 8), 0, func(r *Reply) { ended = r.Err() })
		w.next()
		w.send(`{'msgType':98,'reason':'session revoked','reconnect':false,'after':0}`)
		w.c.Close()
		<-c.Done()
		if !errors.Is(ended, ErrRevoked) || !errors.Is(c.Err(), ErrRevoked) {
			t.Errorf("the frame ended with %v, the client with %v", ended, c.Err())
		}
		if err := c.Post(protocol.Ping, nil, 0, nil); !errors.Is(err, ErrRevoked) {
			t.Errorf("Post after the end: %v", err)
		}
		if len(s.dials) != 1 {
			t.Errorf("dialled %d times", len(s.dials))
		}
	})
}

func TestAnExpiredTokenGivesWayToThePassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		w.c.Close()
		w = s.accept()
		refuse := func() {
			m := w.next()
			w.send(`{'msgType':101,'code':401,'error':'no','id':'%s'}`, m["id"])
		}
		refuse()
		if m := w.next(); m["password"] != "password" {
			t.Fatalf("the client sent %v, wanted a login by password", m)
		} else {
			w.send(`{'msgType':101,'code':0,'id':'%s','USERID':6,'token':'other'}`, m["id"])
		}
		synctest.Wait()
		w.c.Close()
		w = s.accept()
		refuse()
		refuse()
		<-c.Done()
		var why *protocol.Error
		if !errors.Is(c.Err(), ErrRevoked) || !errors.As(c.Err(), &why) || why.Code != protocol.Unauthorized {
			t.Errorf("ended with %v", c.Err())
		}
	})
}

func TestASilentServerIsAskedAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		_, w := s.loggedIn(Config{Raw: true})
		began := time.Now()
		w.expect(`{"msgType":0}`)
		if d := time.Since(began); d < 20*time.Second || d > 30*time.Second {
			t.Errorf("asked after %v", d)
		}
		w.send(`{'msgType':100,'code':0}`)
		began = time.Now()
		w.expect(`{"msgType":0}`)
		s.accept().login()
		if d := time.Since(began); d < 20*time.Second || d > 60*time.Second {
			t.Errorf("left %v after a ping without an answer", d)
		}
	})
}

func TestALoginThatIsNotAnsweredIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		_, w := s.loggedIn(Config{Raw: true, Ping: -1})
		w.c.Close()
		s.accept().next() // and no answer
		s.accept().login()
	})
}

func TestCloseEndsWhatIsOutstanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{})
		ended := make(chan error)
		go func() {
			_, err := c.Chat(t.Context(), 8, "hello")
			ended <- err
		}()
		w.next()
		go c.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Chat ended with %v", err)
		}
		<-c.Done()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWhileTheServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{})
		s.setDown(true)
		w.c.Close()
		time.Sleep(time.Second)
		began := time.Now()
		c.Close()
		if d := time.Since(began); d > 0 {
			t.Errorf("Close took %v", d)
		}
	})
}

func TestDialFailsWhereNoAddressAnswers(t *testing.T) {
	s := newServer(t)
	s.setDown(true)
	_, err := Dial(t.Context(), Config{Addrs: []string{"a:1", "b:1"}, Dial: s.dial})
	if !errors.Is(err, errDown) || len(s.dials) != 2 {
		t.Errorf("Dial: %v after %d attempts", err, len(s.dials))
	}
	if _, err := Dial(context.Background(), Config{}); err == nil {
		t.Error("Dial without an address succeeded")
	}
}

// A server that takes nothing until its answers are taken is read from all the
// same.
func TestLargeWritesDoNotStopTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true, Ping: -1})
		answered := make(chan int64, 2*protocol.Window)
		large := protocol.Object(nil).Int("TOID", 8).Text("msg", strings.Repeat("x", 2*asideAbove))
		go func() {
			for i := range int64(2 * protocol.Window) {
				if err := c.Post(protocol.Chat, large, i, func(r *Reply) { answered <- r.Tag }); err != nil {
					t.Error(err)
				}
			}
		}()
		ids := make([]any, protocol.Window)
		for i := range ids {
			ids[i] = w.next()["id"]
		}
		synctest.Wait() // all are posted
		for i, id := range ids {
			w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':%d}`, id, i+1)
			if tag := <-answered; tag != int64(i) {
				t.Errorf("answer %d to %d", i, tag)
			}
		}
		for range protocol.Window {
			w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':1}`, w.next()["id"])
			<-answered
		}
	})
}

func TestADeadHostGivesWayToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		began := time.Now()
		c, err := Dial(t.Context(), Config{Addrs: []string{"dead:1", "edge:1"}, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			if addr == "dead:1" {
				<-ctx.Done() // no answer, and no refusal
				return nil, ctx.Err()
			}
			return s.dial(ctx, addr)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s.accept()
		if d := time.Since(began); d != dialWithin {
			t.Errorf("connected after %v", d)
		}
	})
}

// An edge that lets clients in and fails at once is not hammered.
func TestShortConnectionsDoNotShortenThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		_, w := s.loggedIn(Config{Raw: true})
		for range 10 {
			synctest.Wait()
			w.c.Close()
			w = s.accept()
			w.login()
		}
		s.mu.Lock()
		if d := s.dials[10].Sub(s.dials[9]); d < 4*time.Second {
			t.Errorf("the tenth pause is %v", d)
		}
		s.mu.Unlock()
		time.Sleep(steady)
		w.c.Close()
		s.accept().login()
		s.mu.Lock()
		defer s.mu.Unlock()
		if d := s.dials[11].Sub(s.dials[10]); d > steady+150*time.Millisecond {
			t.Errorf("after a steady connection: %v", d)
		}
	})
}

func TestAServerThatStaysAfterItsNoticeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		_, w := s.loggedIn(Config{Raw: true, Ping: -1})
		w.send(`{'msgType':98,'reason':'draining','reconnect':true,'after':0}`)
		s.accept().login()
	})
}

func TestALogoutThatHadItsEffectBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		done := make(chan error)
		go func() { done <- c.Logout(t.Context()) }()
		w.send(`{'msgType':103,'code':504,'id':'%s','error':'who knows'}`, w.expect(`{"msgType":3}`))
		w.send(`{'msgType':103,'code':401,'id':'%s','error':'not logged in'}`, w.expect(`{"msgType":3}`))
		if err := <-done; err != nil || c.User() != 0 {
			t.Errorf("Logout: %v, user %d", err, c.User())
		}
	})
}

// Bytes are not enough: a frame that is not answered goes out again elsewhere.
func TestAnAnswerThatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		began := time.Now()
		go c.Chat(t.Context(), 8, "hello")
		id := w.expect(`{"msgType":4,"TOID":8,"msg":"hello"}`)
		first, ended := w.c, make(chan struct{})
		go func() { // pushes keep coming
			defer close(ended)
			for {
				if _, err := first.Write([]byte("{\"msgType\":4,\"FROMID\":8,\"TOID\":6,\"msg\":\"x\",\"seq\":1}\n")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		w = s.accept()
		w.login()
		if again := w.expect(`{"msgType":4,"TOID":8,"msg":"hello"}`); again != id {
			t.Errorf("sent again under %s, was %s", again, id)
		}
		if d := time.Since(began); d < answerWithin || d > 80*time.Second {
			t.Errorf("sent again after %v", d)
		}
		<-ended
	})
}
