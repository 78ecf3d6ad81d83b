// Package environment has the commands for environments: to register what a
// script needs, and to look at it and delete it.
//
// Every command is built by a function and holds no state of its own.
package environment

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Command makes `fairlead environment`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "environment",
		Short: "Register what scripts need: packages, variables, an image",
	}, register(s), list(s), show(s), remove(s))
}

// Names lists the environments without versions.
func Names(ctx context.Context, c *client.Client, parent string) ([]string, error) {
	found, err := c.AllEnvironments(ctx, parent)
	return words(found, (*deployv1.EnvironmentVersion).GetEnvironment), err
}

func words(found []*deployv1.EnvironmentVersion, word func(*deployv1.EnvironmentVersion) string) []string {
	out := make([]string, len(found))
	for i, e := range found {
		out[i] = word(e)
	}
	return out
}

func list(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List environments, or the versions of one",
		Example: "  fairlead environment list\n  fairlead environment list -n sklearn-env",
		Args:    session.NoArgs,
	}
	name := cmd.Flags().StringP("name", "n", "", "list the versions of this environment")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		c, err := s.Client()
		if err != nil {
			return err
		}
		found, err := find(ctx, s, c, *name)
		if err != nil {
			return err
		}
		return s.Print(listing(s, found))
	})
	s.CompleteFlag(cmd, "name", Names)
	return cmd
}

func find(ctx context.Context, s *session.Session, c *client.Client, name string) ([]*deployv1.EnvironmentVersion, error) {
	if name == "" {
		parent, err := s.Parent()
		if err != nil {
			return nil, err
		}
		return c.AllEnvironments(ctx, parent)
	}
	parent, err := s.Name("environments", name)
	if err != nil {
		return nil, err
	}
	return c.AllEnvironmentVersions(ctx, parent)
}

func listing(s *session.Session, found []*deployv1.EnvironmentVersion) output.Document {
	messages := make([]proto.Message, len(found))
	rows := make([][]string, len(found))
	for i, e := range found {
		messages[i] = e
		p := e.GetPython()
		rows[i] = []string{
			e.GetEnvironment(), strconv.FormatInt(e.GetVersion(), 10),
			strconv.Itoa(len(p.GetCondaDependencies()) + len(p.GetPipRequirements())),
			output.OrDash(image(e)), output.Age(e.GetCreateTime(), s.Now()), output.OrDash(output.Pairs(e.GetTags())),
		}
	}
	return output.Document{
		List:  messages,
		Names: words(found, (*deployv1.EnvironmentVersion).GetId),
		Text: func(t *output.Text) {
			if len(rows) == 0 {
				t.Linef("no environments; register one:  fairlead environment register -n NAME -f conda.yml")
				return
			}
			t.Table([]string{"NAME", "VERSION", "PACKAGES", "IMAGE", "AGE", "TAGS"}, rows)
		},
	}
}

func image(e *deployv1.EnvironmentVersion) string {
	if e.GetDocker().GetBaseDockerfile() != "" {
		return "Dockerfile"
	}
	return e.GetDocker().GetBaseImage()
}

func show(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show [NAME[:VERSION]]",
		Short:             "Show a version of an environment",
		Example:           "  fairlead environment show -n sklearn-env            # its newest version\n  fairlead environment show sklearn-env:2",
		ValidArgsFunction: s.Complete(Names),
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		e, err := get(ctx, s, cmd, args)
		if err != nil {
			return err
		}
		return s.Print(one(e))
	})
	return cmd
}

func remove(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "delete [NAME:VERSION]",
		Short:             "Delete a version of an environment that no endpoint uses",
		Example:           "  fairlead environment delete sklearn-env:1",
		ValidArgsFunction: s.Complete(Names),
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		e, err := get(ctx, s, cmd, args)
		if err != nil {
			return err
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		if _, err := c.Environments.DeleteEnvironmentVersion(ctx, &deployv1.DeleteEnvironmentVersionRequest{Name: e.GetName()}); err != nil {
			return err
		}
		s.Notef("deleted %s", e.GetId())
		return nil
	})
	return cmd
}

// addName adds the flags that name a version.
func addName(s *session.Session, cmd *cobra.Command) {
	cmd.Flags().StringP("name", "n", "", "the environment, as name or name:version")
	cmd.Flags().String("version", "", "with -n: the version; default the newest")
	s.CompleteFlag(cmd, "name", Names)
}

func get(ctx context.Context, s *session.Session, cmd *cobra.Command, args []string) (*deployv1.EnvironmentVersion, error) {
	id, err := session.One(cmd, "name", "environment", args)
	if err != nil {
		return nil, err
	}
	version, err := cmd.Flags().GetString("version")
	if err != nil {
		return nil, err
	}
	name, number, versioned := strings.Cut(id, ":")
	switch {
	case versioned && version != "":
		return nil, session.Usagef(cmd, "give the version once: in %s or by --version", id)
	case versioned:
		version = number
	case version == "":
		version = "latest"
	}
	parent, err := s.Name("environments", name)
	if err != nil {
		return nil, err
	}
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	return c.Environments.GetEnvironmentVersion(ctx, &deployv1.GetEnvironmentVersionRequest{Name: resourcename.Format(parent, "versions", version)})
}

func one(e *deployv1.EnvironmentVersion) output.Document {
	return output.Document{
		Value: e,
		Names: []string{e.GetId()},
		Text: func(t *output.Text) {
			p, d := e.GetPython(), e.GetDocker()
			packages := ""
			if p.GetUserManaged() {
				packages = "those of the node or image, as they are"
			}
			t.Facts(
				output.Fact{Name: "Environment", Value: e.GetId()},
				output.Fact{Name: "Description", Value: e.GetDescription()},
				output.Fact{Name: "Tags", Value: output.Pairs(e.GetTags())},
				output.Fact{Name: "Variables", Value: output.Pairs(e.GetEnvironmentVariables())},
				output.Fact{Name: "Interpreter", Value: p.GetInterpreterPath()},
				output.Fact{Name: "Packages", Value: packages},
				output.Fact{Name: "Channels", Value: strings.Join(p.GetCondaChannels(), ", ")},
				output.Fact{Name: "Image", Value: image(e)},
				output.Fact{Name: "Registry", Value: d.GetRegistry().GetAddress()},
				output.Fact{Name: "Shared memory", Value: d.GetShmSize()},
				output.Fact{Name: "Digest", Value: e.GetDigest()},
				output.Fact{Name: "Created", Value: strings.TrimSpace(output.Time(e.GetCreateTime()) + by(e.GetCreatedBy()))},
			)
			var rows [][]string
			for _, text := range p.GetCondaDependencies() {
				rows = append(rows, []string{"conda", text})
			}
			for _, text := range p.GetPipRequirements() {
				rows = append(rows, []string{"pip", text})
			}
			if len(rows) > 0 {
				t.Blank()
				t.Table([]string{"FROM", "PACKAGE"}, rows)
			}
			for _, notice := range e.GetNotices() {
				t.Linef("note: %s", output.Clean(notice))
			}
		},
	}
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}
