package endpoint

import (
	"context"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const updateLong = `Changes what belongs to an endpoint: its tags, properties and description, who may
score, and whether a record of each request is kept.

With flags that say what a version runs, it changes the endpoint's version as
well: the only one, or the one that --vn names. New replicas answer before the
old ones go; where nothing about a replica changes, none is replaced.`

// endpointUpdate is what `update` was asked to do.
type endpointUpdate struct {
	flags        *deployment.Flags
	labels       session.Labels
	target       target
	noWait       bool
	wait         *bool
	validateOnly bool
}

func update(s *session.Session) *cobra.Command {
	u := endpointUpdate{flags: &deployment.Flags{}}
	cmd := &cobra.Command{
		Use:   "update [NAME]",
		Short: "Change an endpoint: tags, description, who may score, and what its version runs",
		Long:  updateLong,
		Example: "  fairlead endpoint update -n diabetes --add-tag team=blue\n  fairlead endpoint update -n diabetes --ae=false\n" +
			"  fairlead endpoint update -n diabetes -m diabetes:2 --mi 1 --ma 5",
	}
	addName(s, cmd)
	fs := cmd.Flags()
	u.flags.BindVersion(fs)
	u.flags.BindAccess(fs)
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
		if _, ok := u.flags.AuthMode(deployv1.Endpoint_AUTH_MODE_KEY); !ok {
			return session.Usagef(cmd, "--ae and --token-auth-enabled cannot both be true")
		}
		if u.target, err = find(s, cmd, args); err != nil {
			return err
		}
		own := u.changesEndpoint()
		switch {
		case !own && !u.flags.ChangesVersion():
			return session.Usagef(cmd, "nothing to change: give --add-tag, --remove-tag, --add-property, -d, --ae, --token-auth-enabled, --ai, or what the version runs")
		case !u.flags.ChangesVersion():
			return session.OnConflict(func() error { return u.updateEndpoint(ctx, s) })
		}
		e, err := read(ctx, u.target)
		if err != nil {
			return err
		}
		if u.flags.VersionName == "" && len(e.GetVersions()) != 1 {
			return session.Usagef(cmd, "missing --vn: endpoint %s has the versions %s", u.target.id, strings.Join(ids(e), ", "))
		}
		return u.updateVersion(ctx, s, e, own)
	})
	completeVersions(s, cmd, "vn")
	return cmd
}

func read(ctx context.Context, at target) (*deployv1.Endpoint, error) {
	return at.client.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: at.name})
}

func ids(e *deployv1.Endpoint) []string {
	var all []string
	for _, v := range e.GetVersions() {
		all = append(all, resourcename.Last(v.GetName()))
	}
	return all
}

func (u endpointUpdate) changesEndpoint() bool {
	return len(u.mask()) > 0 || u.flags.Changed("kp") || u.flags.Changed("ks")
}

// mask gives the fields of the endpoint that change.
func (u endpointUpdate) mask() []string {
	paths := u.labels.Mask()
	if u.flags.Changed("description") {
		paths = append(paths, "description")
	}
	if u.flags.Changed("ae") || u.flags.Changed("token-auth-enabled") {
		paths = append(paths, "auth_mode")
	}
	if u.flags.Changed("ai") {
		paths = append(paths, "telemetry_enabled")
	}
	return paths
}

// updateVersion changes the version, and the endpoint when all is known to be valid.
func (u endpointUpdate) updateVersion(ctx context.Context, s *session.Session, e *deployv1.Endpoint, own bool) error {
	change := versionUpdate{target: u.target, flags: u.flags, noWait: u.noWait, wait: u.wait, validateOnly: u.validateOnly, ofEndpoint: true}
	if change.flags.VersionName == "" {
		change.flags.VersionName = ids(e)[0]
	}
	if own {
		if _, err := u.change(ctx, true); err != nil {
			return err
		}
		change.first = func(ctx context.Context) error {
			_, err := s.InTurn(ctx, *u.wait, func(ctx context.Context) (*longrunningpb.Operation, error) { return u.change(ctx, false) })
			return err
		}
	}
	return session.OnConflict(func() error { return change.run(ctx, s) })
}

// updateEndpoint changes the endpoint alone.
func (u endpointUpdate) updateEndpoint(ctx context.Context, s *session.Session) error {
	op, err := s.InTurn(ctx, *u.wait && !u.validateOnly, func(ctx context.Context) (*longrunningpb.Operation, error) { return u.change(ctx, u.validateOnly) })
	if err != nil {
		return err
	}
	if u.validateOnly {
		return Change{What: "endpoint " + u.target.id, Draft: &deployment.Draft{}}.printChecked(s, op)
	}
	if op != nil {
		done, err := s.Finish(ctx, op, "Updating "+u.target.id, u.noWait)
		if err != nil || done == nil {
			return err
		}
	}
	e, err := read(ctx, u.target)
	if err != nil {
		return err
	}
	return s.Print(document(e))
}

// change asks for the change of the endpoint, and for new keys. The operation is
// nil when only keys change.
func (u endpointUpdate) change(ctx context.Context, validateOnly bool) (*longrunningpb.Operation, error) {
	now, err := read(ctx, u.target)
	if err != nil {
		return nil, err
	}
	var op *longrunningpb.Operation
	if paths := u.mask(); len(paths) > 0 || validateOnly {
		mode, _ := u.flags.AuthMode(now.GetAuthMode())
		wanted := &deployv1.Endpoint{
			Name: now.GetName(), Etag: now.GetEtag(), Description: u.flags.Description, AuthMode: mode, TelemetryEnabled: u.flags.Telemetry,
			Tags: u.labels.Tags(now.GetTags()), Properties: u.labels.Properties(now.GetProperties()),
		}
		if len(paths) == 0 {
			paths = []string{"auth_mode"} // the way it is
		}
		op, err = u.target.client.Endpoints.UpdateEndpoint(ctx, &deployv1.UpdateEndpointRequest{
			Endpoint: wanted, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}, ValidateOnly: validateOnly, RequestId: client.NewRequestID(),
		})
	}
	if err != nil || validateOnly {
		return op, err
	}
	return op, u.setKeys(ctx)
}

func (u endpointUpdate) setKeys(ctx context.Context) error {
	for _, key := range []struct {
		flag, value string
		kind        authv1.KeyType
	}{
		{"kp", u.flags.PrimaryKey, authv1.KeyType_KEY_TYPE_PRIMARY},
		{"ks", u.flags.SecondaryKey, authv1.KeyType_KEY_TYPE_SECONDARY},
	} {
		if !u.flags.Changed(key.flag) {
			continue
		}
		if _, err := u.target.client.EndpointKeys.RegenerateEndpointKey(ctx, &authv1.RegenerateEndpointKeyRequest{
			Name: u.target.name, KeyType: key.kind, KeyValue: key.value, RequestId: client.NewRequestID(),
		}); err != nil {
			return err
		}
	}
	return nil
}
