package bench

import (
	"slices"
	"sync/atomic"
)

// stream is all that one sender says in one conversation, its messages
// counted 0, 1, 2…
//
// One goroutine at a time adds and acknowledges; recipients' goroutines read
// beside it.
type stream struct {
	chunks atomic.Pointer[[]*chunk]
	length atomic.Int64
}

const chunkSize = 4096

type chunk [chunkSize]entry

// entry is one message. seq is told by the acknowledgement or the first push,
// whichever comes first.
type entry struct {
	seq   atomic.Int64
	acked bool  // for the sender, until the run is over
	due   int64 // when it was due, nanoseconds since the start of the run
}

func newStream() *stream {
	s := &stream{}
	s.chunks.Store(&[]*chunk{})
	return s
}

// add begins a message and returns its number.
func (s *stream) add(due int64) int64 {
	n := s.length.Load()
	chunks := *s.chunks.Load()
	if n/chunkSize == int64(len(chunks)) {
		more := append(slices.Clip(chunks), new(chunk))
		chunks = more
		s.chunks.Store(&more)
	}
	chunks[n/chunkSize][n%chunkSize].due = due
	s.length.Store(n + 1)
	return n
}

// at is the entry of a message, nil where the sender never said it.
func (s *stream) at(n int64) *entry {
	if n < 0 || n >= s.length.Load() {
		return nil
	}
	return &(*s.chunks.Load())[n/chunkSize][n%chunkSize]
}

// numbered notes which seq a message was told to have. It reports whether all
// agree.
func (e *entry) numbered(seq int64) bool {
	return e.seq.CompareAndSwap(0, seq) || e.seq.Load() == seq
}

// inbox is what one recipient got of a conversation. Only for the goroutine of
// its connection, until the run is over.
type inbox struct {
	streams []*stream
	own     int        // the recipient's own stream, which it is not sent; -1: none
	seen    [][]uint64 // a bit for each message of each stream
	last    int64      // the highest seq seen

	duplicated, outOfOrder, renumbered, unknown int64
}

func newInbox(streams []*stream, own int) *inbox {
	return &inbox{streams: streams, own: own, seen: make([][]uint64, len(streams))}
}

// arrived notes a push. It returns the message where it is a new one, else nil.
func (in *inbox) arrived(stream int, n, seq int64) *entry {
	if stream < 0 || stream >= len(in.streams) {
		in.unknown++
		return nil
	}
	e := in.streams[stream].at(n)
	if e == nil {
		in.unknown++
		return nil
	}
	if !e.numbered(seq) {
		in.renumbered++
	}
	if in.has(stream, n) {
		in.duplicated++
		return nil
	}
	for int64(len(in.seen[stream])) <= n/64 {
		in.seen[stream] = append(in.seen[stream], 0)
	}
	in.seen[stream][n/64] |= 1 << (n % 64)
	if seq <= in.last {
		in.outOfOrder++
	}
	in.last = max(in.last, seq)
	return e
}

func (in *inbox) has(stream int, n int64) bool {
	return n/64 < int64(len(in.seen[stream])) && in.seen[stream][n/64]>>(n%64)&1 == 1
}

// balance adds up one conversation when the run is over. measured tells which
// messages count as sent, acked, expected and delivered.
func balance(r *Result, streams []*stream, inboxes []*inbox, measured func(due int64) bool) {
	told := map[int64]bool{} // seqs
	for k, s := range streams {
		last := int64(0)
		for n := range s.length.Load() {
			e := s.at(n)
			counts := measured(e.due)
			if counts {
				r.Sent++
			}
			if !e.acked {
				continue
			}
			seq := e.seq.Load()
			if told[seq] {
				r.Errors[renumbered]++
			}
			told[seq] = true
			if seq <= last {
				r.OutOfOrder++
			}
			last = seq
			if counts {
				r.Acked++
			}
			for _, in := range inboxes {
				if in.own == k {
					continue
				}
				got := in.has(k, n)
				if counts {
					r.Expected++
				}
				switch {
				case !got:
					r.Lost++
				case counts:
					r.Delivered++
				}
			}
		}
	}
	for _, in := range inboxes {
		r.Duplicated += in.duplicated
		r.OutOfOrder += in.outOfOrder
		if in.renumbered > 0 {
			r.Errors[renumbered] += in.renumbered
		}
		if in.unknown > 0 {
			r.Errors[unknown] += in.unknown
		}
	}
}

// Keys of Result.Errors beside the codes.
const (
	renumbered = "renumbered" // one message under two numbers, or two under one
	unknown    = "unknown"    // a push of what nobody sent
	unanswered = "unanswered" // no reply until the run was over
	closed     = "closed"     // the server ended the session
)
