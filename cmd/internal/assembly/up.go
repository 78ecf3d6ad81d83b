package assembly

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/lifecycle"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/telemetry"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/compute"
)

// AdminTokenFile is the file in the data folder with the administrator's token.
const AdminTokenFile = "admin.token"

// LocalConfig is the compute target "local".
type LocalConfig struct {
	Nodes    int
	NodeSize string
	// Python is the interpreter of entry scripts; empty means to choose one.
	Python string
	// ScorerCommand starts a scorer; its flags follow.
	ScorerCommand []string
}

// PythonPath gives the program that entry scripts would run with on this machine.
func PythonPath(ctx context.Context, configured string) (string, error) {
	python, err := compute.ChoosePython(ctx, configured)
	return python.Path, err
}

// DescribePython says what entry scripts would run with on this machine: the
// configured interpreter, or the one that would be chosen.
func DescribePython(ctx context.Context, configured string) (string, error) {
	python, err := compute.ChoosePython(ctx, configured)
	if err != nil {
		return "", err
	}
	text := python.Path + ", Python " + python.Version
	if len(python.Packages) > 0 {
		text += ", with " + strings.Join(python.Packages, ", ")
	}
	return text, nil
}

// UpConfig is the whole installation in one process.
type UpConfig struct {
	DataDir       string
	DataListen    string
	ControlListen string
	NATSListen    string
	HealthListen  string // empty means none
	Local         LocalConfig
	Auth          AuthConfig
	Telemetry     TelemetryConfig
}

// Deps is what an assembly is given.
type Deps struct {
	Logger  *slog.Logger
	Stdout  io.Writer
	Version string
	// Getenv reads the environment, for where traces go; nil means nowhere.
	Getenv func(string) string
	// Clock is the time that services decide by; nil means the machine's.
	Clock func() time.Time
}

// Up runs all services in this process until ctx ends. When all are ready it
// writes the line "ready".
func Up(ctx context.Context, cfg UpConfig, deps Deps) error {
	lock, err := lockDataDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := checkPlaces(ctx, cfg.places()...); err != nil {
		return err
	}
	watched, err := observe(ctx, deps)
	if err != nil {
		return err
	}
	network := rpc.NewMemory(watched.tracing.DialOptions()...)
	s := &site{
		log: deps.Logger, version: deps.Version, clock: deps.Clock, dataDir: cfg.DataDir, observed: watched,
		network: func(string) (rpc.Network, error) { return network, nil },
	}
	check, err := s.access(natsService)
	if err != nil {
		return err
	}
	authenticate, err := operators(cfg.DataDir, eventConsumer(check))
	if err != nil {
		s.close()
		return err
	}
	server, err := bus.Start(ctx, bus.Config{StoreDir: s.path("nats"), Listen: cfg.NATSListen},
		bus.Deps{Logger: deps.Logger.With("service", natsService), Authenticate: authenticate})
	if err != nil {
		s.close()
		return err
	}
	defer server.Close()
	defer s.close() // before the server
	s.nats = func(service string) (bus.Target, error) { return bus.Target{Name: service, Embedded: server}, nil }
	s.addresses.nats, s.trouble = server.Addr, server.Trouble
	built, err := s.buildAll(ctx, cfg)
	if err != nil {
		return err
	}
	members := []lifecycle.Member{{Name: natsService, Component: server}, s.connections()}
	return s.run(ctx, append(members, built...), deps.Stdout, cfg.HealthListen)
}

// Addresses are where an installation listens.
type Addresses struct {
	Data    string `json:"data,omitempty"`
	Control string `json:"control,omitempty"`
	NATS    string `json:"nats,omitempty"`
}

// addressesFile is in the data folder while the installation runs.
const addressesFile = "addresses.json"

// ReadAddresses gives the addresses of the installation whose data folder it
// is; the error says when none runs.
func ReadAddresses(dataDir string) (Addresses, error) {
	var a Addresses
	raw, err := os.ReadFile(filepath.Join(dataDir, addressesFile))
	if err != nil {
		return a, fmt.Errorf("no running installation has its data in %s: start one with: fairlead up --data-dir %s", dataDir, dataDir)
	}
	return a, json.Unmarshal(raw, &a)
}

func (s *site) buildAll(ctx context.Context, cfg UpConfig) ([]lifecycle.Member, error) {
	// The router is made first, because where it listens is told by the others.
	router, err := s.buildRouter(ctx, cfg.DataListen)
	if err != nil {
		return nil, err
	}
	scoringURL := "http://" + s.addresses.data()
	members, err := s.buildAuth(ctx, cfg.Auth, scoringURL)
	if err != nil {
		return nil, err
	}
	sink, err := s.buildTelemetry(cfg.Telemetry)
	if err != nil {
		return nil, err
	}
	// The all-in-one's replicas are of no use without its router: they end with it.
	compute, err := s.buildCompute(ctx, cfg.Local, "", 0)
	if err != nil {
		return nil, err
	}
	deploy, err := s.buildDeploy(ctx, scoringURL, "")
	if err != nil {
		return nil, err
	}
	gateway, err := s.buildGateway(ctx, cfg.ControlListen)
	return slices.Concat(members, sink, compute, deploy, router, gateway), err
}

// listening tells where the services of this process listen, once they do; nil
// for those that run elsewhere.
type listening struct{ data, control, nats func() string }

func (l listening) now() Addresses {
	at := func(f func() string) string {
		if f == nil {
			return ""
		}
		return f()
	}
	return Addresses{Data: at(l.data), Control: at(l.control), NATS: at(l.nats)}
}

// run runs the members; when all are ready it notes the addresses and says so.
func (s *site) run(ctx context.Context, members []lifecycle.Member, stdout io.Writer, healthListen string) error {
	group := lifecycle.NewGroup(members...)
	announce := lifecycle.Func(func(ctx context.Context) error {
		addresses := s.addresses.now()
		raw, err := json.Marshal(addresses)
		if err != nil {
			return err
		}
		path := s.path(addressesFile)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			return err
		}
		defer os.Remove(path)
		s.log.Info("ready", "data", addresses.Data, "control", addresses.Control, "nats", addresses.NATS)
		fmt.Fprintln(stdout, "ready")
		<-ctx.Done()
		return nil
	})
	all := []lifecycle.Member{s.member()}
	if healthListen != "" {
		all = append(all, lifecycle.Member{Name: "health", Component: &healthServer{
			listen: healthListen, ready: group.Ready(), trouble: s.trouble, metrics: telemetry.Handler(s.registry),
		}})
	}
	all = append(all, lifecycle.Member{Name: "services", Component: group}, lifecycle.Member{Name: "announcement", Component: announce})
	return lifecycle.NewGroup(all...).Run(ctx)
}

// eventConsumer lets everybody read all events who may watch them by the API.
func eventConsumer(check rpc.Access) bus.Authenticator {
	return func(ctx context.Context, c bus.Credential) (bus.Access, error) {
		if _, err := check.Check(ctx, c.Secret(), eventsv1.EventService_WatchEvents_FullMethodName, "workspaces/-"); err != nil {
			return bus.Access{}, err
		}
		return bus.AllWorkspaces(), nil
	}
}

// lockDataDir makes the data folder and keeps a second process out of it.
func lockDataDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("the data folder %s is %w by another process: end it, or give another --data-dir", dir, ErrInUse)
	}
	if err := checkRestored(dir); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
