package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/command"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/services/compute"
)

func runCommandLine(ctx context.Context, args []string) int {
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	deps := session.Deps{
		Streams:      streams(),
		Getenv:       os.Getenv,
		HomeDir:      home,
		Version:      version,
		Now:          time.Now,
		ChoosePython: choosePython,
	}
	dataDir := os.Getenv("FAIRLEAD_DATA_DIR")
	if dataDir == "" {
		dataDir = filepath.Join(home, ".local", "share", "fairlead")
	}
	root := command.Root(deps)
	root.AddCommand(upCommand(dataDir), serveCommand(dataDir), certsCommand(), envCommand(dataDir))
	return command.Execute(ctx, root, deps, args)
}

func streams() session.Streams {
	return session.Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		OutTerminal: terminal(os.Stdout), ErrTerminal: terminal(os.Stderr),
	}
}

func terminal(f io.Writer) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// choosePython says, for the doctor, what entry scripts will run with.
func choosePython(ctx context.Context) (string, error) {
	python, err := compute.ChoosePython(ctx, os.Getenv("FAIRLEAD_PYTHON"))
	if err != nil {
		return "", err
	}
	text := python.Path + ", Python " + python.Version
	if len(python.Packages) > 0 {
		text += ", with " + strings.Join(python.Packages, ", ")
	}
	return text, nil
}
