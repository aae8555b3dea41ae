package e2e

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// dialDeaf connects with the smallest receive buffer the system gives, so that who
// doesn't read is soon noticed.
func dialDeaf(t *testing.T, addr string) *client {
	t.Helper()
	dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		}); e != nil {
			return e
		}
		return err
	}}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, addr, newTCP(conn))
}

// TestSlowConsumer floods a group in which one member doesn't read: it is closed,
// finds later what it missed, and the others get everything.
func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	c := get(t, sharedRoles)
	_, addr := c.roles.startEdge(t, "slow", "SPONGE_EDGE_MAX_OUTBOUND=1048576")
	all := users(t, c, 3)
	sender, slow := all[0], all[2]
	slow.drop()
	reader := login(t, addr, all[1].account)
	group := createGroup(sender, reader)
	deaf := dialDeaf(t, addr)
	deaf.sendLogin(slow.account, `,"confirm":true`)
	deaf.wantLogin(slow.account, `0`)
	deaf.must(deaf.call(`{"msgType":10,"GROUPID":%d}`, group), `{"msgType":110,"code":0,"GROUPID":%d,"name":"$text","description":"$text"}`, group)

	// More than that queue and the kernel's buffers (4 MiB and a bit) hold.
	const count = 150
	for i := range count {
		sender.send(`{"msgType":9,"GROUPID":%d,"n":%d,"msg":%s}`, group, i, js(strings.Repeat("x", 60_000)))
		reader.wantPush(`{"msgType":9,"FROMID":%d,"GROUPID":%d,"n":%d,"msg":"$text","seq":%d,"msgId":"$text","time":"$time"}`,
			sender.id, group, i, i+1)
		sender.wantReply(`{"msgType":109,"code":0,"GROUPID":%d,"seq":%d,"msgId":"$text","time":"$time"}`, group, i+1)
	}

	t.Log("what the deaf one reads at last is in order, and ends early")
	got := int64(0)
	for {
		b, err := deaf.link.read(patience)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				deaf.fail("still open after %d messages", got)
			}
			break // closed, if need be in the middle of a frame
		}
		f, err := decode(b)
		if err != nil {
			deaf.fail("%v", err)
		}
		if f.int("msgType") == 98 {
			continue
		}
		if got++; f.int("seq") != got {
			deaf.fail("seq %d, want %d", f.int("seq"), got)
		}
	}
	if got >= count {
		t.Fatalf("the one that did not read got all %d messages", got)
	}

	t.Log("it confirmed nothing, so all of it is there")
	again := loginConfirming(t, c.edge(1), slow.account, js(count))
	for n, more := int64(0), true; more || n < count; {
		page := again.call(`{"msgType":14}`)
		again.must(page, `{"msgType":114,"code":0,"messages":"$any","more":%t}`, page["more"] == true)
		if more = page["more"] == true; len(page.list("messages")) == 0 {
			again.fail("an empty page after %d messages", n)
		}
		for _, m := range page.list("messages") {
			if m.int("n") != n || m.int("seq") != n+1 {
				again.fail("message %d has n %d, seq %d", n, m.int("n"), m.int("seq"))
			}
			n++
		}
		again.send(`{"msgType":5,"GROUPID":%d,"seq":%d}`, group, n)
	}
}
