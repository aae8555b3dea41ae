package e2e

import (
	"slices"
	"testing"
)

// TestFriends are mutual at once, and told who of them is online.
func TestFriends(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		all := users(t, c, 3)
		a, b, d := all[0], all[1], all[2]
		befriend(a, b)
		befriend(d, a)
		friends := func(conn *client, online map[*client]bool) {
			t.Helper()
			f := conn.call(`{"msgType":8,"FROMID":%d}`, conn.id)
			conn.match(f, `{"msgType":108,"code":0,"friends":"$any"}`)
			list := f.list("friends")
			if len(list) != len(online) {
				conn.fail("%d friends, want %d", len(list), len(online))
			}
			for friend, on := range online {
				i := slices.IndexFunc(list, func(f frame) bool { return f.int("USERID") == friend.id })
				if i < 0 {
					conn.fail("user %d is not among the friends", friend.id)
				}
				conn.must(list[i], `{"USERID":%d,"name":%s,"online":%t}`, friend.id, js(friend.name), on)
			}
		}
		friends(a, map[*client]bool{b: true, d: true})
		friends(b, map[*client]bool{a: true})
		friends(d, map[*client]bool{a: true})

		t.Log("online until the last of one's connections is gone")
		device := login(t, c.edge(0), b.account)
		b.drop()
		device.ping()
		friends(a, map[*client]bool{b: true, d: true})
		device.must(device.call(`{"msgType":3}`), `{"msgType":103,"code":0}`)
		eventually(t, "b is offline", func() bool { return !isOnline(a, b) })
		friends(a, map[*client]bool{b: false, d: true})
		b.token = ""
		login(t, c.edge(2), b.account)
		friends(a, map[*client]bool{b: true, d: true})
	})
}
