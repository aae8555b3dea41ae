package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// SIGUSR1 sets the wall clock an hour ahead, SIGUSR2 sets it right. A line on
// stderr says that it has jumped, by how much, and what the monotonic clock
// makes of it.
func init() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() { // for the process's life
		for s := range signals {
			ahead := time.Duration(0)
			if s == syscall.SIGUSR1 {
				ahead = time.Hour
			}
			before := time.Now()
			time.SetWallAhead(ahead)
			after := time.Now()
			slog.New(slog.NewTextHandler(os.Stderr, nil)).Info("wall clock set",
				"ahead", ahead, "jumped", after.Round(0).Sub(before.Round(0)), "elapsed", after.Sub(before), "since", time.Since(before), "until", -time.Until(before))
		}
	}()
}
