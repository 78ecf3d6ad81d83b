package endpoint

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/session"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// call makes a request, to check it or to do it.
type call = func(context.Context) (*longrunningpb.Operation, error)

// addWait adds --wait.
func addWait(fs *pflag.FlagSet) *bool {
	return fs.Bool("wait", false, "while another operation changes the endpoint, wait for it first")
}

func createVersion(s *session.Session) *cobra.Command {
	flags := &deployment.Flags{}
	cmd := &cobra.Command{
		Use:   "create-version",
		Short: "Add a version to an endpoint",
		Example: "  fairlead endpoint create-version -n diabetes --vn versionb -m diabetes:2 --ic inferenceconfig.json --tp 10\n" +
			"  fairlead endpoint create-version -n diabetes --vn versionc -m diabetes:3 --es score.py --tp 5 --cvt",
		Args: session.NoArgs,
	}
	addName(s, cmd)
	fs := cmd.Flags()
	flags.BindVersion(fs)
	flags.BindLabels(fs)
	flags.BindRole(fs)
	noWait := fs.Bool("no-wait", false, "print the operation and do not wait for it")
	wait := addWait(fs)
	validateOnly := fs.Bool("validate-only", false, "check everything, create nothing, show what would be")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		draft, err := deployment.Maker{
			Endpoints: t.client.Endpoints, Parent: t.workspace(), Scope: deployment.NewVersion,
		}.Make(ctx, flags)
		if err != nil {
			return err
		}
		if draft.VersionID == "" {
			return session.Usagef(cmd, "missing --vn: the name of the version")
		}
		return Change{
			What: "version " + draft.VersionID + " of endpoint " + t.id, Title: "Deploying " + t.id + ", version " + draft.VersionID,
			Endpoint: t.id, Version: draft.VersionID, Draft: draft, NoWait: *noWait, Wait: *wait, ValidateOnly: *validateOnly,
			Request: func(validateOnly bool) call {
				req := &deployv1.CreateEndpointVersionRequest{
					Parent: t.name, VersionId: draft.VersionID, Version: draft.Version,
					ValidateOnly: validateOnly, RequestId: client.NewRequestID(),
				}
				return func(ctx context.Context) (*longrunningpb.Operation, error) {
					return t.client.Endpoints.CreateEndpointVersion(ctx, req)
				}
			},
		}.Run(ctx, s)
	})
	return cmd
}

// versionUpdate is what `update-version` was asked to do.
type versionUpdate struct {
	target       target
	flags        *deployment.Flags
	labels       session.Labels
	noWait       bool
	wait         *bool
	validateOnly bool
	// ofEndpoint says that the description that is given is the endpoint's.
	ofEndpoint bool
	first      func(context.Context) error
}

func updateVersion(s *session.Session) *cobra.Command {
	u := versionUpdate{flags: &deployment.Flags{}}
	cmd := &cobra.Command{
		Use:   "update-version",
		Short: "Change a version's traffic, role, or what it runs",
		Example: "  fairlead endpoint update-version -n diabetes --vn versionb --tp 40 --is-default --cvt\n" +
			"  fairlead endpoint update-version -n diabetes --vn versionb -m diabetes:3",
		Args: session.NoArgs,
	}
	addName(s, cmd)
	fs := cmd.Flags()
	u.flags.BindVersion(fs)
	u.flags.BindRole(fs)
	addTags := fs.StringArray("add-tag", nil, "label KEY=VALUE; repeat for more")
	removeTags := fs.StringArray("remove-tag", nil, "label KEY; repeat for more")
	addProperties := fs.StringArray("add-property", nil, "fact KEY=VALUE; repeat for more")
	fs.BoolVar(&u.noWait, "no-wait", false, "print the operation and do not wait for it")
	u.wait = addWait(fs)
	fs.BoolVar(&u.validateOnly, "validate-only", false, "check everything, change nothing, show what would be")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) (err error) {
		if u.labels, err = session.ReadLabels(cmd, *addTags, *removeTags, *addProperties); err != nil {
			return err
		}
		if u.target, err = find(s, cmd, args); err != nil {
			return err
		}
		if err := session.Required(cmd, "vn"); err != nil {
			return err
		}
		return session.OnConflict(func() error { return u.run(ctx, s) })
	})
	completeVersions(s, cmd, "vn")
	return cmd
}

