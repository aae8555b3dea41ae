package edge

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

func TestLoginChatLogout(t *testing.T) {
	t.Parallel()
	h := startEdge(t, nil)
	c := h.dial()

	c.send(`{"msgType":1,"USERID":6,"password":"六"}` + "\n")
	p := h.next()
	if p.topic != "sponge.login" || string(p.rec.Key) != fmt.Sprintf("c:%s:%d", h.edge.Node(), p.env.Conn) {
		t.Errorf("topic %s, key %s", p.topic, p.rec.Key)
	}
	if strings.Contains(string(p.rec.Value), "六") {
		t.Errorf("the password is in the topic: %s", p.rec.Value)
	}
	if raw, err := h.key.Open(p.frame.Raw(protocol.FieldPassword)); err != nil || string(raw) != `"六"` {
		t.Errorf("the sealed password opens as %s, %v", raw, err)
	}
	if p.env.Peer != c.nc.LocalAddr().String() || p.env.Node != h.edge.Node() || p.env.Proof != nil || p.env.Kind != envelope.FromClient {
		t.Errorf("envelope %+v", p.env)
	}
	proof := h.prove(6, p.env.Conn, 1<<40)
	h.answer(p, func(r *channel.Result) { r.Session, r.Proof = channel.SessionBound, proof })
	c.expect(`{"msgType":101,"code":0}`)
	if !h.lease.has(6, p.env.Conn) {
		t.Error("no presence entry before 101")
	}

	c.send(`{"msgType":4,"FROMID":6,"TOID":8,"msg":"你好","id":"a"}`)
	p = h.next()
	if p.topic != "sponge.storage" || string(p.rec.Key) != "u:6:8" || p.env.Proof == nil || *p.env.Proof != *proof {
		t.Errorf("topic %s, key %s, proof %v", p.topic, p.rec.Key, p.env.Proof)
	}
	if p.partition != protocol.Partition([]byte("u:6:8"), 4) {
		t.Errorf("partition %d", p.partition)
	}
	if want := p.frame.NewFrameID(6); p.env.FrameID != want {
		t.Errorf("frame id %s, want %s", p.env.FrameID, want)
	}
	h.answer(p)
	c.expect(`{"msgType":104,"code":0,"id":"a"}`)

	conn := p.env.Conn
	c.send(`{"msgType":3}`)
	p = h.next()
	h.answer(p, func(r *channel.Result) { r.Session = channel.SessionEnded })
	c.expect(`{"msgType":103`)
	if h.lease.has(6, conn) {
		t.Error("the presence entry is left after 103")
	}
	c.send(`{"msgType":8}`)
	if p = h.next(); p.env.Proof != nil {
		t.Error("a proof after the logout")
	}
	h.answer(p)
	c.expect(`"msgType":108`)
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := newHarness(t, func(c *Config) { c.Listen = []string{l.Addr().String()} })
	err = h.edge.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Run: %v, want an error that names %s", err, l.Addr())
	}
}
