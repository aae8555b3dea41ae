package client

import (
	"context"

	"sponge/pkg/protocol"
)

// Ack is what a stored message was given.
type Ack struct {
	Seq   int64  `json:"seq"`
	MsgID string `json:"msgId"`
	Time  int64  `json:"time"` // Unix milliseconds
}

// Person is a user as lists show one.
type Person struct {
	User   int64  `json:"USERID"`
	Name   string `json:"name"`
	Online bool   `json:"online"` // of friends only
}

// Group is a group as its creator and those who join see it.
type Group struct {
	ID          int64  `json:"GROUPID"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// Page is a part of a conversation, ascending by seq.
type Page struct {
	Messages []*Frame
	More     bool
	LastSeq  int64 // of the conversation
}

// Chat sends a message to a user. When it returns nil, the message is stored.
func (c *Client) Chat(ctx context.Context, to int64, text string) (Ack, error) {
	return c.chat(ctx, protocol.Chat, protocol.Object(nil).Int("TOID", to).Text("msg", text))
}

// GroupChat sends a message to a group that the user is a member of.
func (c *Client) GroupChat(ctx context.Context, group int64, text string) (Ack, error) {
	return c.chat(ctx, protocol.GroupChat, protocol.Object(nil).Int("GROUPID", group).Text("msg", text))
}

func (c *Client) chat(ctx context.Context, t protocol.Type, fields protocol.Object) (a Ack, err error) {
	f, err := c.request(ctx, t, fields, nil)
	if err != nil {
		return Ack{}, err
	}
	return a, f.Decode(&a)
}

// Befriend makes the user and another one friends.
func (c *Client) Befriend(ctx context.Context, user int64) error {
	_, err := c.request(ctx, protocol.Befriend, protocol.Object(nil).Int("U2", user), nil)
	return err
}

// Friends lists the user's friends.
func (c *Client) Friends(ctx context.Context) ([]Person, error) {
	return c.people(ctx, protocol.ListFriends, nil)
}

// Search finds accounts by id or part of the name, at most limit; 0 is the
// server's default.
func (c *Client) Search(ctx context.Context, keyword string, limit int) ([]Person, error) {
	o := protocol.Object(nil).Text("keyword", keyword)
	if limit > 0 {
		o = o.Int("limit", int64(limit))
	}
	return c.people(ctx, protocol.Search, o)
}

func (c *Client) people(ctx context.Context, t protocol.Type, fields protocol.Object) ([]Person, error) {
	f, err := c.request(ctx, t, fields, nil)
	if err != nil {
		return nil, err
	}
	var list struct{ Friends, Users []Person }
	err = f.Decode(&list)
	return append(list.Friends, list.Users...), err
}

// CreateGroup makes a group, with the user as its first member.
func (c *Client) CreateGroup(ctx context.Context, name, description string) (Group, error) {
	return c.group(ctx, protocol.CreateGroup, protocol.Object(nil).Text("name", name).Text("description", description))
}

// JoinGroup makes the user a member.
func (c *Client) JoinGroup(ctx context.Context, group int64) (Group, error) {
	return c.group(ctx, protocol.JoinGroup, protocol.Object(nil).Int("GROUPID", group))
}

func (c *Client) group(ctx context.Context, t protocol.Type, fields protocol.Object) (g Group, err error) {
	f, err := c.request(ctx, t, fields, c.joined)
	if err != nil {
		return Group{}, err
	}
	return g, f.Decode(&g)
}

// History is up to limit messages of a conversation that follow a seq.
func (c *Client) History(ctx context.Context, conv protocol.Conversation, after int64, limit int) (Page, error) {
	c.mu.Lock()
	o := c.addressee(nil, conv).Int("after", after).Int("limit", int64(limit))
	c.mu.Unlock()
	f, err := c.request(ctx, protocol.History, o, nil)
	if err != nil {
		return Page{}, err
	}
	var last struct{ LastSeq int64 }
	if err := f.Decode(&last); err != nil {
		return Page{}, err
	}
	p := Page{LastSeq: last.LastSeq}
	p.Messages, p.More, err = f.Messages()
	return p, err
}

// Confirm tells that everything of a conversation up to seq has arrived, for a
// program with Config.Confirm and Config.Raw that confirms in its own time.
// Nothing is sent while there is no connection.
func (c *Client) Confirm(conv protocol.Conversation, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready && c.session.user != 0 {
		c.out = c.addressee(append(c.out, `{"msgType":5`...), conv).Int("seq", seq).End()
		c.flush()
	}
}
