package assembly

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/artefact"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/lifecycle"
	"github.com/fairlead/fairlead/proto"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth"
	"github.com/fairlead/fairlead/services/compute"
	"github.com/fairlead/fairlead/services/deploy"
	"github.com/fairlead/fairlead/services/gateway"
	"github.com/fairlead/fairlead/services/router"
	"github.com/fairlead/fairlead/services/telemetry"
)

// AuthConfig is the auth service's, without files.
type AuthConfig struct {
	// Issuers are the identity providers whose users may sign in.
	Issuers []Issuer
	// TokenLifetime is how long an endpoint's token is valid at most.
	TokenLifetime time.Duration
	// SigningKeyMaxAge is how long a key signs tokens.
	SigningKeyMaxAge time.Duration
}

// Issuer is an identity provider.
type Issuer = auth.Issuer

func (s *site) buildAuth(ctx context.Context, cfg AuthConfig, scoringURL string) ([]lifecycle.Member, error) {
	st, err := s.store(ctx, authService)
	if err != nil {
		return nil, err
	}
	service, err := auth.New(ctx, auth.Config{
		AdminTokenPath: s.path(AdminTokenFile),
		SealingKeyPath: s.path(SealingKeyFile),
		Issuers:        cfg.Issuers, TokenLifetime: cfg.TokenLifetime, SigningKeyMaxAge: cfg.SigningKeyMaxAge,
		ScoringBaseURL: scoringURL,
	}, auth.Deps{Logger: s.log.With("service", authService), Store: st, Clock: s.clock})
	if err != nil {
		return nil, fmt.Errorf("build auth: %w", err)
	}
	return s.serve(authService, service, service)
}

// TelemetryConfig is the telemetry service's, without a folder.
type TelemetryConfig = telemetry.Config

// DefaultTelemetry gives the telemetry service's defaults.
func DefaultTelemetry() TelemetryConfig { return telemetry.NewDefaultConfig() }

// buildTelemetry is the telemetry service in this process's data folder.
func (s *site) buildTelemetry(config TelemetryConfig) ([]lifecycle.Member, error) {
	check, err := s.access(telemetryService)
	if err != nil {
		return nil, err
	}
	config.DataDir = s.path("telemetry")
	service, err := telemetry.New(config, telemetry.Deps{Logger: s.log.With("service", telemetryService), Clock: s.clock})
	if err != nil {
		return nil, fmt.Errorf("build telemetry: %w", err)
	}
	return s.serve(telemetryService, service, check)
}

// artefacts opens the bucket that deploy writes and compute reads.
func (s *site) artefacts(ctx context.Context, bucket string) (*artefact.Store, error) {
	if bucket == "" {
		u := url.URL{Scheme: "file", Path: s.path("artefacts"), RawQuery: "create_dir=true&no_tmp_dir=true&dir_file_mode=0700"}
		bucket = u.String()
	}
	a, err := artefact.Open(ctx, bucket)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, a.Close)
	return a, nil
}

func (s *site) buildCompute(ctx context.Context, cfg LocalConfig, bucket string, orphanGrace time.Duration) ([]lifecycle.Member, error) {
	st, err := s.store(ctx, computeService)
	if err != nil {
		return nil, err
	}
	artefacts, err := s.artefacts(ctx, bucket)
	if err != nil {
		return nil, err
	}
	check, err := s.access(computeService)
	if err != nil {
		return nil, err
	}
	config := compute.NewDefaultConfig()
	config.DataDir = s.path("compute")
	config.LocalNodes, config.LocalNodeSize = cfg.Nodes, cfg.NodeSize
	config.Python = cfg.Python
	config.ScorerCommand = cfg.ScorerCommand
	config.OrphanGrace = orphanGrace
	service, err := compute.New(ctx, config, compute.Deps{
		Logger: s.log.With("service", computeService), Store: st, Artefacts: artefacts, Clock: s.clock,
	})
	if err != nil {
		return nil, fmt.Errorf("build compute: %w", err)
	}
	return s.serve(computeService, service, check)
}

func (s *site) buildDeploy(ctx context.Context, scoringURL, bucket string) ([]lifecycle.Member, error) {
	st, err := s.store(ctx, deployService)
	if err != nil {
		return nil, err
	}
	artefacts, err := s.artefacts(ctx, bucket)
	if err != nil {
		return nil, err
	}
	check, err := s.access(deployService)
	if err != nil {
		return nil, err
	}
	toCompute, err := s.dial(deployService, computeService)
	if err != nil {
		return nil, err
	}
	toAuth, err := s.dial(deployService, authService)
	if err != nil {
		return nil, err
	}
	config := deploy.NewDefaultConfig()
	config.DataDir = s.path("deploy")
	config.ScoringBaseURL = scoringURL
	service, err := deploy.New(ctx, config, deploy.Deps{
		Logger: s.log.With("service", deployService), Store: st, Artefacts: artefacts, Compute: toCompute, Auth: toAuth,
		Clock: s.clock,
	})
	if err != nil {
		return nil, fmt.Errorf("build deploy: %w", err)
	}
	return s.serve(deployService, service, check)
}

func (s *site) buildRouter(ctx context.Context, listen string) ([]lifecycle.Member, error) {
	toDeploy, err := s.dial(routerService, deployService)
	if err != nil {
		return nil, err
	}
	toCompute, err := s.dial(routerService, computeService)
	if err != nil {
		return nil, err
	}
	toAuth, err := s.dial(routerService, authService)
	if err != nil {
		return nil, err
	}
	toTelemetry, err := s.dial(routerService, telemetryService)
	if err != nil {
		return nil, err
	}
	check, err := s.access(routerService)
	if err != nil {
		return nil, err
	}
	config := router.NewDefaultConfig()
	config.Listen = listen
	config.SnapshotPath = s.path("router", "snapshot.pb")
	config.ReportsPath = s.path("router", "reports.pb")
	service, err := router.New(ctx, config, router.Deps{
		Logger: s.log.With("service", routerService), Deploy: toDeploy, Compute: toCompute, Auth: toAuth,
		Telemetry: toTelemetry, Metrics: s.registry, Tracer: s.tracing.Tracer(), Clock: s.clock, Version: s.version,
	})
	if err != nil {
		return nil, fmt.Errorf("build router: %w", err)
	}
	s.addresses.data = func() string { return service.Addr().String() }
	return s.serve(routerService, service, check)
}

func (s *site) buildGateway(ctx context.Context, listen string) ([]lifecycle.Member, error) {
	_, js, err := s.connectNATS(ctx, gatewayService)
	if err != nil {
		return nil, err
	}
	conns := map[string]*grpc.ClientConn{}
	for _, to := range []string{authService, computeService, deployService, routerService, telemetryService} {
		if conns[to], err = s.dial(gatewayService, to); err != nil {
			return nil, err
		}
	}
	config := gateway.NewDefaultConfig()
	config.Listen = listen
	service, err := gateway.New(ctx, config, gateway.Deps{
		Logger:   s.log.With("service", gatewayService),
		Conns:    conns,
		EventLog: events.OpenLog(js),
		Access:   access{authv1.NewAccessServiceClient(conns[authService])},
		OpenAPI:  proto.OpenAPI,
		Version:  s.version,
		Wrap:     s.tracing.Wrap,
	})
	if err != nil {
		return nil, fmt.Errorf("build gateway: %w", err)
	}
	s.addresses.control = service.Addr
	return []lifecycle.Member{{Name: gatewayService, Component: service}}, nil
}
