package server

import (
	"net/http"

	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// State is the scorer's state in status answers.
type State string

// States of a scorer. Degraded: some of what answers is being replaced. Unavailable: all is.
const (
	Starting    State = "starting"
	Ready       State = "ready"
	Degraded    State = "degraded"
	Unavailable State = "unavailable"
	Draining    State = "draining"
)

// Status is a snapshot of a runtime.
type Status struct {
	// Runtime is its name: script, onnx, scikit-learn, custom.
	Runtime string
	Loaded  bool
	// Pending says what it waits for while it is not loaded.
	Pending string
	// Configured and Ready count what answers requests: workers, sessions, servers.
	Configured, Ready int
	// FailedLoads counts the failures in a row to bring back what had been loaded.
	FailedLoads int
	// LastError is the last trouble, empty for none.
	LastError string
	// Workers are those of a script, else nil.
	Workers *worker.Status
	// ExecutionProvider is what an ONNX model is computed on; ProvidersRefused are those that came before and why not.
	ExecutionProvider string
	ProvidersRefused  []Refusal
}

// Refusal is why an execution provider was not taken.
type Refusal struct {
	Provider string `json:"provider"`
	Cause    string `json:"cause"`
}

type statusAnswer struct {
	Service string         `json:"service"`
	Runtime string         `json:"runtime"`
	State   State          `json:"state"`
	Reason  string         `json:"reason,omitempty"`
	Workers *worker.Status `json:"workers,omitempty"`

	ExecutionProvider string    `json:"execution_provider,omitempty"`
	ProvidersRefused  []Refusal `json:"execution_providers_refused,omitempty"`
}

// stateOf decides the state and, when requests should go elsewhere, why.
func stateOf(status Status, draining bool) (State, string) {
	switch {
	case draining:
		return Draining, "the scorer is draining"
	case !status.Loaded:
		return Starting, status.Pending
	case status.Ready == 0:
		return Unavailable, "nothing is up to answer; " + status.LastError
	case status.Ready < status.Configured:
		return Degraded, ""
	}
	return Ready, ""
}

func startingMessage(status Status) string {
	return "The service is starting: " + status.Pending + "."
}

func goneMessage(status Status) string {
	return "Nothing is up to answer: " + status.LastError + ". Check the logs for more info."
}

func (s *Server) answer() statusAnswer {
	status := s.deps.Runtime.Status()
	state, reason := stateOf(status, s.deps.Gate.IsShut())
	return statusAnswer{
		Service: s.cfg.Service, Runtime: status.Runtime, State: state, Reason: reason, Workers: status.Workers,
		ExecutionProvider: status.ExecutionProvider, ProvidersRefused: status.ProvidersRefused,
	}
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	answer := s.answer()
	code := http.StatusOK
	if answer.Reason != "" {
		code = http.StatusServiceUnavailable
	}
	exchange.WriteJSON(w, code, struct {
		State  State  `json:"state"`
		Reason string `json:"reason,omitempty"`
	}{answer.State, answer.Reason})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	exchange.WriteJSON(w, http.StatusOK, s.answer())
}

func (s *Server) drain(w http.ResponseWriter, _ *http.Request) {
	s.Drain()
	s.drainOne.Do(func() { close(s.drained) })
	exchange.WriteJSON(w, http.StatusAccepted, s.answer())
}
