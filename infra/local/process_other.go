//go:build unix && !linux

package local

import "syscall"

// childAttr puts a child into a process group of its own, so that Ctrl-C at
// the terminal reaches only us. Only Linux can tie a child's life to ours:
// elsewhere a killed parent leaves its servers behind, and the lock that they
// inherit makes the next start say so.
func childAttr(syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
