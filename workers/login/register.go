package login

import (
	"context"
	"encoding/json"
	"fmt"

	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/names"
)

// decided is the journal's input of a registration: what a replay needs
// instead of the password. The verifier is sealed like a password.
type decided struct {
	Verifier json.RawMessage `json:"verifier"`
	Memory   string          `json:"memory"`
}

type account struct {
	id       int64
	name     string
	verifier string
	created  int64
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
	var accounts []account
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
		accounts = append(accounts, account{last, in.name, in.verifier, f.Time()})
		outcomes[i] = memory.Keep(f, protocol.Object(nil).Int("USERID", last).Text("name", in.name))
		if outcomes[i].JournalInput, err = h.journal(in); err != nil {
			return err
		}
	}
	if last == first {
		return nil
	}
	if err := insertAccounts(ctx, tx, accounts); err != nil {
		return err
	}
	if err := workers.AdvanceSequence(ctx, tx, "users", last); err != nil {
		return fmt.Errorf("advance users' sequence: %w", err)
	}
	return memory.Save(ctx, tx)
}

func (h *Handler) journal(in *input) ([]byte, error) {
	verifier, err := h.key.Seal().Seal([]byte(in.verifier))
	if err != nil {
		return nil, err
	}
	return json.Marshal(decided{Verifier: verifier, Memory: fmt.Sprintf("%x", in.memory)})
}

func insertAccounts(ctx context.Context, tx *workers.Tx, accounts []account) error {
	err := workers.Insert(ctx, tx, "INSERT INTO users (id, name, verifier, created_at) VALUES {}", "(?,?,?,?)", accounts,
		func(a []any, u account) []any { return append(a, u.id, u.name, u.verifier, u.created) })
	if err != nil {
		return fmt.Errorf("insert users: %w", err)
	}
	type gram struct {
		text string
		user int64
	}
	var grams []gram
	for _, u := range accounts {
		for _, g := range names.Grams(names.Fold(u.name)) {
			grams = append(grams, gram{g, u.id})
		}
	}
	err = workers.Insert(ctx, tx, "INSERT INTO name_grams (gram, user_id) VALUES {}", "(?,?)", grams,
		func(a []any, g gram) []any { return append(a, g.text, g.user) })
	if err != nil {
		return fmt.Errorf("index names: %w", err)
	}
	return nil
}
