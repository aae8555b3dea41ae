package workers

import (
	"slices"
	"testing"
	"time"

	"sponge/pkg/queue"
)

func offsets(from, to int64) (out []queue.Message) {
	for o := from; o <= to; o++ {
		out = append(out, queue.Message{Offset: o})
	}
	return out
}

// The journal names one range a partition, in the order of the batch: ids that
// a batch gives out would differ in a replay if a partition came twice.
func TestBatchHasOneRunOfEachPartition(t *testing.T) {
	in := newInbox([]*partition{{id: 0}, {id: 1}, {id: 2}})
	in.Deliver(0, offsets(0, 5))
	in.Deliver(1, offsets(0, 0))
	batch, _ := in.take(8, time.Now())
	total := 0
	var seen []int
	for _, run := range batch {
		if slices.Contains(seen, run.part.id) {
			t.Errorf("partition %d comes twice", run.part.id)
		}
		seen = append(seen, run.part.id)
		total += len(run.messages)
	}
	if total != 7 {
		t.Errorf("%d of 7 records: the second pass fills the batch up", total)
	}
	if in.bytes != 0 {
		t.Errorf("%d bytes wait in an empty inbox", in.bytes)
	}
}

func TestBatchIsSharedByBusyPartitions(t *testing.T) {
	in := newInbox([]*partition{{id: 0}, {id: 1}})
	in.Deliver(0, offsets(0, 99))
	in.Deliver(1, offsets(0, 2))
	batch, _ := in.take(10, time.Now())
	sizes := map[int]int{}
	for _, run := range batch {
		sizes[run.part.id] = len(run.messages)
	}
	if sizes[0] != 7 || sizes[1] != 3 {
		t.Errorf("a batch of 10 holds %v", sizes)
	}
}

func TestRecordsGivenBackKeepTheirOrder(t *testing.T) {
	p := &partition{id: 0}
	in := newInbox([]*partition{p})
	in.Deliver(0, offsets(10, 14))
	if _, wait := in.take(3, time.Now()); wait != 0 {
		t.Fatal(wait)
	}
	in.giveBack(p, offsets(10, 10))
	if !in.waitsBefore(p, 11) || in.waitsBefore(p, 10) {
		t.Error("10 waits before 11, and nothing before 10")
	}
	in.giveBack(p, offsets(11, 12))
	batch, _ := in.take(9, time.Now())
	var got []int64
	for _, m := range batch[0].messages {
		got = append(got, m.Offset)
	}
	if want := []int64{10, 11, 12, 13, 14}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}
