package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sponge/pkg/protocol"
)

var slow = [2]time.Duration{time.Second, 10 * time.Second}

// over answers what fn asks for, does what comes after, and waits until fn has
// returned: it may be the one that writes what comes after.
func (w *wire) over(fn func() error, format string, after ...func()) {
	w.t.Helper()
	done := make(chan error)
	go func() { done <- fn() }()
	w.send(format, w.next()["id"])
	for _, f := range after {
		f()
	}
	if err := <-done; err != nil {
		w.t.Error(err)
	}
}

// change logs user 6 out, and user 7 in.
func (w *wire) change(c *Client, after ...func()) {
	w.t.Helper()
	w.over(func() error { return c.Logout(w.t.Context()) }, `{'msgType':103,'code':0,'id':'%s'}`)
	w.over(func() error {
		_, err := c.Login(w.t.Context(), 7, "password")
		return err
	}, `{'msgType':101,'code':0,'id':'%s','USERID':7,'token':'seven'}`, after...)
}

// sends sends a chat frame with Send, and collects how it ends.
func (w *wire) sends(c *Client) (id string, ends *[]error) {
	w.t.Helper()
	ends = new([]error)
	go c.Send(protocol.Chat, protocol.Object(nil).Int("TOID", 8), 3, func(r *Reply) {
		if r.Tag != 3 {
			w.t.Errorf("tag %d", r.Tag)
		}
		*ends = append(*ends, r.Err())
	})
	return w.expect(`{"msgType":4,"TOID":8}`), ends
}

func TestSendRepeatsWhatWasNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newServer(t).loggedIn(Config{Raw: true})
		id, ends := w.sends(c)
		for _, code := range []int{503, 504, 429} {
			w.send(`{'msgType':104,'code':%d,'error':'later','id':'%s'}`, code, id)
			if again := w.expect(`{"msgType":4,"TOID":8}`); again != id {
				t.Errorf("repeated under %s, was %s", again, id)
			}
		}
		w.send(`{'msgType':104,'code':0,'id':'%s','seq':1}`, id)
		synctest.Wait()
		if len(*ends) != 1 || (*ends)[0] != nil {
			t.Errorf("ended with %v", *ends)
		}
	})
}

func TestWhatAUserSentIsNotRepeatedAsAnothers(t *testing.T) {
	refusal := `{'msgType':104,'code':503,'error':'later','id':'%s'}`
	// check wants one end, and that the next frame is not the repeat.
	check := func(t *testing.T, c *Client, w *wire, ends *[]error) {
		t.Helper()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(*ends) != 1 || !errors.Is((*ends)[0], ErrOtherUser) {
			t.Errorf("ended with %v", *ends)
		}
		go c.Friends(t.Context())
		w.expect(`{"msgType":8}`)
	}
	for name, run := range map[string]func(*testing.T, *server, *Client, *wire){
		"Send, refused before": func(t *testing.T, _ *server, c *Client, w *wire) {
			id, ends := w.sends(c)
			w.send(refusal, id)
			w.change(c)
			check(t, c, w, ends)
		},
		"Send, refused after": func(t *testing.T, _ *server, c *Client, w *wire) {
			id, ends := w.sends(c)
			w.change(c)
			w.send(refusal, id)
			check(t, c, w, ends)
		},
		"Request": func(t *testing.T, _ *server, c *Client, w *wire) {
			var ends []error
			go func() {
				_, err := c.Chat(t.Context(), 8, "x")
				ends = append(ends, err)
			}()
			w.send(refusal, w.expect(`{"msgType":4,"TOID":8,"msg":"x"}`))
			w.change(c)
			check(t, c, w, &ends)
		},
		"on another connection": func(t *testing.T, s *server, c *Client, w *wire) {
			_, ends := w.sends(c)
			w.change(c)
			w.c.Close()
			w = s.accept()
			w.send(`{'msgType':101,'code':0,'id':'%s','USERID':7,'token':'seven'}`, w.expect(`{"msgType":1,"USERID":7,"token":"seven"}`))
			check(t, c, w, ends)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c, w := s.loggedIn(Config{Raw: true, Backoff: slow})
				run(t, s, c, w)
			})
		})
	}
}

// A page that was asked for as another user does not hold up those that follow.
func TestPagesOfAnotherUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{})
		w.c.Close()
		w = s.accept()
		w.login()
		w.expect(`{"msgType":14}`) // and no answer
		w.change(c)
		w.c.Close()
		w = s.accept()
		w.send(`{'msgType':101,'code':0,'id':'%s','USERID':7,'token':'seven'}`, w.expect(`{"msgType":1,"USERID":7,"token":"seven"}`))
		w.nothing()
	})
}

func TestCloseEndsASendThatWaitsForItsRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newServer(t).loggedIn(Config{Raw: true, Backoff: slow})
		id, ends := w.sends(c)
		w.send(`{'msgType':104,'code':503,'error':'later','id':'%s'}`, id)
		synctest.Wait()
		c.Close()
		if len(*ends) != 1 || !errors.Is((*ends)[0], ErrClosed) {
			t.Errorf("after Close: ended with %v", *ends)
		}
		time.Sleep(time.Minute)
		if len(*ends) != 1 {
			t.Errorf("a minute later: ended with %v", *ends)
		}
	})
}

