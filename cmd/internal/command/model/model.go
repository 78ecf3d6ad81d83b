// Package model has the commands for models: to register them, look at them,
// fetch them back and deploy them.
//
// Every command is built by a function and holds no state of its own.
package model

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

// Command makes `fairlead model`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "model",
		Short: "Register models and deploy them",
	}, register(s), list(s), versions(s), show(s), download(s), update(s), remove(s), deploy(s), packageCommand(s), profileCommand(s))
}

// IDs lists the models as model:version, newest version each.
func IDs(ctx context.Context, c *client.Client, parent string) ([]string, error) {
	models, err := c.AllModels(ctx, parent)
	return names(models, (*deployv1.ModelVersion).GetId), err
}

// Names lists the models without versions.
func Names(ctx context.Context, c *client.Client, parent string) ([]string, error) {
	models, err := c.AllModels(ctx, parent)
	return names(models, (*deployv1.ModelVersion).GetModel), err
}

func names(models []*deployv1.ModelVersion, word func(*deployv1.ModelVersion) string) []string {
	out := make([]string, len(models))
	for i, m := range models {
		out[i] = word(m)
	}
	return out
}

// resourceName gives the name of a version from "model:version" or "model",
// whose newest version is meant.
func resourceName(s *session.Session, id string) (string, error) {
	if strings.HasPrefix(id, "workspaces/") {
		return id, nil
	}
	model, version, ok := strings.Cut(id, ":")
	if !ok {
		version = "latest"
	}
	name, err := s.Name("models", model)
	return resourcename.Format(name, "versions", version), err
}

func list(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List models, or the versions of one",
		Example: "  fairlead model list\n  fairlead model list -n diabetes -o json",
		Args:    session.NoArgs,
	}
	name := cmd.Flags().StringP("name", "n", "", "list the versions of this model")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if *name != "" {
			return printVersions(ctx, s, *name)
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		parent, err := s.Parent()
		if err != nil {
			return err
		}
		models, err := c.AllModels(ctx, parent)
		if err != nil {
			return err
		}
		return s.Print(listing(s, models))
	})
	s.CompleteFlag(cmd, "name", Names)
	return cmd
}

func versions(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "versions NAME",
		Short:             "List the versions of a model, newest first",
		Example:           "  fairlead model versions diabetes",
		ValidArgsFunction: s.Complete(Names),
	}
	cmd.Flags().StringP("name", "n", "", "the model")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		name, err := session.One(cmd, "name", "model", args)
		if err != nil {
			return err
		}
		return printVersions(ctx, s, name)
	})
	s.CompleteFlag(cmd, "name", Names)
	return cmd
}

func printVersions(ctx context.Context, s *session.Session, model string) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	name, err := s.Name("models", model)
	if err != nil {
		return err
	}
	found, err := c.AllModelVersions(ctx, name)
	if err != nil {
		return err
	}
	return s.Print(listing(s, found))
}

func listing(s *session.Session, models []*deployv1.ModelVersion) output.Document {
	messages := make([]proto.Message, len(models))
	rows := make([][]string, len(models))
	for i, m := range models {
		messages[i] = m
		rows[i] = []string{
			m.GetModel(), strconv.FormatInt(m.GetVersion(), 10), output.OrDash(m.GetFramework()),
			output.Bytes(m.GetSizeBytes()), strconv.Itoa(len(m.GetFiles())), output.Age(m.GetCreateTime(), s.Now()),
			output.OrDash(output.Pairs(m.GetTags())),
		}
	}
	return output.Document{
		List:  messages,
		Names: names(models, (*deployv1.ModelVersion).GetId),
		Text: func(t *output.Text) {
			if len(rows) == 0 {
				t.Linef("no models; register one:  fairlead model register -n NAME -p FILE")
				return
			}
			t.Table([]string{"NAME", "VERSION", "FRAMEWORK", "SIZE", "FILES", "AGE", "TAGS"}, rows)
		},
	}
}

func show(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show [NAME:VERSION]",
		Short:             "Show a version of a model",
		Example:           "  fairlead model show -i diabetes:2\n  fairlead model show -n diabetes            # its newest version",
		ValidArgsFunction: s.Complete(IDs),
	}
	id := addID(cmd, s)
	name := cmd.Flags().StringP("name", "n", "", "the model")
	version := cmd.Flags().String("version", "", "with -n: the version; default the newest")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		if *name != "" {
			if *id != "" || len(args) > 0 {
				return session.Usagef(cmd, "give -i or -n, not both")
			}
			args = []string{*name}
			if *version != "" {
				args[0] += ":" + *version
			}
		}
		m, err := get(ctx, s, cmd, args)
		if err != nil {
			return err
		}
		return s.Print(one(m))
	})
	s.CompleteFlag(cmd, "name", Names)
	return cmd
}

// addID adds -i, which the old command line has wherever one version is meant.
func addID(cmd *cobra.Command, s *session.Session) *string {
	id := cmd.Flags().StringP("model-id", "i", "", "the version, as name:version")
	s.CompleteFlag(cmd, "model-id", IDs)
	return id
}

// get reads the version that -i or the argument names.
func get(ctx context.Context, s *session.Session, cmd *cobra.Command, args []string) (*deployv1.ModelVersion, error) {
	id, err := session.One(cmd, "model-id", "model", args)
	if err != nil {
		return nil, err
	}
	name, err := resourceName(s, id)
	if err != nil {
		return nil, err
	}
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	return c.Models.GetModelVersion(ctx, &deployv1.GetModelVersionRequest{Name: name})
}

func one(m *deployv1.ModelVersion) output.Document {
	return output.Document{
		Value: m,
		Names: []string{m.GetId()},
		Text: func(t *output.Text) {
			framework := strings.TrimSpace(m.GetFramework() + " " + m.GetFrameworkVersion())
			t.Facts(
				output.Fact{Name: "Model", Value: m.GetId()},
				output.Fact{Name: "Description", Value: m.GetDescription()},
				output.Fact{Name: "Framework", Value: framework},
				output.Fact{Name: "Tags", Value: output.Pairs(m.GetTags())},
				output.Fact{Name: "Properties", Value: output.Pairs(m.GetProperties())},
				output.Fact{Name: "Digest", Value: m.GetDigest()},
				output.Fact{Name: "Created", Value: strings.TrimSpace(output.Time(m.GetCreateTime()) + by(m.GetCreatedBy()))},
				output.Fact{Name: "Size", Value: output.Bytes(m.GetSizeBytes())},
			)
			t.Blank()
			rows := make([][]string, len(m.GetFiles()))
			for i, f := range m.GetFiles() {
				rows[i] = []string{f.GetPath(), output.Bytes(f.GetSizeBytes())}
			}
			t.Table([]string{"FILE", "SIZE"}, rows)
		},
	}
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}
