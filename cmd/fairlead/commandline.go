package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/assembly"
	"github.com/fairlead/fairlead/cmd/internal/command"
	"github.com/fairlead/fairlead/cmd/internal/session"
)

func runCommandLine(ctx context.Context, args []string) int {
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	deps := session.Deps{
		Streams: session.SystemStreams(),
		Getenv:  os.Getenv,
		HomeDir: home,
		Version: version,
		Now:     time.Now,
		ChoosePython: func(ctx context.Context) (string, error) {
			return assembly.DescribePython(ctx, os.Getenv("FAIRLEAD_PYTHON"))
		},
		PythonPath: func(ctx context.Context) (string, error) {
			return assembly.PythonPath(ctx, os.Getenv("FAIRLEAD_PYTHON"))
		},
	}
	dataDir := os.Getenv("FAIRLEAD_DATA_DIR")
	if dataDir == "" {
		dataDir = filepath.Join(home, ".local", "share", "fairlead")
	}
	root := command.Root(deps)
	root.AddCommand(upCommand(dataDir), serveCommand(dataDir), certsCommand(), envCommand(dataDir))
	return command.Execute(ctx, root, deps, args)
}
