package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"testing"

	"sponge/pkg/protocol"
)

// fake is a chat server in a few lines: everything in memory, one lock. deliver
// may spoil what a recipient gets of a message.
type fake struct {
	t    testing.TB
	addr string

	// deliver is given each push to user on its way; what it returns is sent.
	deliver func(user, seq int64, line []byte) [][]byte
	// answer is given the number of each chat frame that arrives, from 1; its
	// code is the reply's where it is not 0.
	answer func(n int64) protocol.Code
	// number spoils the seq that the sender is told.
	number func(seq int64) int64

	mu      sync.Mutex // guards the following
	users   int64
	chats   int64
	groups  map[int64][]int64
	convs   map[protocol.Conversation][][]byte // pushes, by seq-1
	conns   map[int64]*fakeConn
	refused int
}

type fakeConn struct {
	net.Conn
	user int64
}

func newFake(t testing.TB) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fake{t: t, addr: l.Addr().String(), groups: map[int64][]int64{}, convs: map[protocol.Conversation][][]byte{}, conns: map[int64]*fakeConn{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(&fakeConn{Conn: c}) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return s
}

type request struct {
	Type  protocol.Type `json:"msgType"`
	ID    string
	User  int64 `json:"USERID"`
	To    int64 `json:"TOID"`
	Group int64 `json:"GROUPID"`
	Msg   string
	After int64
}

func (s *fake) serve(c *fakeConn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			s.t.Errorf("%s: %v", lines.Bytes(), err)
			return
		}
		s.handle(c, &r)
	}
}

func (s *fake) handle(c *fakeConn, r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := protocol.NewReply(nil, r.Type, protocol.OK, []byte(`"`+r.ID+`"`))
	switch r.Type {
	case protocol.Register:
		s.users++
		o = o.Int("USERID", s.users)
	case protocol.Login:
		c.user = r.User
		s.conns[r.User] = c
		o = o.Int("USERID", r.User).Text("token", fmt.Sprint("token-", r.User))
	case protocol.CreateGroup:
		s.groups[1] = []int64{c.user}
		o = o.Int("GROUPID", 1)
	case protocol.JoinGroup:
		s.groups[r.Group] = append(s.groups[r.Group], c.user)
		o = o.Int("GROUPID", r.Group)
	case protocol.Chat:
		s.chat(c, r, protocol.Pair(c.user, r.To), []int64{r.To})
		return
	case protocol.GroupChat:
		s.chat(c, r, protocol.GroupOf(r.Group), s.groups[r.Group])
		return
	case protocol.History:
		conv := protocol.Pair(c.user, r.To)
		if r.Group != 0 {
			conv = protocol.GroupOf(r.Group)
		}
		page := []byte{'['}
		all := s.convs[conv][r.After:]
		for i, line := range all[:min(len(all), protocol.MaxPage)] {
			if i > 0 {
				page = append(page, ',')
			}
			page = append(page, line...)
		}
		o = o.Raw("messages", append(page, ']')).Bool("more", len(all) > protocol.MaxPage)
	}
	c.Write(o.End())
}

func (s *fake) chat(c *fakeConn, r *request, conv protocol.Conversation, to []int64) {
	s.chats++
	echo := []byte(`"` + r.ID + `"`)
	if s.answer != nil {
		if code := s.answer(s.chats); code != 0 {
			s.refused++
			c.Write(protocol.NewFailure(nil, r.Type, &protocol.Error{Code: code}, echo))
			return
		}
	}
	seq := int64(len(s.convs[conv]) + 1)
	push := protocol.Object(`{"msgType":`+fmt.Sprint(int(r.Type))).Int("FROMID", c.user)
	if conv.IsGroup() {
		push = push.Int("GROUPID", r.Group)
	} else {
		push = push.Int("TOID", r.To)
	}
	push = append(push.Text("msg", r.Msg).Int("seq", seq), '}')
	s.convs[conv] = append(s.convs[conv], push)
	told := seq
	if s.number != nil {
		told = s.number(seq)
	}
	c.Write(protocol.NewReply(nil, r.Type, protocol.OK, echo).Int("seq", told).End())
	for _, user := range to {
		other := s.conns[user]
		if other == nil || other == c {
			continue
		}
		lines := [][]byte{push}
		if s.deliver != nil {
			lines = s.deliver(user, seq, push)
		}
		for _, line := range lines {
			other.Write(append(line[:len(line):len(line)], '\n'))
		}
	}
}

// cut breaks a user's connection.
func (s *fake) cut(user int64) {
	if c := s.conns[user]; c != nil {
		c.Close()
		delete(s.conns, user)
	}
}
