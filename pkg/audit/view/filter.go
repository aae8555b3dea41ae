package view

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

// Filter chooses records by what they hold. All that is set must hold; the zero
// value takes everything. Journal rows have none of it but their bytes.
type Filter struct {
	// User is whose frames are taken: whom the session proof names, or whom a
	// login is for, whether or not it succeeded. 0: anybody's.
	User int64
	// Group takes what was said in a group, and who joined it (9 and 10); with
	// Types, also what was confirmed (5) and fetched (16) of it. 0: any.
	Group int64
	// With takes what was said in a conversation of two (4; with Types also 5 and
	// 16), from either side: of User and With, or of With and anybody.
	With int64
	// Types are the msgTypes to take; none: all.
	Types []protocol.Type
	Conn  Conn
	Peer  Peer
	// Grep must match a part of the frame's bytes, as the topic holds them.
	Grep *regexp.Regexp
}

// Validate says what does not fit together.
func (f *Filter) Validate() error {
	if f.Group != 0 && f.With != 0 {
		return errors.New("a conversation is a group's (--group) or that of two users (--with): choose one")
	}
	for _, t := range f.Types {
		if !t.Known() || t == protocol.Ping {
			return fmt.Errorf("--type: no topic holds frames of type %d", int(t))
		}
	}
	if f.conversational() && len(f.types()) == 0 {
		return errors.New("--type: none of these types belongs to such a conversation")
	}
	return nil
}

func (f *Filter) conversational() bool { return f.Group != 0 || f.With != 0 }

// frameless reports whether nothing is asked that only a frame can answer.
func (f *Filter) frameless() bool {
	return f.User == 0 && !f.conversational() && len(f.Types) == 0 && f.Conn == (Conn{}) && f.Peer == (Peer{})
}

// types are the msgTypes that can be taken; nil where all can, also none.
func (f *Filter) types() []protocol.Type {
	of := f.Types
	if f.conversational() && len(of) == 0 {
		of = []protocol.Type{protocol.Chat, protocol.GroupChat, protocol.JoinGroup}
	}
	if f.Group == 0 && f.With == 0 {
		return of
	}
	fit := []protocol.Type{protocol.Chat, protocol.Received, protocol.History}
	if f.Group != 0 {
		fit = []protocol.Type{protocol.GroupChat, protocol.JoinGroup, protocol.Received, protocol.History}
	}
	out := []protocol.Type{}
	for _, t := range of {
		if slices.Contains(fit, t) {
			out = append(out, t)
		}
	}
	return out
}

// matcher is a Filter made ready.
type matcher struct {
	Filter
	only      []protocol.Type // nil: all
	frameless bool
}

func newMatcher(f Filter) matcher { return matcher{f, f.types(), f.frameless()} }

// match looks at what is cheap first; a frame is parsed only where it must be.
func (m *matcher) match(e *Entry) bool {
	if m.frameless {
		return m.Grep == nil || m.Grep.Match(e.Value)
	}
	if e.class == rows || !m.Conn.match(&e.envelope) || !m.Peer.match(e.envelope.Peer) {
		return false
	}
	if len(m.only) > 0 && !slices.Contains(m.only, e.frameType()) {
		return false
	}
	if !m.matchPeople(e) {
		return false
	}
	return m.Grep == nil || m.Grep.Match(e.Value)
}

func (m *matcher) matchPeople(e *Entry) bool {
	switch {
	case m.With != 0 && m.User != 0: // both sides are wanted, not only User's frames
		return e.conversation() == protocol.Pair(m.User, m.With)
	case m.With != 0:
		return e.conversation().Has(m.With)
	case m.User != 0 && e.proven() != m.User && e.claimed() != m.User:
		return false
	case m.Group != 0:
		return e.conversation() == protocol.GroupOf(m.Group)
	}
	return true
}

// Conn names a connection. The zero value is any.
type Conn struct {
	Node   string // name:nonce, or the name alone; empty: any
	Number uint64
	Set    bool // Number is asked for
}

// ParseConn reads NODE/NUMBER, NODE/ or NUMBER.
func ParseConn(text string) (Conn, error) {
	node, number, both := strings.Cut(text, "/")
	if !both {
		node, number = "", text
	}
	if both && node != "" && number == "" {
		return Conn{Node: node}, nil
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || both && node == "" {
		return Conn{}, fmt.Errorf("--conn: %q is no connection: 17, edge1/17 or edge1/ is one", text)
	}
	return Conn{Node: node, Number: n, Set: true}, nil
}

func (c *Conn) match(e *envelope.Envelope) bool {
	if c.Set && e.Conn != c.Number {
		return false
	}
	if c.Node == "" || c.Node == e.Node {
		return !c.Set || e.Node != ""
	}
	name, _, _ := strings.Cut(e.Node, ":")
	return c.Node == name
}

// Peer is a client's address, or a range of them. The zero value is any.
type Peer struct {
	prefix netip.Prefix
	port   uint16 // 0: any
}

// ParsePeer reads an address, an address with a port, or a prefix (10.0.0.0/8).
func ParsePeer(text string) (Peer, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return Peer{prefix: p.Masked()}, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return Peer{prefix: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	if ap, err := netip.ParseAddrPort(text); err == nil && ap.Port() != 0 {
		a := ap.Addr().Unmap().WithZone("")
		return Peer{netip.PrefixFrom(a, a.BitLen()), ap.Port()}, nil
	}
	return Peer{}, fmt.Errorf("--peer: %q is no address: 192.0.2.1, 192.0.2.1:50412, 192.0.2.0/24 or 2001:db8::/32 is one", text)
}

func (p *Peer) match(peer string) bool {
	if !p.prefix.IsValid() {
		return true
	}
	ap, err := netip.ParseAddrPort(peer)
	if err != nil {
		a, err := netip.ParseAddr(peer)
		if err != nil {
			return false
		}
		ap = netip.AddrPortFrom(a, 0)
	}
	return p.prefix.Contains(ap.Addr().Unmap().WithZone("")) && (p.port == 0 || p.port == ap.Port())
}
