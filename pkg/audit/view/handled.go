package view

import "slices"

// handled is what the journal says of a partition's records from next on.
type handled struct {
	until   int64 // records from here on are not asked for
	ranges  []numbered
	dead    map[int64]bool // nil: none
	refused map[int64]bool // nil: none
}

type numbered struct{ first, last, number int64 }

// how a record was handled.
type handling struct {
	number        int64 // 0: not at all
	dead, refused bool
}

// add keeps a range in its place: nearly always the last. A row may come twice.
func (h *handled) add(r numbered) {
	if r.first >= h.until {
		return
	}
	i := len(h.ranges)
	for i > 0 && h.ranges[i-1].first > r.first {
		i--
	}
	if i > 0 && h.ranges[i-1].first == r.first {
		return
	}
	h.ranges = slices.Insert(h.ranges, i, r)
}

// forget drops what lies before an offset.
func (h *handled) forget(offset int64) {
	n := 0
	for n < len(h.ranges) && h.ranges[n].last < offset {
		n++
	}
	h.ranges = h.ranges[n:]
	for _, set := range []map[int64]bool{h.dead, h.refused} {
		for o := range set {
			if o < offset {
				delete(set, o)
			}
		}
	}
}

// with adds an offset to a set, unless nobody asks for it.
func with(set map[int64]bool, offset, until int64) map[int64]bool {
	if offset >= until {
		return set
	}
	if set == nil {
		set = map[int64]bool{}
	}
	set[offset] = true
	return set
}
