package client

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"

	"sponge/pkg/protocol"
)

// pushes collects the texts that were handed over.
type pushes []string

func (p *pushes) take(f *Frame) { *p = append(*p, f.Text()) }

func (p *pushes) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if !reflect.DeepEqual([]string(*p), want) {
		t.Errorf("handed over %v, wanted %v", *p, want)
	}
}

func message(seq int) string {
	return fmt.Sprintf(`{'msgType':4,'FROMID':8,'TOID':6,'msg':'%d','seq':%d,'msgId':'m','time':1}`, seq, seq)
}

func TestAHoleIsFilledBeforeWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		c, w := newServer(t).loggedIn(Config{OnPush: got.take})
		w.send("%s", message(1))
		w.send("%s", message(4))
		id := w.expect(`{"msgType":16,"TOID":8,"after":1,"before":4,"limit":100}`)
		w.send("%s", message(5))
		got.want(t, "1")
		w.send(`{'msgType':116,'code':0,'id':'`+id+`','messages':[%s,%s],'more':false,'lastSeq':4}`, message(2), message(3))
		got.want(t, "1", "2", "3", "4", "5")
		w.send("%s", message(3))
		w.send("%s", message(6))
		got.want(t, "1", "2", "3", "4", "5", "6")
		if st := c.Stats(); st.Gaps != 1 || st.Dropped != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestOwnMessagesAreNoHoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		c, w := newServer(t).loggedIn(Config{OnPush: got.take})
		w.send("%s", message(1))
		done := make(chan error)
		go func() {
			_, err := c.Chat(t.Context(), 8, "mine")
			done <- err
		}()
		w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':2}`, w.expect(`{"msgType":4,"TOID":8,"msg":"mine"}`))
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.send("%s", message(3))
		got.want(t, "1", "3")
	})
}

func TestAHoleThatNothingFillsIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		_, w := newServer(t).loggedIn(Config{OnPush: got.take})
		w.send("%s", message(1))
		w.send("%s", message(4))
		w.send(`{'msgType':116,'code':0,'id':'%s','messages':[],'more':false,'lastSeq':4}`, w.expect(`{"msgType":16,"TOID":8,"after":1,"before":4,"limit":100}`))
		got.want(t, "1", "4")
		w.send("%s", message(7))
		w.send(`{'msgType':116,'code':403,'id':'%s','error':'no'}`, w.expect(`{"msgType":16,"TOID":8,"after":4,"before":7,"limit":100}`))
		got.want(t, "1", "4", "7")
		w.send("%s", message(9))
		for _, code := range []int{503, 504, 500, 429} {
			w.send(`{'msgType':116,'code':%d,'id':'%s','error':'later'}`, code, w.expect(`{"msgType":16,"TOID":8,"after":7,"before":9,"limit":100}`))
		}
		w.send(`{'msgType':116,'code':0,'id':'%s','messages':[`+message(8)+`],'more':false,'lastSeq':9}`, w.expect(`{"msgType":16,"TOID":8,"after":7,"before":9,"limit":100}`))
		got.want(t, "1", "4", "7", "8", "9")
	})
}

func TestAnAbsenceIsCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		_, w := s.loggedIn(Config{OnPush: got.take})
		w.send("%s", message(1))
		synctest.Wait()
		w.c.Close()

		w = s.accept()
		w.login()
		offline := w.expect(`{"msgType":14}`)
		w.send(`{'msgType':114,'code':0,'id':'`+offline+`','messages':[%s],'more':true}`, message(3))
		history := w.expect(`{"msgType":16,"TOID":8,"after":1,"before":3,"limit":100}`)
		w.send(`{'msgType':116,'code':0,'id':'`+history+`','messages':[%s],'more':false,'lastSeq':5}`, message(2))
		offline = w.expect(`{"msgType":14}`)
		w.send(`{'msgType':114,'code':0,'id':'%s','messages':[{'msgType':9,'GROUPID':7,'FROMID':8,'msg':'group','seq':5}],'more':false}`, offline)
		// No 16 for the group, which is new: what came before is history.
		history = w.expect(`{"msgType":16,"TOID":8,"after":3,"limit":100}`)
		w.send(`{'msgType':116,'code':0,'id':'`+history+`','messages':[%s],'more':true,'lastSeq':5}`, message(4))
		history = w.expect(`{"msgType":16,"TOID":8,"after":4,"limit":100}`)
		w.send(`{'msgType':116,'code':0,'id':'`+history+`','messages':[%s],'more':false,'lastSeq':5}`, message(5))
		got.want(t, "1", "2", "3", "group", "4", "5")
	})
}

func TestConfirmationsFollowWhatWasHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		c := s.client(Config{OnPush: got.take, Confirm: true})
		w := s.accept()
		go c.Login(t.Context(), 6, "password")
		m := w.next()
		if m["confirm"] != true {
			t.Fatalf("the client sent %v, wanted a login that confirms", m)
		}
		w.send(`{'msgType':101,'code':0,'id':'%s','USERID':6,'token':'secret'}`, m["id"])
		w.send(`{'msgType':114,'code':0,'id':'%s','messages':[`+message(1)+`],'more':false}`, w.expect(`{"msgType":14}`))
		w.expect(`{"msgType":5,"TOID":8,"seq":1}`)
		w.send("%s\n%s\n%s", message(2), message(3), `{'msgType':9,'GROUPID':7,'FROMID':8,'msg':'g','seq':1}`)
		w.expect(`{"msgType":5,"TOID":8,"seq":3}`)
		w.expect(`{"msgType":5,"GROUPID":7,"seq":1}`)
		w.send("%s", message(3)) // again: the confirmation was lost
		w.expect(`{"msgType":5,"TOID":8,"seq":3}`)
		got.want(t, "1", "2", "3", "g")
	})
}

func TestRawPushesComeAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		_, w := newServer(t).loggedIn(Config{OnPush: got.take, Raw: true})
		for _, seq := range []int{1, 4, 2, 2} {
			w.send("%s", message(seq))
		}
		got.want(t, "1", "4", "2", "2")
	})
}

// A push may overtake the 114 that has what came before it.
func TestWhatWasMissedComesBeforeWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		c := s.client(Config{OnPush: got.take, Confirm: true})
		w := s.accept()
		go c.Login(t.Context(), 6, "password")
		w.login()
		id := w.expect(`{"msgType":14}`)
		w.send("%s", message(6))
		got.want(t)
		w.send(`{'msgType':114,'code':0,'id':'`+id+`','messages':[%s,%s],'more':true}`, message(4), message(5))
		w.expect(`{"msgType":5,"TOID":8,"seq":6}`)
		id = w.expect(`{"msgType":14}`)
		w.send(`{'msgType':114,'code':0,'id':'%s','messages':[],'more':false}`, id)
		got.want(t, "4", "5", "6")
		if st := c.Stats(); st.Dropped != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// The first that is seen of a conversation need not be the first that is
// undelivered: neither is confirmed before 14 has told.
func TestTheBeginOfAConversationIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		c := s.client(Config{OnPush: got.take, Confirm: true})
		w := s.accept()
		go c.Login(t.Context(), 6, "password")
		w.login()
		w.nothing()
		w.send("%s", message(5)) // and 4 was lost
		id := w.expect(`{"msgType":14}`)
		w.send("%s", `{'msgType':9,'GROUPID':7,'FROMID':8,'msg':'g3','seq':3}`) // not covered by that 14
		got.want(t)
		w.send(`{'msgType':114,'code':0,'id':'`+id+`','messages':[%s,%s],'more':false}`, message(4), message(5))
		got.want(t, "4", "5")
		for range 2 { // the confirmation and the next 14
			if m := w.next(); m["msgType"] == 14.0 {
				w.send(`{'msgType':114,'code':0,'id':'%s','messages':[],'more':false}`, m["id"])
			} else if m["seq"] != 5.0 {
				t.Fatalf("the client sent %v", m)
			}
		}
		w.expect(`{"msgType":5,"GROUPID":7,"seq":3}`)
		got.want(t, "4", "5", "g3")
	})
}

// One's own message, too, may be the first that is seen of a conversation whose
// earlier messages are on another page.
func TestAnAckDoesNotHideWhatWasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		c := s.client(Config{OnPush: got.take})
		w := s.accept()
		go c.Login(t.Context(), 6, "password")
		w.login()
		id := w.expect(`{"msgType":14}`)
		go c.Chat(t.Context(), 8, "mine")
		chat := w.expect(`{"msgType":4,"TOID":8,"msg":"mine"}`)
		w.send(`{'msgType':114,'code':0,'id':'%s','messages':[{'msgType':4,'FROMID':9,'TOID':6,'msg':'other','seq':1}],'more':true}`, id)
		id = w.expect(`{"msgType":14}`)
		w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':3}`, chat)
		w.send(`{'msgType':114,'code':0,'id':'`+id+`','messages':[%s,%s],'more':false}`, message(1), message(2))
		got.want(t, "other", "1", "2")
		w.send("%s", message(4))
		got.want(t, "other", "1", "2", "4")
	})
}

// A page of history that was asked for before a hole opened says nothing about
// it.
func TestAnOlderPageFillsNoLaterHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		_, w := s.loggedIn(Config{OnPush: got.take})
		w.send("%s", message(1))
		synctest.Wait()
		w.c.Close()
		w = s.accept()
		w.login()
		w.nothing()
		tail := w.expect(`{"msgType":16,"TOID":8,"after":1,"limit":100}`)
		w.send("%s", message(4)) // 2 was stored when the page was made, 3 was not
		w.send(`{'msgType':116,'code':0,'id':'`+tail+`','messages':[%s],'more':false,'lastSeq':2}`, message(2))
		id := w.expect(`{"msgType":16,"TOID":8,"after":2,"before":4,"limit":100}`)
		got.want(t, "1", "2")
		w.send(`{'msgType':116,'code':0,'id':'`+id+`','messages':[%s],'more':false,'lastSeq':4}`, message(3))
		got.want(t, "1", "2", "3", "4")
	})
}

