//go:build unix && !linux

package main

import "syscall"

// childAttr keeps Ctrl-C at the terminal from a child.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
