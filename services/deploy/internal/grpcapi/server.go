// Package grpcapi is the edge of the deploy service: it turns requests into calls
// of the domain and the domain's values into messages.
//
// Handlers rely on the server around them: requests have passed their protovalidate
// rules and the principal is in the context. What the rules of the domain and
// other services have to say about a request's fields is answered at once.
// Changes are made by compare-and-set and repeated when somebody else was faster.
// All handlers are safe for concurrent use.
package grpcapi

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/loadboard"
	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
	"github.com/fairlead/fairlead/services/deploy/internal/upload"
)

// contents is what the handlers need of the artefact store.
type contents interface {
	// ReadAt gives a part of a content and its whole size; NotFound when it is not there.
	ReadAt(ctx context.Context, digest string, offset, limit int64) (data []byte, size int64, err error)
}

// keys is what the handlers need of the auth service.
type keys interface {
	EnsureEndpointKeys(ctx context.Context, in *authv1.EnsureEndpointKeysRequest, opts ...grpc.CallOption) (*authv1.EnsureEndpointKeysResponse, error)
}

// targets is what the handlers need to know of compute targets.
type targets interface {
	GetComputeTarget(ctx context.Context, in *computev1.GetComputeTargetRequest, opts ...grpc.CallOption) (*computev1.ComputeTarget, error)
}

// logs is where the logs of replicas come from.
type logs interface {
	ReadWorkloadLogs(ctx context.Context, in *computev1.ReadWorkloadLogsRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[computev1.ReadWorkloadLogsResponse], error)
}

// checks is what says whether a target can run something.
type checks interface {
	ApplyWorkload(ctx context.Context, in *computev1.ApplyWorkloadRequest, opts ...grpc.CallOption) (*computev1.Workload, error)
}

// replicas is what is seen of replicas.
type replicas interface {
	// Of gives the replicas of a workload, and the generation of its newest spec.
	Of(workload string) ([]*computev1.Replica, int64)
}

// load is what routers report.
type load interface {
	Report(router string, reports []loadboard.Report, now time.Time)
	Left(router string)
	History(key loadboard.Key) scaling.History
}

// Config is what the handlers can be told.
type Config struct {
	// ScoringBaseURL begins scoring URIs; empty leaves them out.
	ScoringBaseURL string
	// MaxVersions is how many versions an endpoint may have.
	MaxVersions int
}

// Deps is what the handlers work with.
type Deps struct {
	Logger     *slog.Logger
	State      *state.State
	Operations *operation.Registry
	Uploads    *upload.Uploads
	Contents   contents
	Keys       keys
	Targets    targets
	Logs       logs
	Checks     checks // used with validate_only
	Replicas   replicas
	Load       load
	Clock      func() time.Time
}

// attempts bounds how often a change is repeated when others were faster.
const attempts = 32

var (
	workspacePattern          = resourcename.NewPattern("workspaces/{workspace}")
	endpointPattern           = resourcename.NewPattern("workspaces/{workspace}/endpoints/{endpoint}")
	versionPattern            = resourcename.NewPattern("workspaces/{workspace}/endpoints/{endpoint}/versions/{version}")
	modelPattern              = resourcename.NewPattern("workspaces/{workspace}/models/{model}")
	modelVersionPattern       = resourcename.NewPattern("workspaces/{workspace}/models/{model}/versions/{version}")
	environmentPattern        = resourcename.NewPattern("workspaces/{workspace}/environments/{environment}")
	uploadPattern             = resourcename.NewPattern("workspaces/{workspace}/uploads/{upload}")
	environmentVersionPattern = resourcename.NewPattern("workspaces/{workspace}/environments/{environment}/versions/{version}")
	targetPattern             = resourcename.NewPattern("workspaces/{workspace}/computeTargets/{compute_target}")
)

// Register registers all services.
func Register(r grpc.ServiceRegistrar, cfg Config, deps Deps) {
	base := &server{cfg: cfg, deps: deps}
	base.operations = operation.NewServer(deps.Operations, base.resolve).WithCancel(base.cancel)
	deployv1.RegisterModelServiceServer(r, &Models{server: base})
	deployv1.RegisterArtefactServiceServer(r, &Artefacts{server: base})
	deployv1.RegisterEndpointServiceServer(r, &Endpoints{server: base})
	deployv1.RegisterRouteServiceServer(r, &Routes{server: base})
	deployv1.RegisterEnvironmentServiceServer(r, &Environments{server: base})
	deployv1.RegisterLoadServiceServer(r, &Load{server: base})
	longrunningpb.RegisterOperationsServer(r, base.operations)
}

// server is what the services share.
type server struct {
	cfg        Config
	deps       Deps
	operations *operation.Server
}

func newUID() string { return strings.ToLower(ulid.Make().String()) }

// violations takes the violations out of err; what is not about fields is given back.
func violations(err error, into *apierr.Violations) error {
	if err == nil {
		return nil
	}
	if e := apierr.FromStatus(err); e.Kind == apierr.InvalidArgument && len(e.Violations) > 0 {
		*into = append(*into, e.Violations...)
		return nil
	}
	return err
}

// busy is the answer when others were faster again and again.
func busy(name string) error {
	return apierr.New(apierr.Conflict, "TOO_MANY_CHANGES", "%s is being changed by too many others at once; try again", name)
}
