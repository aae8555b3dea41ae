package main

import "syscall"

// childAttr keeps Ctrl-C at the terminal from a child, and kills it when the
// thread that started it ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
