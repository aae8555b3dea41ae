// Command sponge is all of Sponge: a subcommand for each role, and `sponge up`
// for everything on this machine.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Up      upCommand      `cmd:"" help:"Run a whole cluster on this machine, with nothing to install first."`
	Edge    edgeCommand    `cmd:"" help:"Run an edge node, configured by SPONGE_* variables."`
	Worker  workerCommand  `cmd:"" help:"Run handler groups, configured by SPONGE_* variables."`
	Migrate migrateCommand `cmd:"" help:"Bring schema and topics up to date, configured by SPONGE_* variables."`
	Env     envCommand     `cmd:"" help:"List all SPONGE_* variables with their defaults."`
	Audit   auditCommand   `cmd:"" help:"Read the log of everything that clients sent."`
	Bench   benchCommand   `cmd:"" help:"Put load on edges and account for every message."`
	Keys    keysCommand    `cmd:"" help:"Make a new worker key and its seal key."`
	Secrets secretsCommand `cmd:"" help:"Make a folder with the keys and random passwords of a deployment, a file each."`
	Health  healthCommand  `cmd:"" help:"Ask the role on this machine whether it serves: exit status 0 if so."`

	Version kong.VersionFlag `help:"Print the version."`
}

func main() {
	var c commands
	parser := kong.Must(&c, kong.Name("sponge"), kong.UsageOnError(),
		kong.WithHyphenPrefixedParameters(true), // --from -1h
		kong.Vars{"version": buildVersion()},
		kong.Description("A clustered chat backend: edges hold connections, Kafka holds every frame, workers write MySQL."))
	command, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sponge:", err)
		os.Exit(1)
	}
}
