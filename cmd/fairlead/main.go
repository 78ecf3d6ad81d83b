// Command fairlead is the whole of Fairlead: the services, together or one by
// one, the scorer that runs in a replica, and the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairlead/fairlead/scorer"
)

// version is set when a release is linked.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run gives the exit code. The scorer is looked for first, so that a replica
// carries nothing of the rest.
func run(ctx context.Context, args []string) int {
	if len(args) > 0 && args[0] == scorerCommand {
		return runScorer(ctx, args[1:])
	}
	return runCommandLine(ctx, args)
}

// scorerCommand starts a scorer; it is what compute's local driver runs.
const scorerCommand = "scorer"

func runScorer(ctx context.Context, args []string) int {
	cfg, err := scorer.ParseFlags(args, os.Getenv, os.Stderr)
	if err == nil {
		err = scorer.Run(ctx, cfg, scorer.Deps{Version: version})
	}
	return scorer.ExitCode(err)
}
