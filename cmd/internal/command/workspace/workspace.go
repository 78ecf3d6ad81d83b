// Package workspace has the commands for workspaces, the rooms in which models,
// compute targets and endpoints live.
//
// Every command is built by a function and holds no state of its own.
package workspace

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// Command makes `fairlead workspace`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "workspace",
		Short: "Look after workspaces",
	}, list(s), show(s), create(s), update(s))
}

// Names lists the workspaces, for completion.
func Names(ctx context.Context, c *client.Client, _ string) ([]string, error) {
	workspaces, err := c.AllWorkspaces(ctx)
	out := make([]string, len(workspaces))
	for i, w := range workspaces {
		out[i] = resourcename.Last(w.GetName())
	}
	return out, err
}

func addName(s *session.Session, cmd *cobra.Command) {
	cmd.Flags().StringP("name", "n", "", "the workspace")
	s.CompleteFlag(cmd, "name", Names)
	cmd.ValidArgsFunction = s.Complete(Names)
}

// find reads -n, or the argument, and connects.
func find(s *session.Session, cmd *cobra.Command, args []string) (*client.Client, string, error) {
	id, err := session.One(cmd, "name", "workspace", args)
	if err != nil {
		return nil, "", err
	}
	c, err := s.Client()
	return c, resourcename.Format("workspaces", resourcename.Last(id)), err
}

func list(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List workspaces",
		Example: "  fairlead workspace list",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		c, err := s.Client()
		if err != nil {
			return err
		}
		workspaces, err := c.AllWorkspaces(ctx)
		if err != nil {
			return err
		}
		d := output.Document{List: make([]proto.Message, len(workspaces)), Names: make([]string, len(workspaces))}
		rows := make([][]string, len(workspaces))
		for i, w := range workspaces {
			d.List[i], d.Names[i] = w, resourcename.Last(w.GetName())
			rows[i] = []string{d.Names[i], output.Age(w.GetCreateTime(), s.Now()), output.OrDash(w.GetDescription())}
		}
		d.Text = func(t *output.Text) { t.Table([]string{"NAME", "AGE", "DESCRIPTION"}, rows) }
		return s.Print(d)
	})
	return cmd
}

func show(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show a workspace",
		Example: "  fairlead workspace show -n default",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		c, name, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		w, err := c.Workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: name})
		if err != nil {
			return err
		}
		return s.Print(document(w))
	})
	return cmd
}

func create(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Create a workspace",
		Example: "  fairlead workspace create -n team-a -d \"models of team A\"",
	}
	addName(s, cmd)
	description := cmd.Flags().StringP("description", "d", "", "for people")
	tags := cmd.Flags().StringArray("tag", nil, "label KEY=VALUE; repeat for more")
	validateOnly := cmd.Flags().Bool("validate-only", false, "check everything, create nothing")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		c, name, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		labels, err := session.Pairs(cmd, "tag", *tags)
		if err != nil {
			return err
		}
		w, err := c.Workspaces.CreateWorkspace(ctx, &authv1.CreateWorkspaceRequest{
			WorkspaceId: resourcename.Last(name), Workspace: &authv1.Workspace{Description: *description, Tags: labels},
			ValidateOnly: *validateOnly, RequestId: client.NewRequestID(),
		})
		if err != nil {
			return err
		}
		return s.Print(document(w))
	})
	return cmd
}

func update(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "update [NAME]",
		Short:   "Change a workspace's description and tags",
		Example: "  fairlead workspace update -n team-a --add-tag cost=42",
	}
	addName(s, cmd)
	description := cmd.Flags().StringP("description", "d", "", "for people")
	addTags := cmd.Flags().StringArray("add-tag", nil, "label KEY=VALUE; repeat for more")
	removeTags := cmd.Flags().StringArray("remove-tag", nil, "label KEY; repeat for more")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		c, name, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		labels, err := session.ReadLabels(cmd, *addTags, *removeTags, nil)
		if err != nil {
			return err
		}
		paths := labels.Mask()
		if cmd.Flags().Changed("description") {
			paths = append(paths, "description")
		}
		if len(paths) == 0 {
			return session.Usagef(cmd, "nothing to change: give --add-tag, --remove-tag or -d")
		}
		return session.OnConflict(func() error {
			now, err := c.Workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: name})
			if err != nil {
				return err
			}
			w, err := c.Workspaces.UpdateWorkspace(ctx, &authv1.UpdateWorkspaceRequest{
				Workspace: &authv1.Workspace{
					Name: name, Etag: now.GetEtag(), Description: *description, Tags: labels.Tags(now.GetTags()),
				},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
			})
			if err != nil {
				return err
			}
			return s.Print(document(w))
		})
	})
	return cmd
}

func document(w *authv1.Workspace) output.Document {
	return output.Document{
		Value: w,
		Names: []string{resourcename.Last(w.GetName())},
		Text: func(t *output.Text) {
			t.Facts(
				output.Fact{Name: "Workspace", Value: resourcename.Last(w.GetName())},
				output.Fact{Name: "Description", Value: w.GetDescription()},
				output.Fact{Name: "Tags", Value: output.Pairs(w.GetTags())},
				output.Fact{Name: "Created", Value: output.Time(w.GetCreateTime())},
			)
		},
	}
}
