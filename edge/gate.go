package edge

import (
	"sync"

	"sponge/pkg/protocol"
)

// errBehind answers a frame that a gate keeps out.
var errBehind = protocol.Errorf(protocol.NotAccepted, "too much is waiting, nothing happened: send it again in a while")

// gate keeps clients' frames out of a partition whose workers are far behind:
// what was published now would be answered too late, and make them fall behind
// further. A frame that is kept out gets 503, which says that nothing happened.
// Reports, renewals and synchronisations, which the edge makes itself, pass.
//
// A partition is handled in order, so the delay is the age of the oldest frame
// that waits behind the newest one that was answered. Ages are counted in
// slots: nothing is kept for each frame.
type gate struct {
	mu       sync.Mutex
	waiting  [gateSlots]int32 // frames without an answer, by the slot they came in
	count    int32            // of all slots
	answered int64            // the newest slot of which a frame was answered
	shut     bool
	probeAt  int64 // when a frame may pass a gate that is shut, by Edge.now
}

// Times of a gate, in milliseconds.
const (
	gateSlot   = 128
	gateSlots  = 256 // 32 s: what waits for longer, which no default allows, passes as younger
	probeEvery = 250 // while shut: what shows that the workers have caught up
)

func slotOf(at int64) int64 { return at / gateSlot }

// enter reports whether a frame may be published at now, and counts it as
// waiting then. shedAfter is the delay from which on it may not.
func (g *gate) enter(now, shedAfter int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.delay(now) > shedAfter {
		g.shut = true
	}
	if g.shut {
		if now < g.probeAt {
			return false
		}
		g.probeAt = now + probeEvery
	}
	g.waiting[slotOf(now)%gateSlots]++
	g.count++
	return true
}

// leave ends the wait of a frame that entered at a time. Where workers
// answered it, the gate opens if what is left has not waited for long.
func (g *gate) leave(entered, now, shedAfter int64, byWorkers bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[slotOf(entered)%gateSlots]--
	g.count--
	if byWorkers {
		g.answered = max(g.answered, slotOf(entered))
		if g.shut && g.delay(now) <= shedAfter {
			g.shut = false
		}
	}
}

// delay is how long the oldest frame has waited that came in a later slot than
// the newest answered one; 0 where none has.
func (g *gate) delay(now int64) int64 {
	if g.count == 0 {
		return 0
	}
	for at := max(g.answered, slotOf(now)-gateSlots) + 1; at < slotOf(now); at++ {
		if g.waiting[at%gateSlots] > 0 {
			return now - (at+1)*gateSlot
		}
	}
	return 0
}
