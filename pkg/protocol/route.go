package protocol

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// Topic is one of the Kafka topics that carry frames.
type Topic uint8

// The topics, one for each handler group.
const (
	TopicLogin Topic = iota
	TopicFriend
	TopicGroup
	TopicStorage
	NumTopics
)

// Other topics of Sponge. SPONGE_NAMESPACE prefixes these, too.
const (
	TopicJournal = "sponge.journal" // the workers' journal rows
	TopicDead    = "sponge.dead"    // frames that no handler could take
)

var groupNames = [NumTopics]string{"login", "friend", "group", "storage"}

// Group is the name of the topic's handler group: login, friend, group or
// storage.
func (t Topic) Group() string { return groupNames[t] }

// Name is the topic's name in Kafka, without the namespace.
func (t Topic) Name() string { return "sponge." + groupNames[t] }

// TopicOf finds the topic of a handler group's name.
func TopicOf(group string) (Topic, error) {
	for t, name := range groupNames {
		if name == group {
			return Topic(t), nil
		}
	}
	return 0, fmt.Errorf("no handler group %q: login, friend, group and storage are", group)
}

// Topic is where frames of this type go.
func (t Type) Topic() Topic {
	switch t {
	case Login, Register, Logout:
		return TopicLogin
	case Befriend, ListFriends, Search:
		return TopicFriend
	case JoinGroup, CreateGroup:
		return TopicGroup
	}
	return TopicStorage
}

// Conversation names what chat frames are numbered in: a pair of users
// (smaller first; both the same for notes to oneself), or 0 and a group.
type Conversation struct{ A, B int64 }

// Pair is the conversation of two users.
func Pair(u, v int64) Conversation { return Conversation{min(u, v), max(u, v)} }

// GroupOf is the conversation of a group.
func GroupOf(group int64) Conversation { return Conversation{0, group} }

// IsGroup reports whether the conversation is a group's.
func (c Conversation) IsGroup() bool { return c.A == 0 }

// Group is the group's id, 0 for a pair.
func (c Conversation) Group() int64 {
	if c.A == 0 {
		return c.B
	}
	return 0
}

// Other is the other user of a pair.
func (c Conversation) Other(user int64) int64 {
	if c.A == user {
		return c.B
	}
	return c.A
}

// Has reports whether user is one of the pair.
func (c Conversation) Has(user int64) bool { return c.A != 0 && (c.A == user || c.B == user) }

// Compare orders conversations the way their rows are locked.
func (c Conversation) Compare(d Conversation) int {
	switch {
	case c == d:
		return 0
	case c.A < d.A || c.A == d.A && c.B < d.B:
		return -1
	}
	return 1
}

// String is the conversation as a record's key: u:6:8 or g:7.
func (c Conversation) String() string { return string(c.append(nil)) }

func (c Conversation) append(dst []byte) []byte {
	if c.A == 0 {
		return strconv.AppendInt(append(dst, "g:"...), c.B, 10)
	}
	dst = strconv.AppendInt(append(dst, "u:"...), c.A, 10)
	return strconv.AppendInt(append(dst, ':'), c.B, 10)
}

// Conversation is what the frame, sent by user, belongs to: for 4 and 9, and
// for 5 and 16 whose TOID or GROUPID name one. The zero value where the frame
// does not tell.
func (f *Frame) Conversation(user int64) Conversation {
	if group := f.UserID(FieldGroup); group != 0 && f.Type != Chat {
		return GroupOf(group)
	}
	if to := f.UserID(FieldTo); to != 0 && f.Type != GroupChat && user != 0 {
		return Pair(user, to)
	}
	return Conversation{}
}

// AppendKey appends the key of the frame's record: the conversation for chat,
// the group for 10, else the user; the connection where there is no user.
// Frames with the same key are handled in the order they were published in.
func (f *Frame) AppendKey(dst []byte, user int64, node string, conn uint64) []byte {
	switch f.Type {
	case Chat, GroupChat:
		if c := f.Conversation(user); c != (Conversation{}) {
			return c.append(dst)
		}
	case JoinGroup:
		if g := f.UserID(FieldGroup); g != 0 {
			return GroupOf(g).append(dst)
		}
	}
	if user != 0 {
		return AppendUserKey(dst, user)
	}
	dst = append(append(dst, "c:"...), node...)
	return strconv.AppendUint(append(dst, ':'), conn, 10)
}

// AppendUserKey appends the key of records that belong to a user.
func AppendUserKey(dst []byte, user int64) []byte {
	return strconv.AppendInt(append(dst, "u:"...), user, 10)
}

// FrameID names a frame: the same for a repeat, on any connection and edge.
type FrameID [16]byte

// String is the frame id as msgId and the audit show it.
func (id FrameID) String() string { return hex.EncodeToString(id[:]) }

// NewFrameID is a frame's id: a hash of user, type, addressee and the client's
// id, or a UUIDv7 where the client gave none, or there is no user yet.
func (f *Frame) NewFrameID(user int64) FrameID {
	client := f.ClientID()
	if user == 0 || client == nil {
		return FrameID(uuid.Must(uuid.NewV7()))
	}
	addressee := f.Conversation(user)
	if f.Type == Befriend {
		addressee = Conversation{A: f.UserID(FieldU2)}
	}
	buf := make([]byte, 0, 32+MaxID)
	buf = binary.BigEndian.AppendUint64(buf, uint64(user))
	buf = binary.BigEndian.AppendUint64(buf, uint64(f.Type))
	buf = binary.BigEndian.AppendUint64(buf, uint64(addressee.A))
	buf = binary.BigEndian.AppendUint64(buf, uint64(addressee.B))
	sum := sha256.Sum256(append(buf, client...))
	return FrameID(sum[:16])
}

// Partition is Kafka's default choice for a key: murmur2, positive, modulo the
// number of partitions (org.apache.kafka.common.utils.Utils.murmur2). It never
// changes, since a conversation's numbers come from one partition's owner.
func Partition(key []byte, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

func murmur2(b []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(b))
	for len(b) >= 4 {
		k := binary.LittleEndian.Uint32(b)
		k *= m
		k ^= k >> 24
		k *= m
		h = h*m ^ k
		b = b[4:]
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
