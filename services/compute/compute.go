// Package compute is the service that keeps compute targets and runs workloads
// on them.
//
// It keeps what is wanted in the store and makes the machine run it: replicas
// are started, probed, restarted, rolled over and drained; facts are published
// as events with the state they belong to. One process may use a data folder at
// a time; a second one waits until the first has ended.
//
// A Service is safe for concurrent use.
package compute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/lifecycle"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/store"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/compute/internal/board"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/interpreter"
	"github.com/fairlead/fairlead/services/compute/internal/grpcapi"
	"github.com/fairlead/fairlead/services/compute/internal/nodesize"
	"github.com/fairlead/fairlead/services/compute/internal/reconciler"
	"github.com/fairlead/fairlead/services/compute/internal/state"
)

// Name is the service's name on the network, in events and in operation ids.
const Name = "compute"

// Config is what a user decides.
type Config struct {
	// DataDir holds run folders, logs and the file cache of this machine.
	DataDir string
	// LocalNodes and LocalNodeSize are what the target "local" declares until it is changed.
	LocalNodes    int
	LocalNodeSize string
	// Python is the interpreter of scripts, or several with colons between them, of
	// which the one that has what a script's environment asks is taken; empty means
	// those of the machine.
	Python string
	// ScorerCommand starts a scorer when flags are added, for example {"/usr/bin/fairlead", "scorer"}.
	ScorerCommand []string
	// OrphanGrace is how long replicas go on when this process ends; 0 means they end with it.
	OrphanGrace time.Duration
	// CacheBytes is how large the cache of models and sources may grow on this
	// machine; what live workloads use stays in any case.
	CacheBytes int64
}

// NewDefaultConfig gives what is used where a user says nothing.
func NewDefaultConfig() Config {
	return Config{LocalNodes: 3, LocalNodeSize: nodesize.Default, CacheBytes: local.NewDefaultConfig().CacheBytes}
}

// Validate gives all that is wrong with c.
func (c Config) Validate() error {
	var problems []error
	if c.DataDir == "" {
		problems = append(problems, errors.New("compute needs a data folder"))
	}
	if c.LocalNodes < 1 || c.LocalNodes > 1000 {
		problems = append(problems, fmt.Errorf("the local compute target must have 1 to 1,000 nodes, not %d", c.LocalNodes))
	}
	if _, err := nodesize.Find("the local node size:", c.LocalNodeSize); err != nil {
		problems = append(problems, err)
	}
	if len(c.ScorerCommand) == 0 {
		problems = append(problems, errors.New("compute needs the command that starts a scorer"))
	}
	if c.OrphanGrace < 0 {
		problems = append(problems, fmt.Errorf("the orphan grace must not be negative, it is %s", c.OrphanGrace))
	}
	if c.CacheBytes < 0 {
		problems = append(problems, fmt.Errorf("the size of the file cache must not be negative, it is %d", c.CacheBytes))
	}
	return errors.Join(problems...)
}

// Artefacts is where files come from by their digest.
type Artefacts interface {
	Open(ctx context.Context, sha256 string) (io.ReadCloser, int64, error)
}

// Deps is what code hands over.
type Deps struct {
	Logger    *slog.Logger
	Store     store.Store
	Artefacts Artefacts
	Clock     func() time.Time // nil means time.Now
}

// Service is the compute service.
type Service struct {
	targets    *grpcapi.Targets
	workloads  *grpcapi.Workloads
	components *lifecycle.Group
	filled     <-chan struct{}
}

// New makes the service. It touches nothing but the data folder.
func New(_ context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	size, err := nodesize.Find("the local node size:", cfg.LocalNodeSize)
	if err != nil {
		return nil, err
	}
	driverConfig := local.NewDefaultConfig()
	driverConfig.DataDir, driverConfig.ScorerCommand, driverConfig.Python, driverConfig.OrphanGrace = cfg.DataDir, cfg.ScorerCommand, cfg.Python, cfg.OrphanGrace
	driverConfig.CacheBytes = cfg.CacheBytes
	machine, err := local.New(driverConfig, local.Deps{Logger: deps.Logger, Artefacts: deps.Artefacts})
	if err != nil {
		return nil, err
	}
	st := state.New(state.Config{LocalNodes: cfg.LocalNodes, LocalNodeSize: size.ID, Since: machine.Since()}, deps.Store, deps.Logger)
	operations := operation.NewRegistry(deps.Store, deps.Logger)
	shown := board.New()
	edge := grpcapi.Deps{State: st, Board: shown, Machine: machine, Operations: operations, Clock: deps.Clock}
	loop := reconciler.New(reconciler.Deps{
		Logger: deps.Logger, State: st, Driver: machine, Board: shown, Clock: deps.Clock, Holder: machine.Identity(),
	})
	return &Service{
		targets: grpcapi.NewTargets(edge), workloads: grpcapi.NewWorkloads(edge, machine), filled: shown.Filled(),
		components: lifecycle.NewGroup(
			lifecycle.Member{Name: "state", Component: st},
			lifecycle.Member{Name: "operations", Component: operations},
			lifecycle.Member{Name: "local driver", Component: machine},
			lifecycle.Member{Name: "reconciler", Component: loop},
		),
	}, nil
}

// Register adds all gRPC services of compute.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	computev1.RegisterComputeTargetServiceServer(r, s.targets)
	computev1.RegisterWorkloadServiceServer(r, s.workloads)
	longrunningpb.RegisterOperationsServer(r, s.targets.Operations())
}

// Run works until ctx ends. With orphan grace zero it ends all replicas then.
func (s *Service) Run(ctx context.Context) error { return s.components.Run(ctx) }

// Ready is closed when everything that goes on has been found and is shown.
func (s *Service) Ready() <-chan struct{} { return s.filled }

// Interpreter is a Python that replicas can run with.
type Interpreter struct {
	Path, Version string
	// Packages are those of the usual scoring packages that it has.
	Packages []string
}

// ChoosePython gives the interpreter that replicas run with: the configured
// one, or the best on this machine.
func ChoosePython(ctx context.Context, configured string) (Interpreter, error) {
	found, err := interpreter.NewFinder(interpreter.FromEnvironment(configured, "")).Default(ctx)
	return Interpreter{Path: found.Path, Version: found.Version, Packages: found.Usual()}, err
}
