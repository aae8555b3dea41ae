//go:build !linux

package main

import "os"

// terminalWidth is how many columns a terminal has, 0 where that is not known.
func terminalWidth(*os.File) int { return 0 }
