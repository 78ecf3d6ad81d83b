// Package apply has the commands for configuration that says what is to be:
// `fairlead apply` and `fairlead diff`.
//
// Every command is built by a function and holds no state of its own.
package apply

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/plan"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
)

const applyLong = `Makes endpoints be as files say: creates what is missing, changes what differs,
and leaves alone what is so already. What a file does not give has its default.

New and changed versions answer before traffic moves to them. A version that the
file does not have stays, unless --prune is given. Everything that is wrong, in
all files, is told at once, and then nothing is changed.`

// Command makes `fairlead apply`.
func Command(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "apply",
		Short:   "Make endpoints be as files say",
		Long:    applyLong,
		Example: "  fairlead apply -f endpoint.yaml --dry-run\n  fairlead apply -f endpoint.yaml\n  fairlead apply -f folder/ --prune",
		Args:    session.NoArgs,
	}
	fs := cmd.Flags()
	files := addFiles(cmd)
	dryRun := fs.Bool("dry-run", false, "check everything and show what would change, change nothing")
	noWait := fs.Bool("no-wait", false, "do not wait for the last change of each endpoint")
	wait := fs.Bool("wait", false, "while another operation changes an endpoint, wait for it first")
	prune := fs.Bool("prune", false, "delete versions that the files do not have")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		all, err := prepare(ctx, s, cmd, *files, *prune)
		if err != nil {
			return err
		}
		if *dryRun {
			return s.Print(document(all, false))
		}
		run := runner{session: s, wait: *wait, noWait: *noWait}
		for _, t := range all {
			if err := run.apply(ctx, t); err != nil {
				return err
			}
		}
		return s.Print(document(all, true))
	})
	return cmd
}

// Diff makes `fairlead diff`.
func Diff(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "diff",
		Short:   "Show how endpoints differ from what files say",
		Long:    "Shows what `fairlead apply` would change. Exit code 0 when there is nothing to change, 1 when there is, 2 and more for trouble.",
		Example: "  fairlead diff -f endpoint.yaml",
		Args:    session.NoArgs,
	}
	files := addFiles(cmd)
	prune := cmd.Flags().Bool("prune", false, "versions that the files do not have would be deleted")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		all, err := prepare(ctx, s, cmd, *files, *prune)
		if err != nil {
			return trouble(s, err)
		}
		if err := s.Print(document(all, false)); err != nil {
			return trouble(s, err)
		}
		for _, t := range all {
			if t.plan.Changes() {
				return failure.Quiet(failure.Error)
			}
		}
		return nil
	})
	return cmd
}

// trouble keeps failures apart from differences, which have exit code 1.
func trouble(s *session.Session, err error) error {
	f := *failure.From(err, s.Connection())
	if f.Code == failure.Error {
		f.Code = failure.Usage
	}
	return &f
}

func addFiles(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringArrayP("filename", "f", nil, "`FILE`, - for standard input, or a folder with *.yaml and *.yml; repeat for more")
}

// target is one endpoint with what there is to do.
type target struct {
	place  string // where it is described
	name   string // resource name
	parent string
	wanted plan.Wanted
	plan   plan.Plan
	files  []upload.File
	notes  []string // what to know before they are sent
}
