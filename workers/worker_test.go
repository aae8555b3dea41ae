package workers_test

import (
	"fmt"
	"reflect"
	"testing"

	"sponge/pkg/channel"
	"sponge/workers/workertest"
)

var services workertest.Services

func TestMain(m *testing.M) { workertest.Main(m, &services) }

func code(reply map[string]any) int { return int(reply["code"].(float64)) }

// register makes accounts and wants the ids from first on.
func register(t *testing.T, e *workertest.Edge, first, n int) {
	t.Helper()
	var requests []uint32
	for i := range n {
		requests = append(requests, e.Publish(workertest.Session{Conn: uint64(1000 + i)}, fmt.Sprintf(`{"msgType":2,"name":"u%d","password":"p"}`, i), nil))
	}
	seen := map[int]bool{}
	for _, r := range requests {
		reply := workertest.Decode(t, e.Reply(r).Payload)
		if code(reply) != 0 {
			t.Fatalf("register: %v", reply)
		}
		seen[int(reply["USERID"].(float64))] = true
	}
	for id := first; id < first+n; id++ {
		if !seen[id] {
			t.Fatalf("ids %v have a gap at %d", seen, id)
		}
	}
}

func TestSpine(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	sp.Run(t, sp.Config(t), workertest.Handlers(), nil)
	e := sp.NewEdge(t, "e1")
	register(t, e, 1, 20)

	bad := e.Ask(workertest.Session{Conn: 1}, `{"msgType":1,"USERID":6,"password":"x"}`)
	if code(bad) != 401 {
		t.Fatalf("wrong password: %v", bad)
	}
	bound := e.Reply(e.Publish(workertest.Session{Conn: 1}, `{"msgType":1,"USERID":6,"password":"p","id":"l"}`, nil))
	login := workertest.Decode(t, bound.Payload)
	if code(login) != 0 || bound.Session != channel.SessionBound || login["unread"].(float64) != 0 || login["id"] != "l" {
		t.Fatalf("login: %v", login)
	}
	six := e.Bound(bound)
	again := e.Reply(e.Publish(workertest.Session{Conn: 2}, fmt.Sprintf(`{"msgType":1,"USERID":6,"token":%q}`, login["token"]), nil))
	if again.Session != channel.SessionBound {
		t.Fatalf("token login: %s", again.Payload)
	}
	eight := e.Login(8, 8)
	for i := 1; i <= 3; i++ {
		reply := e.Ask(six, fmt.Sprintf(`{"msgType":4,"TOID":8,"msg":"你好 %d"}`, i))
		if code(reply) != 0 || reply["seq"].(float64) != float64(i) || reply["TOID"].(float64) != 8 {
			t.Fatalf("chat: %v", reply)
		}
		push := workertest.Decode(t, e.Push(8).Payload)
		if push["FROMID"].(float64) != 6 || push["seq"].(float64) != float64(i) || push["msgId"] != reply["msgId"] {
			t.Fatalf("push: %v", push)
		}
	}
	if r := e.Ask(six, `{"msgType":6,"U2":8}`); code(r) != 0 {
		t.Fatal(r)
	}
	list := e.Ask(eight, `{"msgType":8}`)
	want := []any{map[string]any{"USERID": 6.0, "name": name(t, sp, 6), "online": false}}
	if !reflect.DeepEqual(list["friends"], want) {
		t.Fatalf("friends: %v, not %v", list["friends"], want)
	}
}

func name(t *testing.T, sp *workertest.Space, user int) (name string) {
	t.Helper()
	if err := sp.DB.QueryRow("SELECT name FROM users WHERE id = ?", user).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}
