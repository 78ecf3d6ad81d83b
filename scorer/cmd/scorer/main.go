// Command scorer runs one scorer on its own. In the product the same runs as a subcommand of the one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairlead/fairlead/scorer"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	// Whoever reads the output may end before the scorer does.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	cfg, err := scorer.ParseFlags(args, os.Getenv, os.Stderr)
	if err == nil {
		err = scorer.Run(ctx, cfg, scorer.Deps{})
	}
	return scorer.ExitCode(err)
}
