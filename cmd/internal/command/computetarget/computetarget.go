// Package computetarget has the commands for compute targets: the clusters on
// which endpoints run.
//
// Every command is built by a function and holds no state of its own.
package computetarget

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
)

// Command makes `fairlead computetarget`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "computetarget",
		Short: "Create, attach and scale compute targets",
	}, list(s), show(s), create(s), attach(s), update(s), detach(s), remove(s), nodes(s), sizes(s))
}

// Names lists the compute targets, for completion.
func Names(ctx context.Context, c *client.Client, parent string) ([]string, error) {
	targets, err := c.AllComputeTargets(ctx, parent)
	out := make([]string, len(targets))
	for i, t := range targets {
		out[i] = resourcename.Last(t.GetName())
	}
	return out, err
}

func sizeNames(ctx context.Context, c *client.Client, _ string) ([]string, error) {
	r, err := c.ComputeTargets.ListNodeSizes(ctx, &computev1.ListNodeSizesRequest{})
	out := make([]string, len(r.GetNodeSizes()))
	for i, size := range r.GetNodeSizes() {
		out[i] = size.GetId()
	}
	return out, err
}

// target is the compute target that a command is about.
type target struct {
	id     string
	name   string
	client *client.Client
}

func addName(s *session.Session, cmd *cobra.Command) {
	cmd.Flags().StringP("name", "n", "", "the compute target")
	s.CompleteFlag(cmd, "name", Names)
	cmd.ValidArgsFunction = s.Complete(Names)
}

func find(s *session.Session, cmd *cobra.Command, args []string) (target, error) {
	name, c, err := s.Find(cmd, "computeTargets", "compute target", args)
	return target{id: resourcename.Last(name), name: name, client: c}, err
}

func (t target) parent() string {
	parent, _, _ := strings.Cut(t.name, "/computeTargets/")
	return parent
}

func (t target) get(ctx context.Context) (*computev1.ComputeTarget, error) {
	return t.client.ComputeTargets.GetComputeTarget(ctx, &computev1.GetComputeTargetRequest{Name: t.name})
}

func list(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List compute targets",
		Example: "  fairlead computetarget list",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		c, err := s.Client()
		if err != nil {
			return err
		}
		parent, err := s.Parent()
		if err != nil {
			return err
		}
		targets, err := c.AllComputeTargets(ctx, parent)
		if err != nil {
			return err
		}
		return s.Print(listing(s, targets))
	})
	return cmd
}

func show(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show a compute target",
		Example: "  fairlead computetarget show -n local",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		found, err := t.get(ctx)
		if err != nil {
			return err
		}
		return s.Print(document(found))
	})
	return cmd
}

func nodes(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "nodes [NAME]",
		Short:   "List the nodes of a compute target, what is used of them, and their accelerators",
		Example: "  fairlead computetarget nodes -n local",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		r, err := t.client.ComputeTargets.ListNodes(ctx, &computev1.ListNodesRequest{Parent: t.name})
		if err != nil {
			return err
		}
		return s.Print(nodeListing(r.GetNodes()))
	})
	return cmd
}

func sizes(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sizes",
		Short:   "List the node sizes that can be chosen",
		Example: "  fairlead computetarget sizes",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		c, err := s.Client()
		if err != nil {
			return err
		}
		r, err := c.ComputeTargets.ListNodeSizes(ctx, &computev1.ListNodeSizesRequest{})
		if err != nil {
			return err
		}
		return s.Print(sizeListing(r.GetNodeSizes()))
	})
	return cmd
}
