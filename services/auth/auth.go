// Package auth is the auth service: workspaces, the administrator's token, and
// the keys of endpoints, sealed at rest.
//
// A Service holds no state of its own but the two secrets in files, the
// administrator's token and the sealing key; everything else is in the store.
// Several instances may share one store and the same secrets. All methods are
// safe for concurrent use.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/access"
	"github.com/fairlead/fairlead/services/auth/internal/admintoken"
	"github.com/fairlead/fairlead/services/auth/internal/endpointkey"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
	"github.com/fairlead/fairlead/services/auth/internal/grpcapi"
	"github.com/fairlead/fairlead/services/auth/internal/sealing"
	"github.com/fairlead/fairlead/services/auth/internal/secretfile"
	"github.com/fairlead/fairlead/services/auth/internal/state"
	"github.com/fairlead/fairlead/services/auth/internal/workspace"
)

// Config is what a user writes.
type Config struct {
	// AdminTokenPath is the file with the administrator's token; made at the
	// first start, readable by its owner only.
	AdminTokenPath string
	// SealingKeyPath is the file with the key that seals endpoint keys; made at
	// the first start, readable by its owner only.
	SealingKeyPath string
	// SealingKeyURL is used instead of SealingKeyPath: base64key://KEY. It is a
	// secret.
	SealingKeyURL string
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	if c.AdminTokenPath == "" {
		problems = append(problems, errors.New("the path of the administrator's token is missing"))
	}
	if (c.SealingKeyPath == "") == (c.SealingKeyURL == "") {
		problems = append(problems, errors.New("give the path or the URL of the sealing key, one of them"))
	}
	return errors.Join(problems...)
}

// Deps is what the code hands over.
type Deps struct {
	Logger *slog.Logger
	Store  store.Store
	Clock  func() time.Time // nil means time.Now
}

// Service is the auth service. It is a component.
type Service struct {
	now        func() time.Time
	workspaces *state.Collection[workspace.Workspace]
	keys       *state.Collection[endpointkey.Keys]
	sealer     *sealing.Sealer
	checker    *access.Checker
	ready      chan struct{}
}

// New reads or makes the secrets and builds the service.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Logger == nil || deps.Store == nil {
		return nil, errors.New("the auth service needs a logger and a store")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	token, err := adminToken(cfg.AdminTokenPath, deps.Logger)
	if err != nil {
		return nil, err
	}
	sealer, err := openSealer(ctx, cfg, deps.Logger)
	if err != nil {
		return nil, err
	}
	workspaces := state.NewCollection[workspace.Workspace](deps.Store, "workspaces", deps.Logger)
	return &Service{
		now:        deps.Clock,
		workspaces: workspaces,
		keys:       state.NewCollection[endpointkey.Keys](deps.Store, "endpointkeys", deps.Logger),
		sealer:     sealer,
		checker:    access.NewChecker(token, known{workspaces}),
		ready:      make(chan struct{}),
	}, nil
}

func adminToken(path string, log *slog.Logger) (admintoken.Verifier, error) {
	text, err := secretfile.Ensure(path, admintoken.Generate, log)
	if err != nil {
		return admintoken.Verifier{}, fmt.Errorf("administrator token: %w", err)
	}
	v, err := admintoken.NewVerifier(text)
	if err != nil {
		return v, fmt.Errorf("administrator token: %s is empty or damaged: %w; restore it, or remove it to get a new one", path, err)
	}
	return v, nil
}

func openSealer(ctx context.Context, cfg Config, log *slog.Logger) (*sealing.Sealer, error) {
	if cfg.SealingKeyURL != "" {
		return sealing.OpenURL(ctx, cfg.SealingKeyURL)
	}
	return sealing.OpenFile(cfg.SealingKeyPath, log)
}

// Register puts the service's gRPC services on a server.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	authv1.RegisterAccessServiceServer(r, grpcapi.NewAccessServer(s.checker))
	authv1.RegisterWorkspaceServiceServer(r, grpcapi.NewWorkspaceServer(s.workspaces, newUID, s.now))
	authv1.RegisterEndpointKeyServiceServer(r, grpcapi.NewEndpointKeyServer(s.keys, s.sealer, s.now))
}

// Check says who the bearer of token is and whether the call is allowed, for
// the service's own server.
func (s *Service) Check(ctx context.Context, token, method, resource string) (principal string, err error) {
	return s.checker.Check(ctx, token, method, resource)
}

// Ready is closed when the service can serve.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Run keeps the service's view of the store fresh until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error { return s.workspaces.Run(inner) })
	g.Go(func() error { return s.keys.Run(inner) })
	g.Go(func() error {
		if err := s.prepare(inner); err != nil {
			return err
		}
		close(s.ready)
		return nil
	})
	err := g.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, s.sealer.Close())
}

// prepare waits for the caches and makes the default workspace.
func (s *Service) prepare(ctx context.Context) error {
	if err := errors.Join(s.workspaces.WaitSynced(ctx), s.keys.WaitSynced(ctx)); err != nil {
		return err
	}
	current, err := s.workspaces.Get(ctx, workspace.DefaultID)
	if err != nil || current.Exists() {
		return err
	}
	w, f, err := workspace.New(workspace.DefaultID, newUID(), workspace.Attributes{}, s.now())
	if err != nil {
		return err
	}
	err = s.workspaces.Commit(ctx, state.Write[workspace.Workspace]{Name: w.ID, Value: &w, Facts: []fact.Fact{f}})
	if errors.Is(err, state.ErrChanged) { // another instance was faster
		return nil
	}
	return err
}

// known answers which workspaces exist.
type known struct {
	workspaces *state.Collection[workspace.Workspace]
}

// Exists says whether there is a workspace with this id.
func (k known) Exists(ctx context.Context, id string) (bool, error) {
	w, err := k.workspaces.Get(ctx, id)
	return w.Exists(), err
}

// newUID makes the identity of a resource.
func newUID() string { return strings.ToLower(events.NewID()) }
