package router

import (
	"github.com/oklog/ulid/v2"

	"github.com/fairlead/fairlead/services/router/internal/metrics"
	"github.com/fairlead/fairlead/services/router/internal/record"
	"github.com/fairlead/fairlead/services/router/internal/reporting"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// count has requests counted, reported and shown, when somebody takes that.
func (s *Service) count(config Config, deps Deps) error {
	if deps.Telemetry == nil {
		return nil
	}
	s.recorder = record.New(deps.Clock())
	s.reports = reporting.New(reporting.Deps{
		Logger: deps.Logger, Telemetry: deps.Telemetry, Recorder: s.recorder, Router: ulid.Make().String(),
		SpoolPath: config.ReportsPath, Clock: deps.Clock, Live: s.isLive,
	})
	if deps.Metrics == nil {
		return nil
	}
	return deps.Metrics.Register(metrics.New(s.reports, s.routes))
}

// isLive says whether figures are of what is in the route table.
func (s *Service) isLive(key record.Key, workspace, endpoint string) bool {
	table := s.routes.Load()
	if key.UID == "" || !table.Complete {
		return true
	}
	e, ok := table.Lookup(routetable.ID{Workspace: workspace, Endpoint: endpoint})
	if !ok || e.UID != key.UID {
		return false
	}
	_, ok = e.Version(key.Version)
	return ok || key.Version == ""
}