func TestAReconnectAsksBeyondTheHoleThatIsBeingFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		_, w := s.loggedIn(Config{OnPush: got.take})
		w.send("%s", message(1))
		w.send("%s", message(3))
		w.expect(`{"msgType":16,"TOID":8,"after":1,"before":3,"limit":100}`)
		w.c.Close()
		w = s.accept()
		w.login()
		id := w.expect(`{"msgType":16,"TOID":8,"after":1,"before":3,"limit":100}`)
		w.nothing()
		w.send(`{'msgType':116,'code':0,'id':'`+id+`','messages':[%s],'more':false,'lastSeq':4}`, message(2))
		id = w.expect(`{"msgType":16,"TOID":8,"after":3,"limit":100}`)
		w.send(`{'msgType':116,'code':0,'id':'`+id+`','messages':[%s],'more':false,'lastSeq':4}`, message(4))
		got.want(t, "1", "2", "3", "4")
	})
}

func TestARefusedConfirmationIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		c := s.client(Config{OnPush: got.take, Confirm: true})
		w := s.accept()
		go c.Login(t.Context(), 6, "password")
		w.login()
		w.nothing()
		w.send("%s", message(1))
		w.expect(`{"msgType":5,"TOID":8,"seq":1}`)
		w.send(`{'msgType':105,'code':503,'error':'later'}`)
		w.send(`{'msgType':114,'code':0,'id':'%s','messages':[`+message(1)+`],'more':false}`, w.expect(`{"msgType":14}`))
		w.expect(`{"msgType":5,"TOID":8,"seq":1}`)
		got.want(t, "1")
	})
}

func TestWhatTheProgramHasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		s := newServer(t)
		c := s.client(Config{OnPush: got.take, Seen: map[protocol.Conversation]int64{protocol.Pair(6, 8): 2}})
		w := s.accept()
		go c.Login(t.Context(), 6, "password")
		w.login()
		w.nothing()
		id := w.expect(`{"msgType":16,"TOID":8,"after":2,"limit":100}`)
		w.send(`{'msgType':116,'code':0,'id':'`+id+`','messages':[%s],'more':false,'lastSeq':3}`, message(3))
		go c.JoinGroup(t.Context(), 7)
		w.send(`{'msgType':110,'code':0,'id':'%s','GROUPID':7}`, w.expect(`{"msgType":10,"GROUPID":7}`))
		w.send("%s", `{'msgType':9,'GROUPID':7,'FROMID':8,'msg':'g9','seq':9}`)
		id = w.expect(`{"msgType":16,"GROUPID":7,"after":0,"before":9,"limit":100}`)
		w.send(`{'msgType':116,'code':0,'id':'%s','messages':[{'msgType':9,'GROUPID':7,'FROMID':8,'msg':'g8','seq':8}],'more':false,'lastSeq':9}`, id)
		got.want(t, "3", "g8", "g9")
	})
}

// What was sent on a connection that broke is pushed to the next one like what
// another device sent.
func TestAnOwnMessageThatIsPushedAndAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got pushes
		c, w := newServer(t).loggedIn(Config{OnPush: got.take})
		w.send("%s", message(1))
		done := make(chan error)
		go func() { _, err := c.Chat(t.Context(), 8, "mine"); done <- err }()
		id := w.expect(`{"msgType":4,"TOID":8,"msg":"mine"}`)
		w.send(`{'msgType':4,'FROMID':6,'TOID':8,'msg':'mine','seq':3}`)
		fill := w.expect(`{"msgType":16,"TOID":8,"after":1,"before":3,"limit":100}`)
		w.send(`{'msgType':104,'code':0,'id':'%s','TOID':8,'seq':3}`, id)
		w.send(`{'msgType':116,'code':0,'id':'`+fill+`','messages':[%s],'more':false,'lastSeq':3}`, message(2))
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.send("%s", message(4))
		got.want(t, "1", "2", "4")
	})
}

// After a reconnect, each known conversation is asked for what 14 does not bring;
// what the program sends need not wait for all of them.
func TestManyConversationsAreCaughtUpAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, w := s.loggedIn(Config{})
		const n = 20
		for u := range n {
			w.send(`{'msgType':4,'FROMID':%d,'TOID':6,'msg':'x','seq':1}`, 100+u)
		}
		synctest.Wait()
		w.c.Close()
		w = s.accept()
		w.login()
		w.nothing()
		synctest.Wait()
		go c.Chat(t.Context(), 8, "mine")
		synctest.Wait()
		sent := make(chan members, n+1)
		go func() { // always reads: the pipe holds nothing
			for range n + 1 {
				sent <- w.next()
			}
		}()
		asked, before := map[any]bool{}, 0
		for range n + 1 {
			m := <-sent
			if m["msgType"] == 4.0 {
				before = len(asked)
				continue
			}
			if m["msgType"] != 16.0 || asked[m["TOID"]] {
				t.Fatalf("the client sent %v", m)
			}
			asked[m["TOID"]] = true
			w.send(`{'msgType':116,'code':0,'id':'%s','messages':[],'more':false,'lastSeq':1}`, m["id"])
		}
		if before == 0 || before > 8 {
			t.Errorf("the chat followed %d pages", before)
		}
	})
}
