package workers_test

import (
	"fmt"
	"sync"
	"testing"

	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/storage"
	"sponge/workers/workertest"
)

// threes is a handler that takes three frames at a time, and notes the sizes of
// its batches.
type threes struct{ watched }

func (threes) Portion(frames []*workers.Frame) (batch, later []*workers.Frame) {
	n := min(3, len(frames))
	return frames[:n], frames[n:]
}

// A handler's portions come one after another, in the order of the records, and
// nothing is left out.
func TestPortionsKeepTheOrder(t *testing.T) {
	t.Parallel()
	sp := services.NewSpace(t)
	users(t, sp, 3)
	e := sp.NewEdge(t, "e1")
	one := e.Login(1, 1)
	const frames = 20
	var requests []uint32
	for i := range frames { // before the worker runs: they are taken together
		requests = append(requests, e.Publish(one, chatFrame(2, fmt.Sprint(i)), nil))
	}
	var mu sync.Mutex
	var sizes []int
	sp.Run(t, sp.Config(t), map[protocol.Topic]workers.Factory{protocol.TopicStorage: func(r workers.Resources) (workers.Handler, error) {
		h, err := storage.New(r)
		return threes{watched{h, func(frames []*workers.Frame) {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, len(frames))
		}}}, err
	}}, nil)
	for i, r := range requests {
		if reply := workertest.Decode(t, e.Reply(r).Payload); code(reply) != 0 || reply["seq"].(float64) != float64(i+1) {
			t.Fatalf("frame %d: %v", i, reply)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	total, full := 0, 0
	for _, n := range sizes {
		if n > 3 {
			t.Errorf("a batch has %d frames", n)
		}
		if n == 3 {
			full++
		}
		total += n
	}
	if total != frames || full == 0 {
		t.Errorf("batches of %v frames, %d were sent", sizes, frames)
	}
}
