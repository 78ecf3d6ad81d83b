package command

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
)

// report shows an error and gives the exit code.
func report(root *cobra.Command, deps session.Deps, err error) int {
	if err == nil {
		return int(failure.OK)
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
		return int(failure.Error) // whoever read the output has left; nobody reads more
	}
	f := failure.From(err, failure.Connection{})
	if strings.HasPrefix(f.Message, "required flag(s)") || strings.HasPrefix(f.Message, "unknown command") {
		f = failure.New(failure.Usage, "%s", f.Message)
	}
	noColor, _ := root.PersistentFlags().GetBool("no-color") // root has it
	colour := deps.Streams.ErrTerminal && !noColor && deps.Getenv("NO_COLOR") == "" && deps.Getenv("TERM") != "dumb"
	f.Write(deps.Streams.Err, output.Paint(colour).Red)
	return int(f.Code)
}
