package e2e

import (
	"fmt"
	"testing"
)

// TestFetchingBesideTraffic asks for offline messages again and again while
// others, and another device, write: whether a message comes in a page or as a
// push, it comes once.
func TestFetchingBesideTraffic(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		const rounds, burst = 40, 8
		three := users(t, c, 3)
		a, other, b := three[0], three[1], three[2]
		device := login(t, c.edge(1), b.account)
		for range rounds {
			for range burst {
				a.send(`{"msgType":4,"TOID":%d,"msg":"from a"}`, b.id)
				other.send(`{"msgType":4,"TOID":%d,"msg":"from another"}`, b.id)
			}
			device.send(`{"msgType":4,"TOID":%d,"msg":"from the other device"}`, a.id)
			b.send(`{"msgType":14}`)
		}
		b.send(`{"msgType":0}`)
		seen := map[string]int{}
		count := func(m frame) {
			key := fmt.Sprintf("%d to %d: %d", m.int("FROMID"), m.int("TOID"), m.int("seq"))
			if seen[key]++; seen[key] > 1 {
				b.fail("%s came %d times", key, seen[key])
			}
		}
		paged, answered := 0, 0
		for len(seen) < rounds*(2*burst+1) || answered < 1 {
			f, err := b.read()
			if err != nil {
				b.fail("%v", err)
			}
			switch f.int("msgType") {
			case 4:
				count(f)
			case 114:
				for _, m := range f.list("messages") {
					paged++
					count(m)
				}
			default:
				b.must(f, `{"msgType":100,"code":0}`)
				answered++
			}
		}
		t.Logf("%d of %d came in pages", paged, len(seen))
		b.match(b.call(`{"msgType":14}`), `{"msgType":114,"code":0,"messages":[],"more":false}`)
	})
}