func TestAFrameThatIsGivenUpKeepsItsPlaceUntilItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newServer(t).loggedIn(Config{Raw: true})
		ctx, cancel := context.WithCancel(t.Context())
		go c.Friends(ctx)
		id := w.expect(`{"msgType":8}`)
		go func() {
			for i := range int64(protocol.Window) { // the last one has no room
				if err := c.Post(protocol.Chat, protocol.Object(nil).Int("n", i), i, nil); err != nil {
					t.Error(err)
				}
			}
		}()
		for range protocol.Window - 1 {
			w.next()
		}
		cancel()
		synctest.Wait()
		w.send(`{'msgType':108,'code':0,'id':'%s','friends':[]}`, id)
		if m := w.next(); m["n"] != float64(protocol.Window-1) {
			t.Errorf("the client sent %v, wanted what had no room", m)
		}
	})
}

func TestALateAnswerHasItsEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		c := newServer(t)
		cl := c.client(Config{OnPush: got.take})
		w := c.accept()
		// given runs fn, and gives it up when its frame has come.
		given := func(fn func(context.Context) error) any {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- fn(ctx) }()
			id := w.next()["id"]
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("given up with %v", err)
			}
			return id
		}
		id := given(func(ctx context.Context) error {
			_, err := cl.Login(ctx, 6, "password")
			return err
		})
		w.send(`{'msgType':101,'code':0,'id':'%s','USERID':6,'token':'secret'}`, id)
		w.nothing()
		if cl.User() != 6 {
			t.Errorf("user %d", cl.User())
		}
		id = given(func(ctx context.Context) error {
			_, err := cl.Chat(ctx, 8, "mine")
			return err
		})
		w.send("%s", message(1))
		w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':2}`, id)
		w.send("%s", message(3))
		got.want(t, "1", "3")
	})
}

func TestWhatIsGivenUpIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		ctx, cancel := context.WithCancel(t.Context())
		go c.Chat(ctx, 8, "x")
		w.next()
		cancel()
		synctest.Wait()
		w.c.Close()
		w = s.accept()
		w.login()
		go c.Friends(t.Context())
		w.expect(`{"msgType":8}`)
	})
}

func TestNewlinesBetweenMembersDoNotEndTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newServer(t).loggedIn(Config{Raw: true})
		go c.Request(t.Context(), protocol.Chat, protocol.Object("\"TOID\": 8,\n\t\"msg\": \"a  b\"\r\n"))
		w.expect(`{"msgType":4,"TOID":8,"msg":"a  b"}`)
	})
}

func TestAConfirmationThatIsRefusedAmidAPaging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		_, w := s.loggedIn(Config{Confirm: true})
		w.c.Close()
		w = s.accept()
		w.login()
		id := w.expect(`{"msgType":14}`)
		w.send(`{'msgType':105,'code':503,'error':'later'}`)
		began := time.Now()
		w.send(`{'msgType':114,'code':0,'id':'%s','messages':[],'more':false}`, id)
		w.nothing()
		if d := time.Since(began); d < retryAfter {
			t.Errorf("asked again after %v", d)
		}
		w.send(`{'msgType':105,'code':504,'error':'who knows'}`)
		w.nothing()
	})
}

func TestALoginBehindANoticeOpensNothing(t *testing.T) {
	for name, answer := range map[string]string{
		"accepted": `{'msgType':101,'code':0,'id':'%s','USERID':6,'token':'secret'}`,
		"refused":  `{'msgType':101,'code':401,'id':'%s','error':'no'}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c, w := s.loggedIn(Config{Raw: true, Ping: -1})
				w.c.Close()
				w = s.accept()
				id := w.next()["id"]
				w.send(`{'msgType':98,'reason':'draining','reconnect':true,'after':0}`)
				told := time.Now()
				w.send(answer, id)
				synctest.Wait()
				go c.Chat(t.Context(), 8, "x")
				if line, err := w.r.ReadString('\n'); err == nil {
					t.Fatalf("the client sent %s", line)
				}
				if d := time.Since(told); d != farewellWithin {
					t.Errorf("left after %v", d)
				}
				w = s.accept()
				w.login()
				w.expect(`{"msgType":4,"TOID":8,"msg":"x"}`)
			})
		})
	}
}

func TestALateAnswerIsNotTheNextUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newServer(t).loggedIn(Config{})
		id, ends := w.sends(c)
		w.change(c, w.nothing)
		w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':5}`, id)
		synctest.Wait()
		if len(*ends) != 1 || (*ends)[0] != nil {
			t.Errorf("ended with %v", *ends)
		}
		go c.Friends(t.Context())
		w.expect(`{"msgType":8}`) // and no page for a hole in what 7 and 8 say
	})
}

func TestAFrameThatIsTooLargeGivesItsPlaceAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newServer(t).loggedIn(Config{Raw: true})
		go func() {
			for i := range int64(protocol.Window + 1) { // the last one has no room
				if err := c.Post(protocol.Chat, protocol.Object(nil).Int("n", i), i, nil); err != nil {
					t.Error(err)
				}
			}
		}()
		for range protocol.Window {
			w.next()
		}
		synctest.Wait()
		w.send(`{'msgType':100,'code':413,'error':'too large'}`)
		if m := w.next(); m["n"] != float64(protocol.Window) {
			t.Errorf("the client sent %v, wanted what had no room", m)
		}
	})
}
