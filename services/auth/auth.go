// Package auth is the auth service: workspaces, who may do what in them, the keys
// and tokens of endpoints, and the audit log.
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
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/access"
	"github.com/fairlead/fairlead/services/auth/internal/admintoken"
	"github.com/fairlead/fairlead/services/auth/internal/endpointkey"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
	"github.com/fairlead/fairlead/services/auth/internal/grpcapi"
	"github.com/fairlead/fairlead/services/auth/internal/oidc"
	"github.com/fairlead/fairlead/services/auth/internal/reconciler/signingkeys"
	"github.com/fairlead/fairlead/services/auth/internal/rolebinding"
	"github.com/fairlead/fairlead/services/auth/internal/sealing"
	"github.com/fairlead/fairlead/services/auth/internal/secretfile"
	"github.com/fairlead/fairlead/services/auth/internal/serviceprincipal"
	"github.com/fairlead/fairlead/services/auth/internal/signing"
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
	// Issuers are the identity providers whose users may sign in.
	Issuers []Issuer
	// TokenLifetime is how long an endpoint's token is valid at most; 0 means 24 hours.
	TokenLifetime time.Duration
	// SigningKeyMaxAge is how long a key signs tokens; 0 means 30 days.
	SigningKeyMaxAge time.Duration
	// ScoringBaseURL begins the scoring URI of every endpoint; empty when it is not known.
	ScoringBaseURL string
}

// Issuer is an identity provider that speaks OpenID Connect.
type Issuer = oidc.Issuer

// What holds when nothing is said.
const (
	defaultTokenLifetime    = 24 * time.Hour
	defaultSigningKeyMaxAge = 30 * 24 * time.Hour
	minTokenLifetime        = time.Minute
	minSigningKeyMaxAge     = time.Hour
)

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	if c.AdminTokenPath == "" {
		problems = append(problems, errors.New("the path of the administrator's token is missing"))
	}
	if (c.SealingKeyPath == "") == (c.SealingKeyURL == "") {
		problems = append(problems, errors.New("give the path or the URL of the sealing key, one of them"))
	}
	if c.TokenLifetime != 0 && c.TokenLifetime < minTokenLifetime {
		problems = append(problems, fmt.Errorf("the lifetime of tokens must be at least %v, not %v", minTokenLifetime, c.TokenLifetime))
	}
	if c.SigningKeyMaxAge != 0 && c.SigningKeyMaxAge < minSigningKeyMaxAge {
		problems = append(problems, fmt.Errorf("a signing key must sign for at least %v, not %v", minSigningKeyMaxAge, c.SigningKeyMaxAge))
	}
	for _, i := range c.Issuers {
		problems = append(problems, i.Validate())
	}
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	if c.TokenLifetime == 0 {
		c.TokenLifetime = defaultTokenLifetime
	}
	if c.SigningKeyMaxAge == 0 {
		c.SigningKeyMaxAge = defaultSigningKeyMaxAge
	}
	return c
}

// Deps is what the code hands over.
type Deps struct {
	Logger *slog.Logger
	Store  store.Store
	Clock  func() time.Time // nil means time.Now
}

// collections are what is in the store.
type collections struct {
	workspaces *state.Collection[workspace.Workspace]
	keys       *state.Collection[endpointkey.Keys]
	rings      *state.Collection[signing.Ring]
	bindings   *state.Collection[rolebinding.Binding]
	principals *state.Collection[serviceprincipal.Principal]
	audit      *state.AuditLog
}

func newCollections(st store.Store, log *slog.Logger) collections {
	return collections{
		workspaces: state.NewCollection[workspace.Workspace](st, "workspaces", log),
		keys:       state.NewCollection[endpointkey.Keys](st, "endpointkeys", log),
		rings:      state.NewCollection[signing.Ring](st, signingkeys.Prefix, log),
		bindings:   state.NewCollection[rolebinding.Binding](st, "rolebindings", log),
		principals: state.NewCollection[serviceprincipal.Principal](st, "serviceprincipals", log),
		audit:      state.NewAuditLog(st, log),
	}
}

// follow gives what keeps the views of the store fresh.
func (c collections) follow() []func(context.Context) error {
	return []func(context.Context) error{c.workspaces.Run, c.keys.Run, c.rings.Run, c.bindings.Run, c.principals.Run, c.audit.Follow}
}

