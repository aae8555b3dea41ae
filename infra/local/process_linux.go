package local

import "syscall"

// childAttr puts a child into a process group of its own, so that Ctrl-C at
// the terminal reaches only us, and ties it to the thread that starts it.
func childAttr(deathSignal syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: deathSignal}
}
