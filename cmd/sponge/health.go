package main

import (
	"context"

	"sponge/pkg/config"
	"sponge/pkg/telemetry"
)

// healthCommand is for images that have nothing else to ask with.
type healthCommand struct{}

// Help is the long help.
func (healthCommand) Help() string {
	return `Asks http://SPONGE_METRICS_LISTEN/healthz, at the loopback address where the
variable has no host, and waits 2 seconds at most. Exit status 0: the role
serves. 1: it starts (503), drains (404), or does not answer; why is written to
stderr.`
}

// Run asks.
func (healthCommand) Run(ctx context.Context) error {
	t, err := config.Load[telemetry.Config]()
	if err != nil {
		return err
	}
	return t.CheckHealth(ctx)
}
