// Package login holds the handlers of sponge.login: register, log in by
// password or token, log out, and the renewal of session proofs. It owns the
// tables users, sessions and name_grams' writing side.
//
// It must not know messages, friends or groups.
package login

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/sync/errgroup"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// Unread counts a user's messages that 14 would bring.
type Unread func(ctx context.Context, tx *workers.Tx, user int64) (int64, error)

// Handler handles 1, 2 and 3.
type Handler struct {
	db      *sql.DB
	key     *keys.WorkerKey
	cfg     *workers.Config
	unread  Unread
	params  *argon2id.Params
	hashers chan struct{} // a place for each password that is hashed at a time: bounds memory
	dummy   string        // a verifier of nobody, so that unknown accounts take as long
}

// New makes the handler. Its batches are small: a login waits for the slowest
// password of its batch.
func New(unread Unread) workers.Factory {
	return func(r workers.Resources) (workers.Handler, int, error) {
		n := r.Config.Hashers
		if n <= 0 {
			n = runtime.GOMAXPROCS(0)
		}
		h := &Handler{db: r.DB, key: r.Key, cfg: r.Config, unread: unread, hashers: make(chan struct{}, n),
			params: &argon2id.Params{Memory: r.Config.ArgonMemory, Iterations: r.Config.ArgonIterations,
				Parallelism: 1, SaltLength: 16, KeyLength: 32}}
		var err error
		if h.dummy, err = argon2id.CreateHash("nobody's password", h.params); err != nil {
			return nil, 0, fmt.Errorf("argon2id: %w", err)
		}
		return h, 16 * n, nil
	}
}

// input is what Prepare finds out.
type input struct {
	err      *protocol.Error
	user     int64
	name     string // of a registration
	verifier string
	memory   [16]byte // what a registration is remembered by
	session  keys.SessionID
	token    string
	byToken  bool
	confirm  bool
}

// Prepare opens passwords and hashes or compares them.
func (h *Handler) Prepare(ctx context.Context, frames []*workers.Frame) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, f := range frames {
		if f.Input != nil {
			continue // prepared before a rollback
		}
		switch {
		case f.Envelope.Kind == envelope.Renew, f.Type == protocol.Logout:
			f.Input = &input{}
		case f.Type == protocol.Register:
			work.Go(func() error { return h.prepareRegister(ctx, f) })
		case f.Type == protocol.Login:
			work.Go(func() error { return h.prepareLogin(ctx, f) })
		default:
			return fmt.Errorf("type %s is not handled by login", f.Type)
		}
	}
	return work.Wait()
}

func (h *Handler) prepareRegister(ctx context.Context, f *workers.Frame) error {
	in := &input{}
	in.err = workers.Check(f, func(v *protocol.Validator) int64 {
		in.name = v.Chars(protocol.FieldName, 1, protocol.MaxName)
		return 0
	})
	password := h.secret(f, in, protocol.FieldPassword, protocol.MaxPassword)
	if in.err != nil {
		f.Input = in
		return nil
	}
	in.memory = f.Envelope.FrameID
	if id := f.ClientID(); id != nil {
		in.memory = h.key.OutcomeID(id, []byte(in.name), password)
	}
	return h.hashing(ctx, func() (err error) {
		in.verifier, err = argon2id.CreateHash(string(password), h.params)
		f.Input = in
		return err
	})
}

