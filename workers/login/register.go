package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"sponge/pkg/protocol"
	"sponge/workers"
)

// decided is the journal's input of a registration: what a replay needs
// instead of the password. The verifier is sealed like a password.
type decided struct {
	Verifier json.RawMessage `json:"verifier"`
	Memory   string          `json:"memory"`
}

// register handles the batch's registrations: one lock of the sequence gives
// out their ids, in the order of the records and without gaps.
func (h *Handler) register(ctx context.Context, tx *workers.Tx, frames []*workers.Frame, outcomes []workers.Outcome) error {
	var some bool
	for _, f := range frames {
		some = some || f.Type == protocol.Register
	}
	if !some {
		return nil
	}
	last, err := workers.LockSequence(ctx, tx, "users", true)
	if err != nil {
		return fmt.Errorf("lock users' sequence: %w", err)
	}
	memory, err := workers.Remember(ctx, tx, frames, memoryID)
	if err != nil {
		return fmt.Errorf("look for repeats: %w", err)
	}
	first := last
	var accounts []Account
	for i, f := range frames {
		if f.Type != protocol.Register {
			continue
		}
		in := f.Input.(*input)
		if in.err != nil {
			outcomes[i] = workers.Refuse(f, in.err)
			continue
		}
		if o, ok := memory.Repeat(f); ok && !in.decided {
			outcomes[i] = o
			continue
		}
		last++
		accounts = append(accounts, Account{last, in.name, in.verifier, f.Time()})
		outcomes[i] = memory.Keep(f, protocol.Object(nil).Int("USERID", last).Text("name", in.name))
		if tx.Replaying {
			continue
		}
		if outcomes[i].JournalInput, err = h.journal(in); err != nil {
			return err
		}
	}
	if last == first {
		return nil
	}
	Insert(tx, accounts)
	workers.AdvanceSequence(tx, "users", last)
	memory.Save(tx)
	return nil
}

func (h *Handler) journal(in *input) ([]byte, error) {
	verifier, err := h.key.Seal().Seal([]byte(in.verifier))
	if err != nil {
		return nil, err
	}
	return json.Marshal(decided{Verifier: verifier, Memory: fmt.Sprintf("%x", in.memory)})
}

// Restore implements workers.Replayer. Registrations that made an account have an
// input; what became of other frames changes no audited row. A handler without a
// key makes accounts that nobody can log in to by password.
func (h *Handler) Restore(f *workers.Frame, raw json.RawMessage) error {
	in := &input{err: errDecided()}
	f.Input = in
	if f.Type != protocol.Register || raw == nil {
		return nil
	}
	var d decided
	if err := json.Unmarshal(raw, &d); err != nil {
		return fmt.Errorf("journal's input of a registration: %w", err)
	}
	if d.Verifier == nil { // it has another input: see journal.Refused
		return nil
	}
	memory, err := hex.DecodeString(d.Memory)
	if err != nil || len(memory) != len(in.memory) {
		return fmt.Errorf("journal's input of a registration: %q is no memory", d.Memory)
	}
	in.name, in.memory, in.err, in.decided = registeredName(f), [16]byte(memory), nil, true
	if h.key != nil {
		verifier, err := h.key.Open(d.Verifier)
		if err != nil {
			return fmt.Errorf("the journal's verifier of a registration: %w", err)
		}
		in.verifier = string(verifier)
	}
	return nil
}

// Guess implements workers.Replayer: whoever registered with a name that may be
// one has an account that nobody can log in to by password. Repeats with an id,
// which only the password tells apart, are taken for one by id and name.
func (h *Handler) Guess(f *workers.Frame) error {
	in := &input{memory: f.Envelope.FrameID}
	f.Input = in
	in.err = workers.Check(f, func(v *protocol.Validator) int64 {
		in.name = v.Chars(protocol.FieldName, 1, protocol.MaxName)
		return 0
	})
	if f.Type != protocol.Register || !f.Has(protocol.FieldPassword) {
		in.err = errDecided()
	}
	if id := f.ClientID(); id != nil {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", len(id), id, in.name))
		in.memory = [16]byte(sum[:])
	}
	return nil
}

// errDecided stands for what a frame was refused for when it was handled.
func errDecided() *protocol.Error {
	return protocol.Errorf(protocol.Conflict, "it was decided when it was handled")
}

func registeredName(f *workers.Frame) string {
	return f.Validate().Chars(protocol.FieldName, 1, protocol.MaxName)
}
