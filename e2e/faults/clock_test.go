package faults

import "path/filepath"

// clockEdits make the wall clock settable: SIGUSR1 sets it an hour ahead,
// SIGUSR2 sets it right. The monotonic clock, and with it every timer, goes on
// as it was.
func clockEdits() []edit {
	return []edit{
		{file: "cmd/sponge/clock.go", add: filepath.Join("testdata", "clock.go")},
		{
			file: "GOROOT/src/time/time.go",
			old:  "\t\"math/bits\"\n\t_ \"unsafe\" // for go:linkname\n)\n",
			new: `	"math/bits"
	"sync/atomic"
	_ "unsafe" // for go:linkname
)

// wallAhead is how many seconds Now is ahead of the wall clock.
var wallAhead atomic.Int64

// SetWallAhead sets how far Now is ahead of the wall clock, in whole seconds.
func SetWallAhead(d Duration) { wallAhead.Store(int64(d / Second)) }
`,
		},
		{
			file: "GOROOT/src/time/time.go",
			old:  "\tsec, nsec, mono := runtimeNow()\n",
			new:  "\tsec, nsec, mono := runtimeNow()\n\tsec += wallAhead.Load()\n",
		},
	}
}
