package view

import (
	"slices"

	"sponge/pkg/protocol"
)

// allTypes are the msgTypes that topics hold.
var allTypes = [...]protocol.Type{protocol.Login, protocol.Register, protocol.Logout, protocol.Chat, protocol.Received,
	protocol.Befriend, protocol.ListFriends, protocol.GroupChat, protocol.JoinGroup, protocol.CreateGroup,
	protocol.Offline, protocol.Search, protocol.History}

// topics are those that can hold what the filter takes, as edges publish it.
func (f *Filter) topics() []string {
	var out []string
	only := f.types()
	for t := range protocol.NumTopics {
		if len(only) == 0 || slices.ContainsFunc(only, func(typ protocol.Type) bool { return typ.Topic() == t }) {
			out = append(out, t.Name())
		}
	}
	return out
}

// partitions are those of a topic that can hold what the filter takes, since
// edges choose a record's partition by its key and never otherwise; nil: all of
// them. An edge that does not keep to it is found by reading all.
func (f *Filter) partitions(topic string, n int) map[int]bool {
	if classOf(topic) != frames {
		return nil
	}
	only := f.types()
	if len(only) == 0 {
		only = allTypes[:]
	}
	out := map[int]bool{}
	for _, t := range only {
		if t.Topic().Name() != topic {
			continue
		}
		keys := f.keys(t)
		if keys == nil {
			return nil
		}
		for _, key := range keys {
			out[protocol.Partition(key, n)] = true
		}
	}
	if len(out) == 0 {
		return nil // no frame of such a type belongs here: whoever asks wants to see
	}
	return out
}

// keys are all that records of a type which the filter takes can have (see
// protocol.Frame.AppendKey); nil where it does not say.
func (f *Filter) keys(t protocol.Type) [][]byte {
	user := func(id int64) []byte { return protocol.AppendUserKey(nil, id) }
	switch t {
	case protocol.Chat:
		if f.User != 0 && f.With != 0 {
			return [][]byte{[]byte(protocol.Pair(f.User, f.With).String())}
		}
	case protocol.GroupChat, protocol.JoinGroup:
		if f.Group != 0 {
			return [][]byte{[]byte(protocol.GroupOf(f.Group).String())}
		}
	case protocol.Login: // also of users who are not logged in yet
	default: // the user, where there is one: such a filter asks for one
		switch {
		case f.User != 0 && f.With != 0:
			return [][]byte{user(f.User), user(f.With)}
		case f.User != 0 && f.With == 0:
			return [][]byte{user(f.User)}
		}
	}
	return nil
}
