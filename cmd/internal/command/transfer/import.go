package transfer

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/archive"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
)

const importLong = `Brings what "fairlead export" wrote into this installation. What is missing is
created; endpoints are made as they were, as "fairlead apply" does it; workspaces,
compute targets, models and environments that are there already stay as they are.
A second import changes nothing, and one that was cut off goes on.

Models and environments keep their version numbers where those are free; where
not, they get others, endpoints use those, and the summary says so.

Everything is checked first, and everything that is wrong is told at once. What
is in a workspace that does not exist is checked when that has been created.`

// Import makes `fairlead import`.
func Import(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import FOLDER",
		Short:   "Bring in what another installation exported",
		Long:    importLong,
		Example: "  fairlead import diabetes/ --dry-run\n  fairlead import diabetes/\n  fairlead import diabetes/ --workspace team-b",
	}
	dryRun := cmd.Flags().Bool("dry-run", false, "check everything and show what would change, change nothing")
	noWait := cmd.Flags().Bool("no-wait", false, "do not wait for the last change of each endpoint")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		if len(args) != 1 {
			return session.Usagef(cmd, "say which FOLDER, one")
		}
		workspaces, bad, err := archive.Read(ctx, args[0])
		if err != nil {
			return failure.New(failure.Error, "%v", err)
		}
		if flag := cmd.Flag("workspace"); flag != nil && flag.Changed && len(workspaces) > 0 {
			if len(workspaces) > 1 {
				return session.Usagef(cmd, "--workspace is for an export of one workspace; %s holds %d", args[0], len(workspaces))
			}
			workspaces[0].ID = resourcename.Last(flag.Value.String())
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		i := &importer{session: s, client: c, noWait: *noWait}
		all, err := i.prepare(ctx, workspaces, bad)
		if err != nil {
			return err
		}
		if *dryRun {
			return s.Print(summary(all, false))
		}
		for _, w := range all {
			if err := i.carryOut(ctx, w); err != nil {
				return err
			}
		}
		return s.Print(summary(all, true))
	})
	return cmd
}

// prepare checks everything and works out what there is to do.
func (i *importer) prepare(ctx context.Context, workspaces []archive.Workspace, bad apierr.Violations) ([]*work, error) {
	all := make([]*work, 0, len(workspaces))
	for _, one := range workspaces {
		w, found, err := i.plan(ctx, one)
		if err != nil {
			return nil, err
		}
		bad = append(bad, found...)
		all = append(all, w)
	}
	if len(bad) > 0 {
		return nil, wrong(bad)
	}
	return all, nil
}
