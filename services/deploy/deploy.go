// Package deploy is the service that keeps models and puts them into service:
// it owns the model registry, endpoints with their versions and traffic, and the
// operations on them. It asks the compute service to run what endpoints want,
// the auth service for their keys, and tells routers where requests go.
//
// A change is stored together with its events before a call returns. What
// follows from it is done by a reconciler that can be stopped at any moment and
// goes on where things are. Everything is safe for concurrent use.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/store"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/grpcapi"
	"github.com/fairlead/fairlead/services/deploy/internal/loadboard"
	"github.com/fairlead/fairlead/services/deploy/internal/reconciler"
	"github.com/fairlead/fairlead/services/deploy/internal/reconciler/replicas"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
	"github.com/fairlead/fairlead/services/deploy/internal/upload"
)

// Config is what a user can set.
type Config struct {
	// DataDir holds uploads under way and the identity of this instance.
	DataDir string
	// ScoringBaseURL begins the scoring URI of every endpoint, for example
	// "http://127.0.0.1:8080"; empty leaves scoring URIs out.
	ScoringBaseURL string
	// MaxVersions is how many versions an endpoint may have.
	MaxVersions int
	// UploadTTL is how long an upload that nobody continues is kept.
	UploadTTL time.Duration
	// RouteGrace is how long routers have to stop using replicas before those are
	// told to finish.
	RouteGrace time.Duration
	// UnschedulableTimeout ends an operation whose version finds no room.
	UnschedulableTimeout time.Duration
	// DeployTimeout ends an operation whose version does not become healthy.
	DeployTimeout time.Duration
}

// NewDefaultConfig gives the defaults; DataDir must be set.
func NewDefaultConfig() Config {
	return Config{
		MaxVersions: 6, UploadTTL: 24 * time.Hour, RouteGrace: 2 * time.Second,
		UnschedulableTimeout: 5 * time.Minute, DeployTimeout: 20 * time.Minute,
	}
}

// Validate tells everything that is wrong.
func (c Config) Validate() error {
	var all []error
	if c.DataDir == "" {
		all = append(all, errors.New("the data folder must be given"))
	}
	if c.MaxVersions < 1 || c.MaxVersions > 100 {
		all = append(all, fmt.Errorf("the number of versions must be 1 to 100, not %d", c.MaxVersions))
	}
	for name, d := range map[string]time.Duration{
		"the time to keep uploads": c.UploadTTL, "the time for versions without room": c.UnschedulableTimeout, "the time for deployments": c.DeployTimeout,
	} {
		if d < time.Second {
			all = append(all, fmt.Errorf("%s must be at least a second, not %s", name, d))
		}
	}
	if c.RouteGrace < 0 {
		all = append(all, fmt.Errorf("the grace for routers must not be negative, not %s", c.RouteGrace))
	}
	return errors.Join(all...)
}

// Artefacts is where contents are kept, by digest.
type Artefacts interface {
	Has(ctx context.Context, digest string) (bool, error)
	Put(ctx context.Context, digest string, size int64, r io.Reader) error
	ReadAt(ctx context.Context, digest string, offset, limit int64) (data []byte, size int64, err error)
}

// Deps is what the service works with.
type Deps struct {
	Logger    *slog.Logger
	Store     store.Store
	Artefacts Artefacts
	// Compute and Auth are connections to those services.
	Compute, Auth grpc.ClientConnInterface
	// Clock is time.Now when nil.
	Clock func() time.Time
}

// Service is the deploy service. It is a component.
type Service struct {
	api        grpcapi.Deps
	apiConfig  grpcapi.Config
	state      *state.State
	uploads    *upload.Uploads
	reconciler *reconciler.Reconciler
	replicas   *replicas.View
	ready      chan struct{}
}

// New makes the service; nothing runs before Run.
func New(_ context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure the deploy service: %w", err)
	}
	clock := deps.Clock
	if clock == nil {
		clock = time.Now
	}
	utc := func() time.Time { return clock().UTC() }
	holder, err := instance(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	uploads, err := upload.Open(
		upload.Config{Dir: filepath.Join(cfg.DataDir, "uploads"), TTL: cfg.UploadTTL},
		upload.Deps{Logger: deps.Logger, Contents: deps.Artefacts, Held: state.NewContents(deps.Store), Clock: utc},
	)
	if err != nil {
		return nil, err
	}
	operations := operation.NewRegistry(deps.Store, deps.Logger)
	st := state.New(state.Deps{Logger: deps.Logger, Store: deps.Store, Operations: operations, Clock: utc})
	board := loadboard.New()
	workloads, keys := computev1.NewWorkloadServiceClient(deps.Compute), authv1.NewEndpointKeyServiceClient(deps.Auth)
	seen := replicas.New(deps.Logger, workloads)
	return &Service{
		api: grpcapi.Deps{
			Logger: deps.Logger, State: st, Operations: operations, Uploads: uploads, Contents: deps.Artefacts,
			Keys: keys, Targets: computev1.NewComputeTargetServiceClient(deps.Compute), Logs: workloads, Checks: workloads, Replicas: seen, Load: board, Clock: utc,
		},
		apiConfig: grpcapi.Config{ScoringBaseURL: strings.TrimRight(cfg.ScoringBaseURL, "/"), MaxVersions: cfg.MaxVersions},
		state:     st,
		uploads:   uploads,
		replicas:  seen,
		reconciler: reconciler.New(reconciler.Config{
			Holder: holder, RouteGrace: cfg.RouteGrace,
			Limits: endpoint.Limits{Unschedulable: cfg.UnschedulableTimeout, Deploy: cfg.DeployTimeout},
		}, reconciler.Deps{Logger: deps.Logger, Store: deps.Store, State: st, Workloads: workloads, Keys: keys, Load: board, Clock: utc}),
		ready: make(chan struct{}),
	}, nil
}

// Register registers all gRPC services.
func (s *Service) Register(r grpc.ServiceRegistrar) { grpcapi.Register(r, s.apiConfig, s.api) }

// Ready is closed when the service can serve.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Run keeps the service going until ctx ends or a part of it fails. It can be
// called once.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.state.Run(ctx) })
	group.Go(func() error { return s.uploads.Run(ctx) })
	group.Go(func() error { return s.reconciler.Run(ctx) })
	group.Go(func() error { return s.replicas.Run(ctx) })
	group.Go(func() error {
		if s.state.WaitSynced(ctx) == nil {
			close(s.ready)
		}
		return nil
	})
	return group.Wait()
}

// instance gives a name for this process that is the same after a restart and
// differs from that of every other process.
func instance(dir string) (string, error) {
	path := filepath.Join(dir, "instance")
	if id, err := os.ReadFile(path); err == nil && len(id) > 0 {
		return string(id), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("open the data folder: %w", err)
	}
	id := strings.ToLower(ulid.Make().String())
	temporary := path + "." + id
	if err := os.WriteFile(temporary, []byte(id), 0o600); err != nil {
		return "", fmt.Errorf("name this instance: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return "", fmt.Errorf("name this instance: %w", err)
	}
	return id, nil
}