func (h *Handler) prepareLogin(ctx context.Context, f *workers.Frame) error {
	in := &input{byToken: f.Has(protocol.FieldToken)}
	in.err = workers.Check(f, func(v *protocol.Validator) int64 {
		in.user = v.ID(protocol.FieldUser)
		in.confirm = v.Bool(protocol.FieldConfirm)
		if in.byToken && f.Has(protocol.FieldPassword) {
			v.Fail(protocol.FieldToken, "give either a password or a token")
		}
		return 0
	})
	if in.byToken {
		token := h.secret(f, in, protocol.FieldToken, protocol.MaxToken)
		in.token, in.session = string(token), keys.TokenID(string(token))
		f.Input = in
		return nil
	}
	password := h.secret(f, in, protocol.FieldPassword, protocol.MaxPassword)
	if in.err != nil {
		f.Input = in
		return nil
	}
	verifier, known := h.dummy, false
	// By primary key.
	switch err := h.db.QueryRowContext(ctx, "SELECT verifier FROM users WHERE id = ?", in.user).Scan(&verifier); err {
	case nil:
		known = true
	case sql.ErrNoRows:
	default:
		return fmt.Errorf("read verifier: %w", err)
	}
	return h.hashing(ctx, func() error {
		same, err := argon2id.ComparePasswordAndHash(string(password), verifier)
		switch {
		case err != nil: // a damaged row is one account's trouble, not its neighbours'
			in.err = protocol.Errorf(protocol.Internal, "this account cannot log in with its password; ask the operators")
		case !same || !known:
			in.err = wrong()
		}
		in.token, in.session = keys.NewToken()
		f.Input = in
		return nil
	})
}

func wrong() *protocol.Error {
	return protocol.Errorf(protocol.Unauthorized, "no such account, or a wrong password or token")
}

// secret opens a sealed field and checks it; faults go to in.err unless an
// earlier one is there.
func (h *Handler) secret(f *workers.Frame, in *input, field protocol.Field, most int) []byte {
	fail := func(reason string) []byte {
		if in.err == nil {
			in.err = &protocol.Error{Code: protocol.Malformed, Field: field.String(), Message: reason}
		}
		return nil
	}
	if !f.Has(field) {
		return fail("a value is needed")
	}
	raw, err := h.key.Open(f.Raw(field))
	if err != nil {
		// The edge has another seal key than ours: nothing the client can mend.
		if in.err == nil {
			in.err = protocol.Errorf(protocol.Internal, "the server's keys do not match")
		}
		return nil
	}
	s, ok := protocol.Text(raw)
	if !ok || len(s) < 1 || len(s) > most {
		return fail(fmt.Sprintf("a string of 1 to %d bytes is needed", most))
	}
	return s
}

