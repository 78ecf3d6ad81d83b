// Package command is the command line of Fairlead: the root command, the words
// that every command shares, and what becomes of errors.
//
// The program builds the root with Root, adds its own commands, and runs it with
// Execute, which gives the exit code. Nothing here exits or holds global state.
package command

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead/fairlead/cmd/internal/command/apply"
	"github.com/fairlead/fairlead/cmd/internal/command/auth"
	"github.com/fairlead/fairlead/cmd/internal/command/backup"
	"github.com/fairlead/fairlead/cmd/internal/command/computetarget"
	"github.com/fairlead/fairlead/cmd/internal/command/config"
	"github.com/fairlead/fairlead/cmd/internal/command/doctor"
	"github.com/fairlead/fairlead/cmd/internal/command/endpoint"
	"github.com/fairlead/fairlead/cmd/internal/command/environment"
	"github.com/fairlead/fairlead/cmd/internal/command/events"
	"github.com/fairlead/fairlead/cmd/internal/command/model"
	"github.com/fairlead/fairlead/cmd/internal/command/operation"
	"github.com/fairlead/fairlead/cmd/internal/command/score"
	"github.com/fairlead/fairlead/cmd/internal/command/telemetry"
	"github.com/fairlead/fairlead/cmd/internal/command/transfer"
	"github.com/fairlead/fairlead/cmd/internal/command/workspace"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
)

const rootLong = `Fairlead puts trained models into service: register a model, deploy it behind an
endpoint, score it, and split the traffic among versions.

Data goes to stdout, all else to stderr. Exit codes: 0 done, 1 error, 2 wrong
usage or cancelled, 3 not found or not possible now, 4 needs authentication,
8 goes on (operation show --exit-status), 124 --timeout is over.`

const rootExample = `  fairlead up
  fairlead model register -n diabetes -p model.pkl
  fairlead model deploy -n diabetes -m diabetes:1 --es score.py
  fairlead endpoint run -n diabetes -d @request.json`

// Root makes the root command.
func Root(deps session.Deps) *cobra.Command {
	s := session.New(deps)
	root := session.Group(&cobra.Command{
		Use:           "fairlead",
		Short:         "Put trained models into service",
		Long:          rootLong,
		Example:       rootExample,
		Version:       deps.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	},
		model.Command(s), endpoint.Command(s), environment.Command(s), computetarget.Command(s), workspace.Command(s), auth.Command(s),
		operation.Command(s), score.Command(s), apply.Command(s), apply.Diff(s), events.Command(s), telemetry.Command(s), backup.Command(s), backup.Restore(s), transfer.Export(s), transfer.Import(s), config.Command(s), doctor.Command(s), versionCommand(s))
	s.BindFlags(root.PersistentFlags())
	root.SetIn(deps.Streams.In)
	root.SetOut(deps.Streams.Out)
	root.SetErr(deps.Streams.Err)
	root.SetVersionTemplate("fairlead {{.Version}}\n")
	root.SetGlobalNormalizationFunc(longNames)
	root.SetFlagErrorFunc(session.FlagError)
	s.CompleteFlag(root, "workspace", workspace.Names)
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(output.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return root
}

// Execute runs a command line and gives the exit code. What went wrong is on
// stderr.
func Execute(ctx context.Context, root *cobra.Command, deps session.Deps, args []string) int {
	root.SetArgs(oldFlags(args))
	err := root.ExecuteContext(ctx)
	return report(root, deps, err)
}

func versionCommand(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Example: "  fairlead version",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(context.Context, []string) error {
		return s.Print(output.Document{
			Value: map[string]string{"version": s.Version},
			Names: []string{s.Version},
			Text:  func(t *output.Text) { t.Linef("fairlead %s", s.Version) },
		})
	})
	return cmd
}

// longNames lets a flag be given by the long name that the old command line had
// for it.
func longNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "asset-path":
		name = "model-path"
	case "input-data":
		name = "data"
	}
	for _, f := range legacyFlags() {
		if f.long == name {
			name = f.short
		}
	}
	return pflag.NormalizedName(name)
}
