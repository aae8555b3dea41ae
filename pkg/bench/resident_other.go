//go:build !linux

package bench

import "errors"

// resident needs /proc.
func resident(int) (int64, error) { return 0, errors.New("memory of a process: only known on Linux") }
