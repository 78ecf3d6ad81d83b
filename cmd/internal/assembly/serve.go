package assembly

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/lifecycle"
	"github.com/fairlead/fairlead/platform/rpc"
)

// ServeConfig is one process of an installation that has several.
type ServeConfig struct {
	Services []string // of Services()
	DataDir  string
	// CertDir holds ca.pem, the services' certificates and nats.password; see CreateCerts.
	CertDir string
	// Addresses are host:port of the services' gRPC, and of NATS.
	Addresses map[string]string
	// Artefacts is the bucket that deploy writes and compute reads.
	Artefacts     string
	DataListen    string
	ControlListen string
	// ScoringURL is where callers reach the data plane, for scoring_uri.
	ScoringURL   string
	HealthListen string
	Local        LocalConfig
	Auth         AuthConfig
	Telemetry    TelemetryConfig
	// OrphanGrace is how long replicas go on without compute.
	OrphanGrace time.Duration
}

// Validate reports everything that is wrong.
func (c ServeConfig) Validate() error {
	var problems []error
	if len(c.Services) == 0 {
		problems = append(problems, fmt.Errorf("name the services to run: %s", strings.Join(Services(), ", ")))
	}
	for _, name := range c.Services {
		if !slices.Contains(Services(), name) {
			problems = append(problems, fmt.Errorf("there is no service %q; there are %s", name, strings.Join(Services(), ", ")))
		}
	}
	for name := range c.Addresses {
		if !slices.Contains(Services(), name) {
			problems = append(problems, fmt.Errorf("an address is given for %q, which is no service", name))
		}
	}
	if c.CertDir == "" {
		problems = append(problems, errors.New("--cert-dir is missing; make certificates with: fairlead certs create"))
	}
	return errors.Join(problems...)
}

// natsPasswordFile is the services' password at the NATS server.
const natsPasswordFile = "nats.password"

// CreateCerts makes what the processes of an installation know each other by:
// an authority, a certificate for each service, and the services' NATS password.
func CreateCerts(dir string, hosts []string, now time.Time) error {
	hosts = append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	if err := rpc.CreateCerts(dir, Services(), hosts, now); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, natsPasswordFile), []byte(rand.Text()+rand.Text()), 0o600)
}

// Serve runs the named services in this process until ctx ends. When all are
// ready it writes the line "ready".
func Serve(ctx context.Context, cfg ServeConfig, deps Deps) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := checkPlaces(ctx, cfg.places()...); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	password, err := os.ReadFile(filepath.Join(cfg.CertDir, natsPasswordFile))
	if err != nil {
		return fmt.Errorf("read the services' NATS password: %w", err)
	}
	watched, err := observe(ctx, deps)
	if err != nil {
		return err
	}
	s := &site{log: deps.Logger, version: deps.Version, clock: deps.Clock, dataDir: cfg.DataDir, observed: watched}
	s.network = func(service string) (rpc.Network, error) {
		return rpc.NewTCP(rpc.TCPConfig{
			Addresses: cfg.Addresses, CertDir: cfg.CertDir, Service: service, Options: watched.tracing.DialOptions(),
		})
	}
	s.nats = func(service string) (bus.Target, error) {
		address, ok := cfg.Addresses[natsService]
		if !ok {
			return bus.Target{}, errors.New("no address is given for nats")
		}
		return certifiedTarget(service, cfg.CertDir, service, string(password), address)
	}
	defer s.close()
	members := []lifecycle.Member{s.connections()}
	for _, name := range Services() {
		if !slices.Contains(cfg.Services, name) {
			continue
		}
		built, err := s.buildOne(ctx, name, cfg, string(password))
		if err != nil {
			return err
		}
		members = append(members, built...)
	}
	return s.run(ctx, members, deps.Stdout, cfg.HealthListen)
}

func (s *site) buildOne(ctx context.Context, name string, cfg ServeConfig, password string) ([]lifecycle.Member, error) {
	switch name {
	case natsService:
		return s.buildNATS(ctx, cfg, password)
	case authService:
		return s.buildAuth(ctx, cfg.Auth, cfg.ScoringURL)
	case telemetryService:
		return s.buildTelemetry(cfg.Telemetry)
	case computeService:
		return s.buildCompute(ctx, cfg.Local, cfg.Artefacts, cfg.OrphanGrace)
	case deployService:
		return s.buildDeploy(ctx, cfg.ScoringURL, cfg.Artefacts)
	case routerService:
		return s.buildRouter(ctx, cfg.DataListen)
	default:
		return s.buildGateway(ctx, cfg.ControlListen)
	}
}

// natsUser is the user name of the services at the NATS server.
const natsUser = "fairlead-service"

// certifiedTarget is a NATS server that wants to see the certificate of a service,
// and shows its own.
func certifiedTarget(name, certDir, service, password, address string) (bus.Target, error) {
	network, err := rpc.NewTCP(rpc.TCPConfig{CertDir: certDir, Service: service})
	if err != nil {
		return bus.Target{}, err
	}
	target := serviceTarget(name, password, address)
	target.TLS = network.ClientTLS(natsService)
	return target, nil
}

func serviceTarget(name, password, address string) bus.Target {
	u := url.URL{Scheme: "nats", User: url.UserPassword(natsUser, password), Host: address}
	return bus.Target{Name: name, URL: u.String()}
}

// buildNATS is a NATS server with the settings that the services need. Services
// come with their certificate and password, consumers of events with a token.
func (s *site) buildNATS(ctx context.Context, cfg ServeConfig, password string) ([]lifecycle.Member, error) {
	check, err := s.access(natsService)
	if err != nil {
		return nil, err
	}
	network, err := rpc.NewTCP(rpc.TCPConfig{CertDir: cfg.CertDir, Service: natsService})
	if err != nil {
		return nil, err
	}
	encryption := network.ServerTLS()
	encryption.ClientAuth = tls.VerifyClientCertIfGiven // consumers of events have none
	server, err := bus.Start(ctx, bus.Config{StoreDir: s.path("nats"), Listen: cfg.Addresses[natsService]}, bus.Deps{
		Logger:       s.log.With("service", natsService),
		TLS:          encryption,
		Authenticate: certified(services(password, eventConsumer(check))),
	})
	if err != nil {
		return nil, err
	}
	s.addresses.nats, s.trouble = server.Addr, server.Trouble
	return []lifecycle.Member{{Name: natsService, Component: server}}, nil
}
