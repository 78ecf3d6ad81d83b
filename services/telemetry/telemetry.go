// Package telemetry is the telemetry service: it takes what routers count and
// record of requests, keeps it on disk, and answers how endpoints and their
// versions are doing.
//
// Counts are exact: each router's report counts once, whatever stops or is
// killed on the way. Scoring does not depend on this service. One process at a
// time works on a folder. All methods are safe for concurrent use.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/grpcapi"
	"github.com/fairlead/fairlead/services/telemetry/internal/ledger"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
	"github.com/fairlead/fairlead/services/telemetry/internal/tail"
)

// Config is what a user writes.
type Config struct {
	// DataDir is the folder of everything that is kept.
	DataDir string
	// KeepFigures is how long counts and histograms are kept.
	KeepFigures time.Duration
	// KeepRequests is how long records of single requests are kept.
	KeepRequests time.Duration
	// MaxBytes is how much all of it may take on disk.
	MaxBytes int64
}

// NewDefaultConfig keeps figures for 30 days, records for 7, and 10 GiB.
func NewDefaultConfig() Config {
	return Config{KeepFigures: 30 * 24 * time.Hour, KeepRequests: 7 * 24 * time.Hour, MaxBytes: 10 << 30}
}

// minMaxBytes leaves room for the log and a few segments.
const minMaxBytes = 64 << 20

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	if c.DataDir == "" {
		problems = append(problems, errors.New("the folder of telemetry is missing"))
	}
	if c.KeepFigures < time.Hour {
		problems = append(problems, fmt.Errorf("figures must be kept for an hour at least, not %v", c.KeepFigures))
	}
	if c.KeepRequests < time.Hour {
		problems = append(problems, fmt.Errorf("records of requests must be kept for an hour at least, not %v", c.KeepRequests))
	}
	if c.MaxBytes < minMaxBytes {
		problems = append(problems, fmt.Errorf("telemetry needs %d bytes on disk at least, not %d", minMaxBytes, c.MaxBytes))
	}
	return errors.Join(problems...)
}

// Deps is what the code hands over.
type Deps struct {
	Logger *slog.Logger
	Clock  func() time.Time // nil means time.Now
}

const (
	sealAfter     = 5 * time.Minute
	sealBytes     = 16 << 20
	maintainEvery = 30 * time.Second
)

// Service is the telemetry service. It is a component.
type Service struct {
	log    *slog.Logger
	now    func() time.Time
	ledger *ledger.Ledger
	hub    *tail.Hub[requestlog.Request]
}

// New opens the folder.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("telemetry configuration: %w", err)
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	l, err := ledger.Open(ledger.Config{
		Folder: cfg.DataDir, KeepFigures: cfg.KeepFigures, KeepRequests: cfg.KeepRequests, MaxBytes: cfg.MaxBytes,
		SealAfter: sealAfter, SealBytes: sealBytes,
	}, deps.Logger, deps.Clock)
	if err != nil {
		return nil, err
	}
	return &Service{log: deps.Logger, now: deps.Clock, ledger: l, hub: tail.NewHub[requestlog.Request]()}, nil
}

// Register puts the service's gRPC services on a server.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	telemetryv1.RegisterRecordServiceServer(r, grpcapi.NewRecordServer(s.ledger, s.hub))
	telemetryv1.RegisterTelemetryServiceServer(r, grpcapi.NewServer(s.ledger, s.hub, s.now))
}

// Run keeps what is stored in order until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		if err := s.ledger.Maintain(); err != nil {
			s.log.Error("telemetry was not put in order; it is tried again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s.ledger.Close()
		}
	}
}
