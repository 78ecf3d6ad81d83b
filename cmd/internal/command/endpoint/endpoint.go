// Package endpoint has the commands for endpoints: to look at them, to work with
// their versions and traffic, to score, and to read keys and logs.
//
// Every command is built by a function and holds no state of its own.
package endpoint

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Command makes `fairlead endpoint`, which users of the old product also know as
// service.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:     "endpoint",
		Aliases: []string{"service"},
		Short:   "Look after endpoints, their versions and their traffic",
	}, list(s), show(s), createVersion(s), updateVersion(s), deleteVersion(s), update(s), remove(s),
		revisions(s), rollback(s),
		keys(s), regenerateKey(s), getToken(s), revokeTokens(s), logs(s), score(s), wait(s))
}

// Names lists the endpoints, for completion.
func Names(ctx context.Context, c *client.Client, parent string) ([]string, error) {
	endpoints, err := c.AllEndpoints(ctx, parent)
	out := make([]string, len(endpoints))
	for i, e := range endpoints {
		out[i] = resourcename.Last(e.GetName())
	}
	return out, err
}

// addName adds -n, and completes it and the argument.
func addName(s *session.Session, cmd *cobra.Command) {
	cmd.Flags().StringP("name", "n", "", "the endpoint")
	s.CompleteFlag(cmd, "name", Names)
	cmd.ValidArgsFunction = s.Complete(Names)
}

// completeVersions completes a flag with the versions of the endpoint that -n names.
func completeVersions(s *session.Session, cmd *cobra.Command, flag string) {
	s.CompleteFlag(cmd, flag, func(ctx context.Context, c *client.Client, parent string) ([]string, error) {
		name, err := cmd.Flags().GetString("name")
		if err != nil || name == "" {
			return nil, err
		}
		r, err := c.Endpoints.ListEndpointVersions(ctx, &deployv1.ListEndpointVersionsRequest{
			Parent: resourcename.Format(parent, "endpoints", name),
		})
		out := make([]string, len(r.GetVersions()))
		for i, v := range r.GetVersions() {
			out[i] = resourcename.Last(v.GetName())
		}
		return out, err
	})
}

// target is the endpoint that a command is about.
type target struct {
	id     string
	name   string
	client *client.Client
}

// find reads -n, or the argument.
func find(s *session.Session, cmd *cobra.Command, args []string) (target, error) {
	name, c, err := s.Find(cmd, "endpoints", "endpoint", args)
	return target{id: resourcename.Last(name), name: name, client: c}, err
}

func (t target) workspace() string {
	parent, _, _ := strings.Cut(t.name, "/endpoints/")
	return parent
}

func (t target) version(id string) string { return resourcename.Format(t.name, "versions", id) }

func list(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List endpoints",
		Example: "  fairlead endpoint list\n  fairlead endpoint list -o name",
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
		endpoints, err := c.AllEndpoints(ctx, parent)
		if err != nil {
			return err
		}
		return s.Print(listing(s, endpoints))
	})
	return cmd
}

func show(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show an endpoint with its versions, their traffic and what is wrong with them",
		Example: "  fairlead endpoint show -n diabetes\n  fairlead endpoint show -n diabetes -o json",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		e, err := t.client.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: t.name})
		if err != nil {
			return err
		}
		return s.Print(document(e))
	})
	return cmd
}