// hashing runs f while it holds a hasher's place.
func (h *Handler) hashing(ctx context.Context, f func() error) error {
	select {
	case h.hashers <- struct{}{}:
		defer func() { <-h.hashers }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// memoryID is what a registration is remembered by.
func memoryID(f *workers.Frame) [16]byte {
	if in, ok := f.Input.(*input); ok {
		return in.memory
	}
	return f.Envelope.FrameID
}

// Handle implements workers.Handler.
func (h *Handler) Handle(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	outcomes := make([]workers.Outcome, len(frames))
	if err := h.register(ctx, tx, frames, outcomes); err != nil {
		return nil, err
	}
	for i, f := range frames {
		var err error
		switch {
		case f.Envelope.Kind == envelope.Renew:
			outcomes[i], err = h.renew(ctx, tx, f)
		case f.Type == protocol.Login:
			outcomes[i], err = h.login(ctx, tx, f)
		case f.Type == protocol.Logout:
			outcomes[i], err = h.logout(ctx, tx, f)
		}
		if err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// Recall implements workers.Handler. Only registrations are remembered; a
// login that was not answered is sent again and makes another session.
func (h *Handler) Recall(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	for _, f := range frames {
		if f.Type != protocol.Register || f.ClientID() == nil {
			continue
		}
		in := &input{name: f.Validate().Chars(protocol.FieldName, 1, protocol.MaxName)}
		password := h.secret(f, in, protocol.FieldPassword, protocol.MaxPassword)
		in.memory = h.key.OutcomeID(f.ClientID(), []byte(in.name), password)
		f.Input = in
	}
	return workers.Recall(ctx, tx, frames, memoryID)
}

func (h *Handler) login(ctx context.Context, tx *workers.Tx, f *workers.Frame) (workers.Outcome, error) {
	in := f.Input.(*input)
	if in.err != nil {
		return workers.Refuse(f, in.err), nil
	}
	now := time.Now()
	expires := now.Add(h.cfg.SessionTime).UnixMilli()
	if in.byToken {
		var user int64
		// Locked: a logout that ends it meanwhile must not be undone below.
		found, err := tx.Get(ctx, "SELECT user_id FROM sessions WHERE id = ? AND expires_at > ? FOR UPDATE",
			[]any{in.session[:], now.UnixMilli()}, &user)
		if err != nil {
			return workers.Outcome{}, err
		}
		if !found || user != in.user {
			return workers.Refuse(f, wrong()), nil
		}
	}
	if f.User != 0 && f.User != in.user {
		return workers.Refuse(f, protocol.Errorf(protocol.Conflict, "this connection is logged in as %d: log out first", f.User)), nil
	}
	// By primary key.
	_, err := tx.Exec(ctx, "INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES (?,?,?,?)"+
		" ON DUPLICATE KEY UPDATE expires_at = VALUES(expires_at)", in.session[:], in.user, now.UnixMilli(), expires)
	if err != nil {
		return workers.Outcome{}, fmt.Errorf("store session: %w", err)
	}
	var name string
	if _, err := tx.Get(ctx, "SELECT name FROM users WHERE id = ?", []any{in.user}, &name); err != nil {
		return workers.Outcome{}, err
	}
	unread, err := h.unread(ctx, tx, in.user)
	if err != nil {
		return workers.Outcome{}, fmt.Errorf("count unread: %w", err)
	}
	reply := protocol.NewReply(nil, f.Type, protocol.OK, f.Echo()).
		Int("USERID", in.user).Text("name", name).Text("token", in.token).Int("unread", unread)
	return workers.Outcome{Reply: reply.End(), Session: channel.SessionBound, Confirm: in.confirm,
		CaughtUp: unread == 0, Proof: h.prove(f, in.user, in.session, now)}, nil
}

func (h *Handler) prove(f *workers.Frame, user int64, session keys.SessionID, now time.Time) *keys.Proof {
	return h.key.Prove(user, session, f.Envelope.Node, f.Envelope.Conn, now.Add(h.cfg.ProofTime))
}

func (h *Handler) renew(ctx context.Context, tx *workers.Tx, f *workers.Frame) (workers.Outcome, error) {
	if f.User == 0 {
		return workers.Outcome{Code: protocol.Unauthorized, Session: channel.SessionRevoked}, nil
	}
	now := time.Now()
	var user int64
	found, err := tx.Get(ctx, "SELECT user_id FROM sessions WHERE id = ? AND expires_at > ?",
		[]any{f.Session[:], now.UnixMilli()}, &user)
	if err != nil {
		return workers.Outcome{}, err
	}
	if !found {
		return workers.Outcome{Code: protocol.Unauthorized, Session: channel.SessionRevoked}, nil
	}
	return workers.Outcome{Session: channel.SessionBound, Proof: h.prove(f, user, f.Session, now)}, nil
}

func (h *Handler) logout(ctx context.Context, tx *workers.Tx, f *workers.Frame) (workers.Outcome, error) {
	if err := workers.Check(f, func(v *protocol.Validator) int64 { return v.OwnID(protocol.FieldUser, f.User) }); err != nil {
		return workers.Refuse(f, err), nil
	}
	if _, err := tx.Exec(ctx, "DELETE FROM sessions WHERE id = ?", f.Session[:]); err != nil {
		return workers.Outcome{}, fmt.Errorf("end session: %w", err)
	}
	return workers.Outcome{Reply: protocol.NewReply(nil, f.Type, protocol.OK, f.Echo()).End(), Session: channel.SessionEnded}, nil
}
