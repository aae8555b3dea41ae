package e2e

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// TestComingAndGoing connects and drops connections in every state, in a hurry; in
// the end the edge holds none of them.
func TestComingAndGoing(t *testing.T) {
	t.Parallel()
	c := get(t, sharedRoles)
	p, addr := c.roles.startEdge(t, "coming-and-going")
	pair := users(t, c, 2)
	steady, peer := login(t, addr, pair[0].account), pair[1]
	steady.chat(steady.id, "what the edge opens for itself is open now")
	before := openFiles(t, p)
	for i := range 40 {
		for _, text := range []string{
			"", `{"msgType":0}`, `{"msgType":`, "garbage\n", `[1,`,
			`{"msgType":1,"USERID":` + js(peer.id) + `,"token":` + js(peer.token) + `}`,
			`{"msgType":1,"USERID":` + js(peer.id) + `,"token":` + js(peer.token) + `}{"msgType":4,"TOID":` + js(peer.id) + `,"msg":"x"}`,
		} {
			l, err := open(addr)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 && text == `{"msgType":0}` {
				if _, err := l.read(patience); err != nil {
					t.Fatal(err)
				}
			}
			l.close()
		}
		if i%10 == 0 {
			steady.chat(steady.id, "still here")
		}
	}
	const own = 8 // files that it may have opened for itself meanwhile
	eventually(t, "the edge has closed them all", func() bool { return openFiles(t, p) <= before+own })
	steady.ping()
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// openFiles is how many files, and so connections, a process has open.
func openFiles(t *testing.T, p *process) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
