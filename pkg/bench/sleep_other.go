//go:build !linux

package bench

import "time"

// precisely gives f the best sleep there is.
func precisely(f func(sleep func(time.Duration))) { f(time.Sleep) }
