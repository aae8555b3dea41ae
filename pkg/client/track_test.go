package client

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
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
		id := w.expect(`{"msgType":16,"TOID":8,"after":1,"limit":100}`)
		w.send("%s", message(5))
		got.want(t, "1")
		w.send(`{'msgType':116,'code':0,'id':'`+id+`','messages':[%s,%s,%s],'more':false,'lastSeq':4}`, message(2), message(3), message(4))
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
		w.send(`{'msgType':116,'code':0,'id':'%s','messages':[],'more':false,'lastSeq':4}`, w.expect(`{"msgType":16,"TOID":8,"after":1,"limit":100}`))
		got.want(t, "1", "4")
		w.send("%s", message(7))
		w.send(`{'msgType':116,'code':403,'id':'%s','error':'no'}`, w.expect(`{"msgType":16,"TOID":8,"after":4,"limit":100}`))
		got.want(t, "1", "4", "7")
		w.send("%s", message(9))
		w.send(`{'msgType':116,'code':503,'id':'%s','error':'later'}`, w.expect(`{"msgType":16,"TOID":8,"after":7,"limit":100}`))
		w.send(`{'msgType':116,'code':0,'id':'%s','messages':[`+message(8)+`],'more':false,'lastSeq':9}`, w.expect(`{"msgType":16,"TOID":8,"after":7,"limit":100}`))
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
		history := w.expect(`{"msgType":16,"TOID":8,"after":1,"limit":100}`)
		w.send(`{'msgType':114,'code':0,'id':'`+offline+`','messages':[%s],'more':true}`, message(3))
		offline = w.expect(`{"msgType":14}`)
		w.send(`{'msgType':116,'code':0,'id':'`+history+`','messages':[%s,%s],'more':true,'lastSeq':4}`, message(2), message(3))
		history = w.expect(`{"msgType":16,"TOID":8,"after":3,"limit":100}`)
		w.send(`{'msgType':114,'code':0,'id':'%s','messages':[{'msgType':9,'GROUPID':7,'FROMID':8,'msg':'group','seq':5}],'more':false}`, offline)
		w.send(`{'msgType':116,'code':0,'id':'`+history+`','messages':[%s],'more':false,'lastSeq':4}`, message(4))
		got.want(t, "1", "2", "3", "group", "4")
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
		w.send("%s\n%s\n%s", message(2), message(3), `{'msgType':9,'GROUPID':7,'FROMID':8,'msg':'g','seq':5}`)
		w.expect(`{"msgType":5,"TOID":8,"seq":3}`)
		w.expect(`{"msgType":5,"GROUPID":7,"seq":5}`)
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
