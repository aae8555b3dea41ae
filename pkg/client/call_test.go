package client

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"sponge/pkg/protocol"
)

func TestRequestRepeatsWhatWasNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		done := make(chan Ack)
		go func() {
			a, err := c.Chat(t.Context(), 8, `say "hi"`)
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
		id := w.expect(`{"msgType":4,"TOID":8,"msg":"say \"hi\""}`)
		w.send(`{'msgType':104,'code':503,'error':'later','id':'%s'}`, id)
		if again := w.expect(`{"msgType":4,"TOID":8,"msg":"say \"hi\""}`); again != id {
			t.Errorf("repeated under %s, was %s", again, id)
		}
		w.send(`{'msgType':104,'code':504,'error':'who knows','id':'%s'}`, id)
		w.next()
		w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':7,'msgId':'m','time':1703}`, id)
		if a := <-done; a != (Ack{7, "m", 1703}) {
			t.Errorf("ack %+v", a)
		}
	})
}

func TestARefusalIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		done := make(chan error)
		go func() { done <- c.Befriend(t.Context(), 6) }()
		w.send(`{'msgType':106,'code':400,'error':'not yourself','field':'U2','id':'%s'}`, w.expect(`{"msgType":6,"U2":6}`))
		var refused *protocol.Error
		if err := <-done; !errors.As(err, &refused) || *refused != (protocol.Error{Code: 400, Field: "U2", Message: "not yourself"}) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRequestGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := c.Friends(ctx)
			done <- err
		}()
		id := w.expect(`{"msgType":8}`)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		w.send(`{'msgType':108,'code':0,'id':'%s','friends':[]}`, id) // nobody waits for it
		w.c.Close()
		w = s.accept()
		w.login()
		go c.Friends(t.Context())
		if again := w.expect(`{"msgType":8}`); again == id {
			t.Error("what was given up was repeated")
		}
	})
}

func TestRequestTakesOnlyMembersOfAnObject(t *testing.T) {
	s := newServer(t)
	c := s.client(Config{})
	for _, bad := range []string{`"a":`, `{"a":1}`, `"a":1}`, `1`} {
		if _, err := c.Request(t.Context(), protocol.Chat, protocol.Object(bad)); err == nil {
			t.Errorf("%s was sent", bad)
		}
	}
}

func TestFramesThatAreTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{Raw: true})
		var refused *protocol.Error
		if _, err := c.Chat(t.Context(), 8, strings.Repeat("x", protocol.MaxFrame)); !errors.As(err, &refused) || refused.Code != protocol.TooLarge {
			t.Errorf("above the wire's limit: %v", err)
		}
		// A server with a lower limit does not say which one it was.
		codes := map[int64]protocol.Code{}
		for i, text := range []string{"short", strings.Repeat("x", 5000), "short"} {
			go c.Post(protocol.Chat, protocol.Object(nil).Int("TOID", 8).Text("msg", text), int64(i), func(r *Reply) { codes[r.Tag] = r.Code })
			w.next()
		}
		w.send(`{'msgType':100,'code':413,'error':'too large'}`)
		synctest.Wait()
		w.c.Close()
		w = s.accept()
		w.login()
		for range 2 {
			w.send(`{'msgType':104,'code':0,'id':'%s','seq':1}`, w.expect(`{"msgType":4,"TOID":8,"msg":"short"}`))
		}
		synctest.Wait()
		if len(codes) != 3 || codes[1] != protocol.TooLarge || codes[0] != protocol.OK || codes[2] != protocol.OK {
			t.Errorf("codes %v", codes)
		}
	})
}

func TestTypedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := s.client(Config{Raw: true})
		w := s.accept()
		// during answers what call asks for.
		during := func(call func(), want, format string) {
			t.Helper()
			done := make(chan struct{})
			go func() {
				defer close(done)
				call()
			}()
			if want == "" {
				w.login()
			} else {
				w.send(format, w.expect(want))
			}
			<-done
		}
		during(func() {
			if a, err := c.Register(t.Context(), "Eric", "pw"); err != nil || a.User != 6 || a.Name != "Eric" {
				t.Errorf("Register: %+v %v", a, err)
			}
		}, `{"msgType":2,"name":"Eric","password":"pw"}`, `{'msgType':102,'code':0,'id':'%s','USERID':6,'name':'Eric'}`)
		during(func() {
			if a, err := c.Resume(t.Context(), 6, "old"); err != nil || a.Token != "secret" {
				t.Errorf("Resume: %+v %v", a, err)
			}
		}, "", "")
		during(func() {
			if p, err := c.Friends(t.Context()); err != nil || len(p) != 1 || p[0] != (Person{1, "a", true}) {
				t.Errorf("Friends: %v %v", p, err)
			}
		}, `{"msgType":8}`, `{'msgType':108,'code':0,'id':'%s','friends':[{'USERID':1,'name':'a','online':true}]}`)
		during(func() {
			if p, err := c.Search(t.Context(), "b", 5); err != nil || len(p) != 1 || p[0].User != 2 {
				t.Errorf("Search: %v %v", p, err)
			}
		}, `{"msgType":15,"keyword":"b","limit":5}`, `{'msgType':115,'code':0,'id':'%s','users':[{'USERID':2,'name':'b'}]}`)
		during(func() {
			if g, err := c.CreateGroup(t.Context(), "g", "d"); err != nil || g != (Group{7, "g", "d"}) {
				t.Errorf("CreateGroup: %v %v", g, err)
			}
		}, `{"msgType":12,"name":"g","description":"d"}`, `{'msgType':112,'code':0,'id':'%s','GROUPID':7,'name':'g','description':'d'}`)
		during(func() {
			if g, err := c.JoinGroup(t.Context(), 7); err != nil || g.ID != 7 {
				t.Errorf("JoinGroup: %v %v", g, err)
			}
		}, `{"msgType":10,"GROUPID":7}`, `{'msgType':110,'code':0,'id':'%s','GROUPID':7,'name':'g','description':'d'}`)
		during(func() {
			p, err := c.History(t.Context(), protocol.GroupOf(7), 3, 10)
			if err != nil || !p.More || p.LastSeq != 9 || len(p.Messages) != 1 || p.Messages[0].Text() != "xé" || p.Messages[0].Seq != 4 {
				t.Errorf("History: %+v %v", p, err)
			}
		}, `{"msgType":16,"GROUPID":7,"after":3,"limit":10}`, `{'msgType':116,'code':0,'id':'%s','messages':[{'msgType':9,'GROUPID':7,'FROMID':1,'msg':'x\u00e9','seq':4}],'more':true,'lastSeq':9}`)
		during(func() {
			if err := c.Logout(t.Context()); err != nil || c.User() != 0 {
				t.Errorf("Logout: %v, user %d", err, c.User())
			}
		}, `{"msgType":3}`, `{'msgType':103,'code':0,'id':'%s'}`)
	})
}

// nowhere is a connection that takes everything.
type nowhere struct{ net.Conn }

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// bare is a client without a goroutine, for looking at one step.
func bare() *Client {
	c := &Client{prefix: "p.", convs: map[protocol.Conversation]*conversation{}}
	c.cfg.Raw = true
	c.nc, c.ready = nowhere{}, true
	return c
}

var chatFields = protocol.Object(nil).Int("TOID", 8).Text("msg", strings.Repeat("x", 100))

var somePush = []byte(`{"msgType":4,"TOID":6,"msg":"` + strings.Repeat("x", 100) + `","FROMID":8,"seq":12,"msgId":"0123456789abcdef0123456789abcdef","time":1703078264002}`)

func TestTheHotPathDoesNotAllocate(t *testing.T) {
	c := bare()
	answers, pushes := 0, 0
	c.cfg.OnPush = func(*Frame) { pushes++ }
	done := func(*Reply) { answers++ }
	line := make([]byte, 0, 256)
	step := func() {
		if err := c.Post(protocol.Chat, chatFields, 1, done); err != nil {
			t.Fatal(err)
		}
		line = append(line[:0], `{"msgType":104,"code":0,"TOID":8,"seq":1,"id":"`...)
		line = append(line, idOf(c.calls[0].line)...)
		line = append(line, `"}`...)
		if err := errors.Join(c.handle(line), c.handle(somePush)); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, step); n > 0 {
		t.Errorf("%v allocations for a frame, its reply and a push", n)
	}
	if answers == 0 || answers != pushes || len(c.calls) > 0 {
		t.Errorf("%d answers, %d pushes, %d outstanding", answers, pushes, len(c.calls))
	}
}

// idOf is the id in a line that post has made.
func idOf(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte(`"id":"`))
	id, _, _ := bytes.Cut(rest, []byte{'"'})
	return id
}

func BenchmarkRoundTrip(b *testing.B) {
	c := bare()
	c.cfg.OnPush = func(*Frame) {}
	done := func(*Reply) {}
	line := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Post(protocol.Chat, chatFields, 1, done); err != nil {
			b.Fatal(err)
		}
		line = append(append(append(line[:0], `{"msgType":104,"code":0,"TOID":8,"seq":1,"id":"`...), idOf(c.calls[0].line)...), `"}`...)
		if err := errors.Join(c.handle(line), c.handle(somePush)); err != nil {
			b.Fatal(err)
		}
	}
}