func (u versionUpdate) run(ctx context.Context, s *session.Session) error {
	t, id := u.target, u.flags.VersionName
	before, err := t.client.Endpoints.GetEndpointVersion(ctx, &deployv1.GetEndpointVersionRequest{Name: t.version(id)})
	if err != nil {
		return err
	}
	draft, err := deployment.Maker{
		Endpoints: t.client.Endpoints, Parent: t.workspace(), Scope: deployment.VersionChange, Base: before,
	}.Make(ctx, u.flags)
	if err != nil {
		return err
	}
	if !u.labels.Empty() {
		draft.Version.Tags = u.labels.Tags(before.GetTags())
		draft.Version.Properties = u.labels.Properties(before.GetProperties())
	}
	if u.ofEndpoint {
		draft.Version.Description = before.GetDescription()
	}
	if len(deployment.ChangedFields(before, draft.Version)) == 0 && !draft.HasProblems() && draft.Environment == nil && u.first == nil {
		s.Notef("nothing to change: version %s of endpoint %s is so already", id, t.id)
		return s.Print(versionDocument(before))
	}
	return Change{
		What: "version " + id + " of endpoint " + t.id, Title: "Updating " + t.id + ", version " + id,
		Endpoint: t.id, Version: id, Draft: draft, First: u.first, NoWait: u.noWait, Undo: "go back:  fairlead endpoint rollback -n " + t.id + " --vn " + id,
		Wait: *u.wait, ValidateOnly: u.validateOnly,
		Request: func(validateOnly bool) call {
			req := updateRequest(before, draft.Version)
			req.ValidateOnly, req.RequestId = validateOnly, client.NewRequestID()
			if u.first != nil && !validateOnly {
				req.Version.Etag = "" // what is done first has changed the endpoint
			}
			return func(ctx context.Context) (*longrunningpb.Operation, error) {
				return t.client.Endpoints.UpdateEndpointVersion(ctx, req)
			}
		},
	}.Run(ctx, s)
}

// updateRequest makes the request that leads from before to after.
func updateRequest(before, after *deployv1.EndpointVersion) *deployv1.UpdateEndpointVersionRequest {
	paths := deployment.ChangedFields(before, after)
	changed := deployment.Changed(after, paths)
	changed.Name = before.GetName()
	if deployment.NeedsEtag(paths) {
		changed.Etag = before.GetEtag()
	}
	return &deployv1.UpdateEndpointVersionRequest{Version: changed, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}}
}

func deleteVersion(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete-version",
		Short:   "Delete a version; its traffic goes to the default",
		Long:    "Deletes a version. When it was the default, the control version becomes default, else the oldest healthy one.\nThe last version cannot be deleted: delete the endpoint.",
		Example: "  fairlead endpoint delete-version -n diabetes --vn versionb",
		Args:    session.NoArgs,
	}
	addName(s, cmd)
	version := cmd.Flags().String("vn", "", "name of the version (--version-name)")
	noWait := cmd.Flags().Bool("no-wait", false, "print the operation and do not wait for it")
	wait := addWait(cmd.Flags())
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		if err := session.Required(cmd, "vn"); err != nil {
			return err
		}
		op, err := s.InTurn(ctx, *wait, func(ctx context.Context) (*longrunningpb.Operation, error) {
			return t.client.Endpoints.DeleteEndpointVersion(ctx, &deployv1.DeleteEndpointVersionRequest{
				Name: t.version(*version), RequestId: client.NewRequestID(),
			})
		})
		if err != nil {
			return err
		}
		done, err := s.Finish(ctx, op, "Deleting "+t.id+", version "+*version, *noWait)
		if err != nil || done == nil {
			return err
		}
		e, err := t.client.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: t.name})
		if err != nil {
			return err
		}
		return s.Print(document(e))
	})
	completeVersions(s, cmd, "vn")
	return cmd
}
