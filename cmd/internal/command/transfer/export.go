// Package transfer has the commands that take what an installation holds to
// another one: `fairlead export` and `fairlead import`.
//
// They go through the control plane only, as every client does. Every command is
// built by a function and holds no state of its own.
package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/archive"
	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/progress"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// localTarget is there in every workspace, and is what its machine makes it.
const localTarget = "local"

const exportLong = `Writes what a workspace holds into a folder of files that people and version
control can read: compute targets, models with their files, environments, and
endpoints with their sources as "fairlead apply" reads them. "fairlead import"
brings them into another installation. The same state gives the same files.

Who may do what, telemetry and events are not in it: for a copy of a whole
installation, see "fairlead backup". Keys are in it only with --with-keys.`

// Export makes `fairlead export`.
func Export(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Write models, environments and endpoints into a folder",
		Long:    exportLong,
		Example: "  fairlead export -o diabetes/\n  fairlead export -o all/ --all-workspaces --with-keys",
		Args:    session.NoArgs,
	}
	fs := cmd.Flags()
	dir := fs.StringP("output", "o", "", "`FOLDER` to write; it must be absent or empty")
	overwrite := fs.Bool("overwrite", false, "replace an earlier export")
	all := fs.Bool("all-workspaces", false, "export every workspace that you have a role in")
	withKeys := fs.Bool("with-keys", false, "write the keys of endpoints too, in clear")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if err := session.Required(cmd, "output"); err != nil {
			return err
		}
		if *all && cmd.Flags().Changed("workspace") {
			return session.Usagef(cmd, "give --workspace or --all-workspaces, not both")
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		w, err := archive.Create(*dir, *overwrite)
		if err != nil {
			return failure.New(failure.Error, "-o: %v", err)
		}
		defer w.Abandon()
		display := s.Progress("Exporting into " + *dir)
		x := &exporter{client: c, to: w, session: s, display: display, withKeys: *withKeys}
		counts, err := x.export(ctx, *all)
		if err == nil {
			err = w.Finish()
		}
		display.End(err == nil)
		if err != nil {
			return err
		}
		return s.Print(exported(*dir, counts, *withKeys))
	})
	return cmd
}

type exporter struct {
	client   *client.Client
	to       *archive.Writer
	session  *session.Session
	display  *progress.Display
	withKeys bool
}

// count is how much there is of a workspace.
type count struct {
	Workspace      string `json:"workspace"`
	ComputeTargets int    `json:"compute_targets"`
	Models         int    `json:"models"` // versions
	Environments   int    `json:"environments"`
	Endpoints      int    `json:"endpoints"`
}

func (x *exporter) export(ctx context.Context, all bool) ([]count, error) {
	var workspaces []*authv1.Workspace
	if all {
		found, err := x.client.AllWorkspaces(ctx)
		if err != nil {
			return nil, err
		}
		workspaces = found
	} else {
		parent, err := x.session.Parent()
		if err != nil {
			return nil, err
		}
		one, err := x.client.Workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: parent})
		if err != nil {
			return nil, err
		}
		workspaces = []*authv1.Workspace{one}
	}
	counts := make([]count, 0, len(workspaces))
	for _, w := range workspaces {
		n, err := x.workspace(ctx, w)
		if err != nil {
			return nil, err
		}
		counts = append(counts, n)
	}
	return counts, nil
}

func (x *exporter) workspace(ctx context.Context, w *authv1.Workspace) (count, error) {
	parent, id := w.GetName(), resourcename.Last(w.GetName())
	out := archive.Workspace{ID: id, Description: w.GetDescription(), Tags: w.GetTags()}
	targets, err := x.client.AllComputeTargets(ctx, parent)
	if err != nil {
		return count{}, err
	}
	for _, t := range targets {
		if name := resourcename.Last(t.GetName()); name != localTarget {
			out.Targets = append(out.Targets, archive.TargetOf(name, t))
		}
	}
	if err := x.to.Workspace(out); err != nil {
		return count{}, err
	}
	n := count{Workspace: id, ComputeTargets: len(out.Targets)}
	if n.Models, err = x.models(ctx, parent); err != nil {
		return n, err
	}
	if n.Environments, err = x.environments(ctx, parent); err != nil {
		return n, err
	}
	n.Endpoints, err = x.endpoints(ctx, parent)
	return n, err
}

