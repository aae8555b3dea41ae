package load

import (
	"slices"

	"sponge/workers"
	"sponge/workers/login"
)

// name is account i's: two words of syllables, different for nearly all.
func name(i int64) string {
	x := uint64(i+1) * 0x9E3779B97F4A7C15 // neighbours differ in all bits
	x ^= x >> 32
	x *= 0xD6E8FEB86659FD93
	out := make([]byte, 0, 9)
	for k := range 4 {
		if k == 2 {
			out = append(out, ' ')
		}
		bits := x >> (40 + 6*k)
		consonant := "bdfghjklmnprstvz"[bits>>2&15]
		if k%2 == 0 {
			consonant -= 'a' - 'A'
		}
		out = append(out, consonant, "aiou"[bits&3])
	}
	return string(out)
}

func (l *loader) accounts(tx *workers.Tx, from, to int64) error {
	list := make([]login.Account, 0, to-from)
	for i := from; i < to; i++ {
		list = append(list, login.Account{ID: l.user + i, Name: name(i), Verifier: l.verifier, Created: l.begin})
	}
	login.Insert(tx, list)
	return nil
}

// near are the accounts within neighbours of i, in order.
func (l *loader) near(i int64) []int64 {
	var out []int64
	for k := max(0, i-neighbours); k <= min(i+neighbours, l.Accounts-1); k++ {
		if k != i {
			out = append(out, k)
		}
	}
	return out
}

func (l *loader) friends(tx *workers.Tx, from, to int64) error {
	type row struct{ user, friend int64 }
	var rows []row
	for i := from; i < to; i++ {
		for _, k := range l.near(i) {
			rows = append(rows, row{l.user + i, l.user + k})
		}
	}
	workers.Insert(tx, "INSERT INTO friends (user_id, friend_id, created_at) VALUES {}", "(?,?,?)", rows,
		func(a []any, r row) []any { return append(a, r.user, r.friend, l.begin) })
	return nil
}

// members are the accounts in group g, in order. Group after group takes the
// next ones, around and around.
func (l *loader) members(g int64) []int64 {
	out := make([]int64, groupSize)
	for j := range out {
		out[j] = (g*groupSize + int64(j)) % l.Accounts
	}
	slices.Sort(out)
	return out
}

// groupsOf are the groups that account i is in, in order.
func (l *loader) groupsOf(i int64) []int64 {
	var out []int64
	for seat := i; seat < l.Groups*groupSize; seat += l.Accounts {
		out = append(out, seat/groupSize)
	}
	return out
}

type member struct{ group, user int64 }

func insertMembers(tx *workers.Tx, rows []member, joined int64) {
	workers.Insert(tx, "INSERT INTO members (group_id, user_id, joined_seq, joined_at) VALUES {}", "(?,?,0,?)", rows,
		func(a []any, m member) []any { return append(a, m.group, m.user, joined) })
}

// group is one's rows in groups and conversations.
type group struct {
	id, creator, lastSeq int64
	name, description    string
}

func (l *loader) insertGroups(tx *workers.Tx, groups []group) {
	workers.Insert(tx, "INSERT INTO `groups` (id, name, description, creator_id, created_at) VALUES {}", "(?,?,?,?,?)", groups,
		func(a []any, g group) []any { return append(a, g.id, g.name, g.description, g.creator, l.begin) })
	workers.Insert(tx, "INSERT INTO conversations (a, b, last_seq) VALUES {}", "(0,?,?)", groups,
		func(a []any, g group) []any { return append(a, g.id, g.lastSeq) })
}

func (l *loader) makeGroups(tx *workers.Tx, from, to int64) error {
	var groups []group
	var members []member
	for g := from; g < to; g++ {
		seats := l.members(g)
		groups = append(groups, group{id: l.group + g, creator: l.user + seats[0], lastSeq: l.groups.count(g),
			name: name(g) + " & friends", description: "A group that was loaded."})
		for _, i := range seats {
			members = append(members, member{l.group + g, l.user + i})
		}
	}
	l.insertGroups(tx, groups)
	insertMembers(tx, members, l.begin)
	return nil
}

// largeGroup makes the group with its first members.
func (l *loader) largeGroup(tx *workers.Tx, from, to int64) error {
	id := l.group + l.Groups
	if from == 0 {
		l.insertGroups(tx, []group{{id: id, creator: l.user, name: "A large group"}})
	}
	var members []member
	for i := from; i < to; i++ {
		members = append(members, member{id, l.user + i})
	}
	insertMembers(tx, members, l.begin)
	return nil
}
