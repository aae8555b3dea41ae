package load

// spread deals items out evenly: the first targets may get one more than the
// others. Target after target, the items are counted through.
type spread struct{ items, targets int64 }

// count is how many items a target gets.
func (s spread) count(target int64) int64 {
	n := s.items / s.targets
	if target < s.items%s.targets {
		n++
	}
	return n
}

// locate finds the target that an item goes to, and which of its items it is,
// from 1.
func (s spread) locate(item int64) (target, n int64) {
	each, more := s.items/s.targets, s.items%s.targets
	if item < more*(each+1) {
		return item / (each + 1), item%(each+1) + 1
	}
	item -= more * (each + 1)
	return more + item/each, item%each + 1
}