func (c collections) waitSynced(ctx context.Context) error {
	return errors.Join(c.workspaces.WaitSynced(ctx), c.keys.WaitSynced(ctx), c.rings.WaitSynced(ctx),
		c.bindings.WaitSynced(ctx), c.principals.WaitSynced(ctx), c.audit.WaitSynced(ctx))
}

// Service is the auth service. It is a component.
type Service struct {
	collections
	cfg     Config
	now     func() time.Time
	sealer  *sealing.Sealer
	signing *signingkeys.Keys
	users   *oidc.Verifier
	checker *access.Checker
	ready   chan struct{}
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
	users, err := oidc.New(cfg.Issuers, deps.Clock)
	if err != nil {
		return nil, err
	}
	sealer, err := openSealer(ctx, cfg, deps.Logger)
	if err != nil {
		return nil, err
	}
	s := &Service{
		cfg: cfg.withDefaults(), collections: newCollections(deps.Store, deps.Logger),
		now: deps.Clock, sealer: sealer, users: users, ready: make(chan struct{}),
	}
	s.signing = signingkeys.New(signingkeys.Config{Lifetime: s.cfg.TokenLifetime, MaxAge: s.cfg.SigningKeyMaxAge},
		signingkeys.Deps{Rings: s.rings, Sealer: sealer, Logger: deps.Logger, Now: deps.Clock})
	s.checker = access.NewChecker(access.Deps{
		Admin: token, Workspaces: known{s.collections}, Principals: known{s.collections}, Bindings: known{s.collections},
		Users: users, Now: deps.Clock,
	})
	return s, nil
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
	authv1.RegisterIdentityServiceServer(r, grpcapi.NewIdentityServer(s.checker))
	authv1.RegisterWorkspaceServiceServer(r, grpcapi.NewWorkspaceServer(s.workspaces, s.checker, newUID, s.now))
	authv1.RegisterEndpointKeyServiceServer(r, grpcapi.NewEndpointKeyServer(s.keys, s.bindings, s.sealer, s.now))
	authv1.RegisterTokenServiceServer(r, grpcapi.NewTokenServer(grpcapi.TokenDeps{
		Keys: s.keys, Signing: s.signing, Lifetime: s.cfg.TokenLifetime, Now: s.now,
		ScoringBaseURL: strings.TrimRight(s.cfg.ScoringBaseURL, "/"),
	}))
	authv1.RegisterRoleBindingServiceServer(r, grpcapi.NewRoleBindingServer(grpcapi.RoleBindingDeps{
		Bindings: s.bindings, Principals: s.principals, Keys: s.keys, NewUID: newUID, Now: s.now,
	}))
	authv1.RegisterServicePrincipalServiceServer(r, grpcapi.NewServicePrincipalServer(grpcapi.ServicePrincipalDeps{
		Principals: s.principals, Bindings: s.bindings, NewUID: newUID, Now: s.now,
	}))
	authv1.RegisterAuditServiceServer(r, grpcapi.NewAuditServer(s.audit))
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
	for _, follow := range s.follow() {
		g.Go(func() error { return follow(inner) })
	}
	g.Go(func() error { return s.audit.Run(inner) })
	g.Go(func() error {
		if err := s.prepare(inner); err != nil {
			return err
		}
		close(s.ready)
		return s.signing.Run(inner)
	})
	err := g.Wait()
	s.users.Close()
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, s.sealer.Close())
}

// prepare waits for the caches and makes the signing keys and the default workspace.
func (s *Service) prepare(ctx context.Context) error {
	if err := s.waitSynced(ctx); err != nil {
		return err
	}
	if err := s.signing.Ensure(ctx); err != nil {
		return fmt.Errorf("make the signing keys: %w", err)
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

// known answers what access asks of the store.
type known struct{ collections }

// Exists says whether there is a workspace with this id.
func (k known) Exists(ctx context.Context, id string) (bool, error) {
	w, err := k.workspaces.Get(ctx, id)
	return w.Exists(), err
}

// Find gives a service principal.
func (k known) Find(ctx context.Context, id string) (serviceprincipal.Principal, bool, error) {
	p, err := k.principals.Get(ctx, id)
	return p.Value, p.Exists(), err
}

// In gives the role bindings of a workspace, or all of them for "".
func (k known) In(id string) []rolebinding.Binding {
	if id == "" {
		return k.bindings.List()
	}
	return k.bindings.Below(resourcename.Format("workspaces", id))
}

// newUID makes the identity of a resource.
func newUID() string { return strings.ToLower(events.NewID()) }
