package login

import (
	"context"
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
		if o, ok := memory.Repeat(f); ok {
			outcomes[i] = o
			continue
		}
		last++
		accounts = append(accounts, Account{last, in.name, in.verifier, f.Time()})
		outcomes[i] = memory.Keep(f, protocol.Object(nil).Int("USERID", last).Text("name", in.name))
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
