package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sponge/pkg/protocol"
)

// loginNumber is the number of the login that the client makes by itself.
const loginNumber = 0

// Account is who logged in, or was registered.
type Account struct {
	User   int64  `json:"USERID"`
	Name   string `json:"name"`
	Token  string `json:"token"`  // resumes the session; of a login only
	Unread int64  `json:"unread"` // messages that were waiting; of a login only
}

// Register makes an account. It does not log in.
func (c *Client) Register(ctx context.Context, name, password string) (Account, error) {
	return c.account(ctx, protocol.Register, protocol.Object(nil).Text("name", name).Text("password", password), nil)
}

// Login logs in. The client keeps the password: it logs in again by itself
// should the session's token not be taken any more.
func (c *Client) Login(ctx context.Context, user int64, password string) (Account, error) {
	return c.login(ctx, session{user: user, password: password})
}

// Resume logs in by the token of an earlier login.
func (c *Client) Resume(ctx context.Context, user int64, token string) (Account, error) {
	return c.login(ctx, session{user: user, token: token})
}

func (c *Client) login(ctx context.Context, s session) (Account, error) {
	return c.account(ctx, protocol.Login, s.fields(nil, c.cfg.Confirm), func(r *Reply) {
		var a Account
		if r.Err() != nil || r.Decode(&a) != nil {
			return
		}
		s.token = a.Token
		c.setSession(s)
		c.catchUp()
	})
}

func (c *Client) account(ctx context.Context, t protocol.Type, fields protocol.Object, hook func(*Reply)) (Account, error) {
	f, err := c.request(ctx, t, fields, hook)
	if err != nil {
		return Account{}, err
	}
	var a Account
	return a, f.Decode(&a)
}

// fields are those of a login; the token where there is one.
func (s *session) fields(o protocol.Object, confirm bool) protocol.Object {
	o = o.Int("USERID", s.user)
	if s.token != "" {
		o = o.Text("token", s.token)
	} else {
		o = o.Text("password", s.password)
	}
	if confirm {
		o = o.Bool("confirm", true)
	}
	return o
}

// setSession notes who is logged in, and ends what somebody else wanted to be
// sent again.
func (c *Client) setSession(s session) {
	c.mu.Lock()
	c.session = s
	others := c.takeWaiting(func(w *waiting) bool { return w.user != s.user })
	c.mu.Unlock()
	for _, w := range others {
		w.done(noReply(w.tag, ErrOtherUser))
	}
}

// Logout ends the session. The connection stays, and may log in again.
func (c *Client) Logout(ctx context.Context) error {
	_, err := c.request(ctx, protocol.Logout, nil, func(r *Reply) {
		if r.Ended == nil && (r.Code == protocol.OK || r.Code == protocol.Unauthorized) {
			c.setSession(session{})
			clear(c.convs)
		}
	})
	var refused *protocol.Error
	if errors.As(err, &refused) && refused.Code == protocol.Unauthorized {
		return nil // it had ended already; perhaps by this very frame, which was repeated
	}
	return err
}

// sendLogin begins a connection with the session of the last one. Called with
// mu held; the caller flushes.
func (c *Client) sendLogin() {
	o := protocol.Object(append(c.out, `{"msgType":1,"id":"`...))
	o = append(strconv.AppendInt(append(o, c.prefix...), loginNumber, 36), '"')
	c.out = c.session.fields(o, c.cfg.Confirm).End()
}

// resumed takes the reply to sendLogin.
func (c *Client) resumed(f *Frame) error {
	switch f.Code {
	case protocol.OK:
		var a Account
		if err := f.Decode(&a); err != nil {
			return err
		}
		c.mu.Lock()
		c.session.token = a.Token
		nc, leaving := c.nc, c.leaving
		c.mu.Unlock()
		if leaving {
			return nil // what waits is for the next connection
		}
		if err := nc.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		c.open(true)
		c.catchUp()
		return nil
	case protocol.Unauthorized:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.session.token != "" && c.session.password != "" {
			c.session.token = ""
			if c.leaving {
				return nil
			}
			c.sendLogin() // the reader flushes
			return c.nc.SetReadDeadline(time.Now().Add(answerWithin))
		}
		c.fatal = fmt.Errorf("%w: %w", ErrRevoked, f.Err())
		return c.fatal
	}
	return f.Err() // come back later
}
