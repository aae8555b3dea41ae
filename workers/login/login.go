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

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/workers"
)

// Unread counts, for each of some users, the messages that 14 would bring.
type Unread func(ctx context.Context, tx *workers.Tx, users []int64) (map[int64]int64, error)

// Handler handles 1, 2 and 3.
type Handler struct {
	db      *sql.DB
	key     *keys.WorkerKey
	cfg     *workers.Config
	unread  Unread
	params  *argon2id.Params
	hashers chan struct{} // a place for each password that is hashed at a time: bounds memory
	most    int           // passwords of a batch
	dummy   string        // a verifier of nobody, so that unknown accounts take as long
}

// hashesEach is how many passwords all batches that are under way have for each
// that is hashed at a time: whoever logs in waits for them.
const hashesEach = 16

// New makes the handler.
func New(unread Unread) workers.Factory {
	return func(r workers.Resources) (workers.Handler, error) {
		n := r.Config.Hashers
		if n <= 0 {
			n = runtime.GOMAXPROCS(0)
		}
		h := &Handler{db: r.DB, key: r.Key, cfg: r.Config, unread: unread, hashers: make(chan struct{}, n),
			most: max(1, hashesEach*n/r.Config.Lanes), params: params(r.Config.ArgonMemory, r.Config.ArgonIterations)}
		var err error
		if h.dummy, err = argon2id.CreateHash("nobody's password", h.params); err != nil {
			return nil, fmt.Errorf("argon2id: %w", err)
		}
		return h, nil
	}
}

// input is what Prepare finds out.
type input struct {
	err      *protocol.Error
	user     int64
	name     string // of a registration
	verifier string
	memory   [16]byte // what a registration is remembered by
	decided  bool     // the journal says that it made an account
	session  keys.SessionID
	token    string
	byToken  bool
	confirm  bool
}

// Portion implements workers.Portioner: few passwords, and any number of frames
// that need no hashing. Each partition's go up to its first password too many.
func (h *Handler) Portion(frames []*workers.Frame) (batch, later []*workers.Frame) {
	passwords := 0
	ended := map[int]bool{}
	for _, f := range frames {
		switch {
		case ended[f.Partition]:
		case !isHashed(f):
			batch = append(batch, f)
			continue
		case passwords < h.most:
			passwords++
			batch = append(batch, f)
			continue
		}
		ended[f.Partition] = true
		later = append(later, f)
	}
	return batch, later
}

// isHashed tells frames whose password is hashed.
func isHashed(f *workers.Frame) bool {
	return f.Type == protocol.Register || f.Type == protocol.Login && f.Envelope.Kind == envelope.FromClient && !f.Has(protocol.FieldToken)
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
		case f.Type == protocol.Login && f.Has(protocol.FieldToken):
			h.prepareToken(f)
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

// prepareToken opens a login's token.
func (h *Handler) prepareToken(f *workers.Frame) {
	in := &input{byToken: true}
	in.err = workers.Check(f, func(v *protocol.Validator) int64 {
		in.user = v.ID(protocol.FieldUser)
		in.confirm = v.Bool(protocol.FieldConfirm)
		if f.Has(protocol.FieldPassword) {
			v.Fail(protocol.FieldToken, "give either a password or a token")
		}
		return 0
	})
	token := h.secret(f, in, protocol.FieldToken, protocol.MaxToken)
	in.token, in.session = string(token), keys.TokenID(string(token))
	f.Input = in
}

// prepareLogin compares a login's password.
func (h *Handler) prepareLogin(ctx context.Context, f *workers.Frame) error {
	in := &input{}
	in.err = workers.Check(f, func(v *protocol.Validator) int64 {
		in.user = v.ID(protocol.FieldUser)
		in.confirm = v.Bool(protocol.FieldConfirm)
		return 0
	})
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

// Handle implements workers.Handler: a handful of statements, whatever the size
// of the batch.
func (h *Handler) Handle(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	outcomes := make([]workers.Outcome, len(frames))
	if err := h.register(ctx, tx, frames, outcomes); err != nil {
		return nil, err
	}
	b := &batch{h: h, tx: tx, frames: frames, outcomes: outcomes, now: time.Now(),
		sessions: map[keys.SessionID]session{}, changed: map[keys.SessionID]bool{}, names: map[int64]string{}}
	if err := b.lock(ctx); err != nil {
		return nil, fmt.Errorf("lock sessions: %w", err)
	}
	for i, f := range frames {
		switch {
		case f.Envelope.Kind == envelope.Renew:
			outcomes[i] = b.renew(f)
		case f.Type == protocol.Login:
			outcomes[i] = b.login(i, f)
		case f.Type == protocol.Logout:
			outcomes[i] = b.logout(f)
		}
	}
	if err := b.welcome(ctx); err != nil {
		return nil, err
	}
	b.store()
	return outcomes, nil
}

// Recall implements workers.Handler. Only registrations are remembered; a
// login that was not answered is sent again and makes another session.
func (h *Handler) Recall(ctx context.Context, tx *workers.Tx, frames []*workers.Frame) ([]workers.Outcome, error) {
	for _, f := range frames {
		if f.Type != protocol.Register || f.ClientID() == nil {
			continue
		}
		in := &input{name: registeredName(f)}
		password := h.secret(f, in, protocol.FieldPassword, protocol.MaxPassword)
		in.memory = h.key.OutcomeID(f.ClientID(), []byte(in.name), password)
		f.Input = in
	}
	return workers.Recall(ctx, tx, frames, memoryID)
}