func (x *exporter) models(ctx context.Context, parent string) (n int, err error) {
	newest, err := x.client.AllModels(ctx, parent)
	if err != nil {
		return 0, err
	}
	for _, m := range newest {
		versions, err := x.client.AllModelVersions(ctx, resourcename.Format(parent, "models", m.GetModel()))
		if err != nil {
			return 0, err
		}
		for _, v := range versions {
			one := archive.ModelOf(v)
			x.step("model " + v.GetId())
			if err := x.to.Model(resourcename.Last(parent), one); err != nil {
				return 0, err
			}
			if err := x.files(ctx, v.GetName(), v.GetFiles(), x.to.ModelFiles(resourcename.Last(parent), one)); err != nil {
				return 0, err
			}
			n++
		}
	}
	return n, nil
}

func (x *exporter) environments(ctx context.Context, parent string) (n int, err error) {
	newest, err := x.client.AllEnvironments(ctx, parent)
	if err != nil {
		return 0, err
	}
	for _, e := range newest {
		versions, err := x.client.AllEnvironmentVersions(ctx, resourcename.Format(parent, "environments", e.GetEnvironment()))
		if err != nil {
			return 0, err
		}
		for _, v := range versions {
			if err := x.to.Environment(resourcename.Last(parent), archive.EnvironmentOf(v)); err != nil {
				return 0, err
			}
			n++
		}
	}
	return n, nil
}

func (x *exporter) endpoints(ctx context.Context, parent string) (int, error) {
	workspace := resourcename.Last(parent)
	endpoints, err := x.client.AllEndpoints(ctx, parent)
	if err != nil {
		return 0, err
	}
	keys := map[string]archive.Keys{}
	for _, e := range endpoints {
		id, sources := resourcename.Last(e.GetName()), map[string]string{}
		x.step("endpoint " + id)
		for _, v := range e.GetVersions() {
			version := resourcename.Last(v.GetName())
			folder, name := x.to.Sources(workspace, id, version)
			if err := x.files(ctx, v.GetName(), v.GetSourceFiles(), folder); err != nil {
				return 0, err
			}
			sources[version] = name
		}
		if err := x.to.Endpoint(workspace, manifest.Describe(e, sources)); err != nil {
			return 0, err
		}
		if !x.withKeys {
			continue
		}
		held, err := keysOf(ctx, x.client, e)
		if err != nil {
			return 0, err
		}
		if held != nil {
			keys[id] = *held
		}
	}
	if len(keys) == 0 {
		return len(endpoints), nil
	}
	return len(endpoints), x.to.Keys(workspace, keys)
}

// keysOf gives the keys of an endpoint; nil when it opens to tokens.
func keysOf(ctx context.Context, c *client.Client, e *deployv1.Endpoint) (*archive.Keys, error) {
	if e.GetAuthMode() == deployv1.Endpoint_AUTH_MODE_TOKEN {
		return nil, nil
	}
	keys, err := c.EndpointKeys.ListEndpointKeys(ctx, &authv1.ListEndpointKeysRequest{Name: e.GetName()})
	if err != nil {
		return nil, fmt.Errorf("get the keys of %s: %w", resourcename.Last(e.GetName()), err)
	}
	return &archive.Keys{Primary: keys.GetPrimaryKey(), Secondary: keys.GetSecondaryKey()}, nil
}

func (x *exporter) files(ctx context.Context, owner string, files []*deployv1.ArtefactFile, folder string) error {
	down := &upload.Downloader{Artefacts: x.client.Artefacts, Progress: func(received, total int64) {
		x.display.Status(output.Bytes(received) + " of " + output.Bytes(total))
	}}
	return down.Files(ctx, owner, files, folder, false)
}

func (x *exporter) step(text string) { x.display.Step(x.session.Now(), text) }

func exported(dir string, counts []count, withKeys bool) output.Document {
	return output.Document{
		Value: map[string]any{"folder": dir, "workspaces": counts, "with_keys": withKeys},
		Names: []string{dir},
		Text: func(t *output.Text) {
			for _, n := range counts {
				parts := []string{
					amount(n.ComputeTargets, "compute target"), amount(n.Models, "model version"),
					amount(n.Environments, "environment version"), amount(n.Endpoints, "endpoint"),
				}
				t.Linef("workspace %s: %s", n.Workspace, strings.Join(parts, ", "))
			}
			if withKeys && slices.ContainsFunc(counts, func(n count) bool { return n.Endpoints > 0 }) {
				t.Linef("%s holds keys in clear: keep it as you keep passwords", dir)
			}
			t.Linef("bring it in with: fairlead import %s", dir)
		},
	}
}

func amount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// wrong is the failure that tells all violations.
func wrong(all apierr.Violations) error {
	f := failure.New(failure.Error, "the export cannot be imported; nothing was changed")
	if n := len(all); n > 1 {
		f = failure.New(failure.Error, "the export cannot be imported for %d reasons; nothing was changed", n)
	}
	f.Violations = all
	return f
}
