package friend

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/names"
)

// A search looks at so many candidates at a time, and at so many in all: names
// that have all pieces of the keyword but not the keyword itself are rare.
const (
	searchChunk = 256
	searchMost  = 2048
)

// search answers 15: the account with that id, then those whose name holds the
// keyword, by id.
func search(ctx context.Context, tx *workers.Tx, f *workers.Frame) (workers.Outcome, error) {
	var keyword string
	var limit int64
	refused := workers.Check(f, func(v *protocol.Validator) int64 {
		keyword = v.Chars(protocol.FieldKeyword, 1, protocol.MaxName)
		limit = v.Int(protocol.FieldLimit, protocol.DefaultSearch, 1, protocol.MaxSearch)
		return v.OwnID(protocol.FieldFrom, f.User)
	})
	if refused != nil {
		return workers.Refuse(f, refused), nil
	}
	var found []person
	if id, err := strconv.ParseInt(keyword, 10, 64); err == nil && id > 0 && keyword == strconv.FormatInt(id, 10) {
		p := person{id: id}
		ok, err := tx.Get(ctx, "SELECT name FROM users WHERE id = ?", []any{id}, &p.name)
		if err != nil {
			return workers.Outcome{}, fmt.Errorf("search by id: %w", err)
		}
		if ok {
			found = append(found, p)
		}
	}
	if err := byName(ctx, tx, names.Fold(keyword), int(limit), &found); err != nil {
		return workers.Outcome{}, fmt.Errorf("search by name: %w", err)
	}
	reply := append(protocol.NewReply(nil, f.Type, protocol.OK, f.Echo()), `,"users":[`...)
	for i, p := range found {
		if i > 0 {
			reply = append(reply, ',')
		}
		reply = append(protocol.Object(append(reply, '{')).Int("USERID", p.id).Text("name", p.name), '}')
	}
	return workers.Outcome{Reply: protocol.Object(append(reply, ']')).End()}, nil
}

// byName adds accounts until there are limit. Candidates, by ranges of
// name_grams' primary key, have every piece of the keyword; Go decides.
func byName(ctx context.Context, tx *workers.Tx, keyword string, limit int, found *[]person) error {
	needed := names.Needed(keyword)
	// Six pieces narrow it enough; more joins cost more than they save.
	if step := (len(needed) + 5) / 6; step > 1 {
		var some []string
		for i := 0; i < len(needed); i += step {
			some = append(some, needed[i])
		}
		needed = some
	}
	var query strings.Builder
	var args []any
	query.WriteString("SELECT u.id, u.name FROM name_grams g0")
	for i := range needed[1:] {
		fmt.Fprintf(&query, " JOIN name_grams g%d ON g%d.gram = ? AND g%d.user_id = g0.user_id", i+1, i+1, i+1)
		args = append(args, []byte(needed[i+1]))
	}
	query.WriteString(" JOIN users u ON u.id = g0.user_id WHERE g0.gram = ? AND g0.user_id > ? ORDER BY g0.user_id LIMIT ")
	query.WriteString(strconv.Itoa(searchChunk))
	args = append(args, []byte(needed[0]))
	after := int64(0)
	for seen := 0; seen < searchMost && len(*found) < limit; {
		n := 0
		err := tx.Query(ctx, query.String(), append(slices.Clone(args), after), func(scan func(...any) error) error {
			var p person
			if err := scan(&p.id, &p.name); err != nil {
				return err
			}
			n++
			after = p.id
			first := len(*found) > 0 && (*found)[0].id == p.id
			if len(*found) < limit && !first && strings.Contains(names.Fold(p.name), keyword) {
				*found = append(*found, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if seen += n; n < searchChunk {
			break
		}
	}
	return nil
}
