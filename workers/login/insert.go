package login

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/alexedwards/argon2id"

	"sponge/workers"
	"sponge/workers/names"
)

// Account is an account's row.
type Account struct {
	ID       int64
	Name     string
	Verifier string // of its password, from Verifier
	Created  int64  // Unix milliseconds
}

// Insert inserts accounts, and the pieces by which their names are found. Their
// ids were reserved.
func Insert(tx *workers.Tx, accounts []Account) {
	workers.Insert(tx, "INSERT INTO users (id, name, verifier, created_at) VALUES {}", "(?,?,?,?)", accounts,
		func(a []any, u Account) []any { return append(a, u.ID, u.Name, u.Verifier, u.Created) })
	type gram struct {
		text string
		user int64
	}
	var grams []gram
	for _, u := range accounts {
		for _, g := range names.Grams(names.Fold(u.Name)) {
			grams = append(grams, gram{g, u.ID})
		}
	}
	slices.SortFunc(grams, func(x, y gram) int { return cmp.Or(cmp.Compare(x.text, y.text), cmp.Compare(x.user, y.user)) }) // as the table is
	workers.Insert(tx, "INSERT INTO name_grams (gram, user_id) VALUES {}", "(?,?)", grams,
		func(a []any, g gram) []any { return append(a, g.text, g.user) })
}

// Verifier hashes a password as a registration does, with so many KiB of
// memory and so many passes.
func Verifier(password string, memory, passes uint32) (string, error) {
	v, err := argon2id.CreateHash(password, params(memory, passes))
	if err != nil {
		return "", fmt.Errorf("argon2id: %w", err)
	}
	return v, nil
}

func params(memory, passes uint32) *argon2id.Params {
	return &argon2id.Params{Memory: memory, Iterations: passes, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}
