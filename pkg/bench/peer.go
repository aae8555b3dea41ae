package bench

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"
	"time"

	"sponge/pkg/client"
	"sponge/pkg/protocol"
)

// peer is one logged-in connection.
type peer struct {
	run   *run
	index int
	c     *client.Client
	tally tally

	// Of a recipient; only for the client's goroutine.
	in       *inbox
	conv     protocol.Conversation
	catching bool // it asks for what it missed while its connection was broken
}

// connect logs a peer in. The peer's inbox is set before.
func (p *peer) connect(ctx context.Context, a account) error {
	c, err := client.Dial(ctx, client.Config{Addrs: p.run.rotated(p.index), Raw: true, OnPush: p.push, OnLink: p.linked})
	if err != nil {
		return err
	}
	p.c = c
	if _, err := c.Login(ctx, a.user, a.password); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

func closeAll(peers []*peer) {
	var all sync.WaitGroup
	for _, p := range peers {
		if p.c != nil {
			all.Go(func() { p.c.Close() })
		}
	}
	all.Wait()
}

// push takes a message from the wire.
func (p *peer) push(f *client.Frame) { p.arrived(f, false) }

func (p *peer) arrived(f *client.Frame, fetched bool) {
	if p.in == nil || f.Conversation() != p.conv {
		p.run.fault(unknown)
		return
	}
	stream, n, ok := readStamp(f.RawText())
	if !ok {
		p.run.fault(unknown)
		return
	}
	if p.catching || fetched {
		if stream == p.in.own || stream < len(p.in.streams) && p.in.has(stream, n) {
			return // overlaps with what came before the break
		}
		p.in.last = min(p.in.last, f.Seq-1)
	}
	e := p.in.arrived(stream, n, f.Seq)
	if e == nil {
		return
	}
	p.tally.delivered.Add(1)
	if p.run.measured(e.due) {
		p.run.ends.record(p.index, time.Duration(p.run.since(f.At)-e.due))
	}
}

// linked fetches what was missed, after a break.
func (p *peer) linked(l client.Link) {
	if l.Up && l.Resumed && p.in != nil {
		p.catching = true
		p.catchUp(p.in.last)
	}
}

func (p *peer) catchUp(after int64) {
	o := protocol.Object(nil)
	if p.conv.IsGroup() {
		o = o.Int("GROUPID", p.conv.Group())
	} else {
		o = o.Int("TOID", p.conv.Other(p.c.User()))
	}
	o = o.Int("after", after).Int("limit", protocol.MaxPage)
	_ = p.c.Post(protocol.History, o, 0, func(r *client.Reply) {
		if r.Ended != nil {
			return
		}
		list, more, err := r.Messages()
		if r.Code != protocol.OK || err != nil {
			p.run.fault(code(r.Code))
			time.AfterFunc(retryAfter, func() { p.catchUp(after) })
			return
		}
		for _, m := range list {
			p.arrived(m, true)
			after = m.Seq
		}
		if more && len(list) > 0 {
			p.catchUp(after)
		} else {
			p.catching = false
		}
	})
}

func code(c protocol.Code) string { return strconv.Itoa(int(c)) }

// A message begins with a stamp: its stream and its number there, in hex.
const stampSize = 2*2 + 2*4

func putStamp(dst []byte, stream int, n int64) {
	var b [stampSize / 2]byte
	binary.BigEndian.PutUint16(b[:], uint16(stream))
	binary.BigEndian.PutUint32(b[2:], uint32(n))
	hex.Encode(dst, b[:])
}

func readStamp(text []byte) (stream int, n int64, ok bool) {
	var b [stampSize / 2]byte
	if len(text) < stampSize {
		return 0, 0, false
	}
	if _, err := hex.Decode(b[:], text[:stampSize]); err != nil {
		return 0, 0, false
	}
	return int(binary.BigEndian.Uint16(b[:])), int64(binary.BigEndian.Uint32(b[2:])), true
}
