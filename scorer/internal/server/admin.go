package server

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// State is the scorer's state in status answers.
type State string

// States of a scorer. Degraded: some workers are being replaced. Unavailable: all are.
const (
	Starting    State = "starting"
	Ready       State = "ready"
	Degraded    State = "degraded"
	Unavailable State = "unavailable"
	Draining    State = "draining"
)

type statusAnswer struct {
	Service string        `json:"service"`
	State   State         `json:"state"`
	Reason  string        `json:"reason,omitempty"`
	Workers worker.Status `json:"workers"`
}

// stateOf decides the state and, when requests should go elsewhere, why.
func stateOf(status worker.Status, draining bool) (State, string) {
	switch {
	case draining:
		return Draining, "the scorer is draining"
	case !status.Loaded:
		return Starting, "init() has not succeeded in all workers yet"
	case status.Ready == 0:
		return Unavailable, "all workers are being replaced; " + status.LastError
	case status.Ready < status.Configured:
		return Degraded, ""
	}
	return Ready, ""
}

func (s *Server) answer() statusAnswer {
	status := s.pool.Status()
	state, reason := stateOf(status, s.gate.isShut())
	return statusAnswer{Service: s.cfg.Service, State: state, Reason: reason, Workers: status}
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	answer := s.answer()
	code := http.StatusOK
	if answer.Reason != "" {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, struct {
		State  State  `json:"state"`
		Reason string `json:"reason,omitempty"`
	}{answer.State, answer.Reason})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.answer())
}

func (s *Server) drain(w http.ResponseWriter, _ *http.Request) {
	s.Drain()
	s.drainOne.Do(func() { close(s.drained) })
	writeJSON(w, http.StatusAccepted, s.answer())
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		fail(w, http.StatusInternalServerError, messageInternal, false)
		return
	}
	write(w, code, typeJSON, b)
}

// messageJSON spells an error body as the old product does.
func messageJSON(message string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"message": `)
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(message) // a string always encodes
	b.Truncate(b.Len() - 1)
	b.WriteByte('}')
	return b.Bytes()
}
