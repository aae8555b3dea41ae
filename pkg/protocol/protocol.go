// Package protocol is the wire: the frames that clients and server exchange,
// their codes and limits, how a frame is found in a byte stream, and which
// topic and key carry it.
//
// # Flow
//
// A client keeps one TCP connection (or a WebSocket) and sends JSON objects,
// one after another. Each carries msgType; the reply to type N has type 100+N,
// a code, and the id of the request where it had one. The server also sends
// pushes (a chat frame of somebody else plus seq, msgId and time) and notices
// (98) that say why a connection is about to be closed.
//
//	client                         server
//	{"msgType":1,"USERID":6,…}  →
//	                            ←  {"msgType":101,"code":0,"USERID":6,…}
//	{"msgType":4,"TOID":8,…}    →
//	                            ←  {"msgType":104,"code":0,"TOID":8,"seq":1,…}
//	                            ←  {"msgType":4,"FROMID":8,…,"seq":2,…}
//
// docs/protocol.md is the same for people who write clients. Every number,
// name and limit of the wire stands here and nowhere else.
//
// The package must not know sockets, Kafka, Redis or SQL: edge and workers
// both build on it.
package protocol

import "fmt"

// Type is a frame's msgType.
type Type int

// The types that clients send. Reserved numbers that are not built yet are
// unknown types.
const (
	Ping        Type = 0 // answered by the edge itself
	Login       Type = 1 // by password, or by the token of an earlier 101
	Register    Type = 2 // makes an account; does not log in
	Logout      Type = 3 // ends the session, not the connection
	Chat        Type = 4 // to one user
	Received    Type = 5 // confirms all up to a seq; answered only if it fails
	Befriend    Type = 6 // mutual and immediate
	ListFriends Type = 8
	GroupChat   Type = 9
	JoinGroup   Type = 10
	CreateGroup Type = 12
	Offline     Type = 14 // fetch what arrived while away
	Search      Type = 15 // accounts by id or part of the name
	History     Type = 16 // pages through a conversation by seq

	// Notice is sent by the server only, before it closes a connection.
	Notice Type = 98
	// Unreadable is the type of the answer to what is no known frame. It is
	// also Ping's reply: 100+0.
	Unreadable Type = 100
)

// NoType is the Type of a frame whose msgType is missing, doubled or no
// integer.
const NoType Type = -1

// Reply is the type of the reply to t.
func (t Type) Reply() Type { return 100 + t }

// Known reports whether t is a type that clients may send.
func (t Type) Known() bool {
	switch t {
	case Ping, Login, Register, Logout, Chat, Received, Befriend, ListFriends,
		GroupChat, JoinGroup, CreateGroup, Offline, Search, History:
		return true
	}
	return false
}

// Windowed reports whether frames of this type may be outstanding together on
// one connection. Every other type is a barrier: it waits for what is
// outstanding and is waited for.
func (t Type) Windowed() bool { return t == Chat || t == GroupChat || t == Received }

// NeedsSession reports whether a frame of this type gets 401 before a login.
func (t Type) NeedsSession() bool { return t != Ping && t != Login && t != Register }

// Remembered reports whether a success of this type is remembered by frame
// id, so that a repeat gets it again without a second effect. Chat frames are
// remembered by their message.
func (t Type) Remembered() bool {
	switch t {
	case Register, Befriend, JoinGroup, CreateGroup:
		return true
	}
	return false
}

// Reads reports whether a frame of this type changes nothing, whatever it brings
// along.
func (t Type) Reads() bool { return t == Ping || t == ListFriends || t == Search || t == History }

// String is the type as a metric label: its number.
func (t Type) String() string { return fmt.Sprint(int(t)) }

// Code is the outcome of a frame; HTTP's numbers where one fits.
type Code int

// The codes a reply can carry.
const (
	OK           Code = 0
	Malformed    Code = 400 // not JSON, no known frame, or a field is wrong
	Unauthorized Code = 401 // not logged in, or a wrong password or token
	Forbidden    Code = 403 // not yours to do
	NotFound     Code = 404 // no such user or group
	Conflict     Code = 409 // already so
	TooLarge     Code = 413
	TooFast      Code = 429
	Internal     Code = 500 // our fault
	NotAccepted  Code = 503 // nothing happened: send it again
	Unknown      Code = 504 // may have happened: send it again with the same id
)

// String is the code as a metric label: its number.
func (c Code) String() string { return fmt.Sprint(int(c)) }

// Limits of the wire.
const (
	MaxFrame      = 64 << 10  // bytes of an inbound frame; configurable at the edge
	MaxOutbound   = 1 << 20   // bytes of an outbound frame
	MaxDepth      = 64        // nesting of objects and lists in a frame
	MaxInt        = 1<<53 - 1 // largest id: what every JSON reader keeps exact
	MaxID         = 64        // bytes of a client's id
	MaxName       = 64        // characters
	MaxPassword   = 128       // bytes
	MaxToken      = 128       // bytes
	MaxDescript   = 1024      // characters
	MaxPage       = 100       // messages in one 114 or 116
	MaxPageBytes  = MaxOutbound - 4096
	MaxUnread     = 10_000 // what unread counts to
	DefaultSearch = 20
	MaxSearch     = 50
	Window        = 64 // frames of a connection that may be outstanding together

	// MaxFriends keeps a list of friends (108) within MaxOutbound: an entry
	// takes 440 bytes at most.
	MaxFriends = 2000
)

// Error is a failure that the wire has a code for. Whatever is not an Error
// is internal: the client sees 500 and no detail.
type Error struct {
	Code    Code
	Field   string // the field at fault, for 400; may be empty
	Message string // a sentence for the person at the other end
}

func (e *Error) Error() string {
	if e.Field != "" {
		return fmt.Sprintf("%d %s: %s", e.Code, e.Field, e.Message)
	}
	return fmt.Sprintf("%d: %s", e.Code, e.Message)
}

// Errorf makes an Error without a field.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
