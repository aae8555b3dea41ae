package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// precisely lets f sleep to some microseconds: on a thread of its own, whose
// timers the kernel does not round. The runtime's timers wake up to a
// millisecond late when nothing else goes on.
func precisely(f func(sleep func(time.Duration))) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	const oneNanosecond = 1
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, oneNanosecond, 0, 0, 0) // else 50 µs late
	f(func(d time.Duration) {
		t := unix.NsecToTimespec(int64(d))
		for unix.Nanosleep(&t, &t) == unix.EINTR {
			continue
		}
	})
}
