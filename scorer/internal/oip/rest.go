package oip

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

type serverAnswer struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

type modelAnswer struct {
	Name     string       `json:"name"`
	Versions []string     `json:"versions"`
	Platform string       `json:"platform"`
	Inputs   []specAnswer `json:"inputs"`
	Outputs  []specAnswer `json:"outputs"`
}

type specAnswer struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

type readyAnswer struct {
	Name  string `json:"name,omitempty"`
	Ready bool   `json:"ready"`
}

// serveREST routes by the path.
func (h *Handler) serveREST(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v2")
	switch path {
	case "":
		h.get(w, r, func() (int, any, error) {
			return http.StatusOK, serverAnswer{h.cfg.Server, h.cfg.Version, []string{extension}}, nil
		})
	case "/health/live":
		h.get(w, r, func() (int, any, error) {
			return http.StatusOK, struct {
				Live bool `json:"live"`
			}{true}, nil
		})
	case "/health/ready":
		h.get(w, r, func() (int, any, error) { return readiness(h.isReady()), readyAnswer{Ready: h.isReady()}, nil })
	default:
		a, verb, ok := parseModelPath(path)
		if !ok {
			h.fail(w, notFound("there is nothing at %q", r.URL.Path))
			return
		}
		h.serveModel(w, r, a, verb)
	}
}

func (h *Handler) serveModel(w http.ResponseWriter, r *http.Request, a asked, verb string) {
	switch verb {
	case "":
		h.get(w, r, func() (int, any, error) {
			model, a, err := h.find(a)
			if err != nil {
				return 0, nil, err
			}
			return http.StatusOK, h.describe(model.Metadata(), a), nil
		})
	case "ready":
		h.get(w, r, func() (int, any, error) {
			ready, err := h.isModelReady(a)
			return readiness(ready), readyAnswer{a.name, ready}, err
		})
	default:
		if r.Method != http.MethodPost {
			notAllowed(w, http.MethodPost)
			return
		}
		if err := h.serveInfer(w, r, a); err != nil {
			h.fail(w, err)
		}
	}
}

// parseModelPath reads what follows /v2: the model, its version, and infer, ready or nothing.
func parseModelPath(path string) (a asked, verb string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/models/")
	parts := strings.Split(rest, "/")
	a.name, parts = parts[0], parts[1:]
	if len(parts) > 0 && parts[0] == "versions" {
		if len(parts) == 1 || parts[1] == "" {
			return a, "", false
		}
		a.version, parts = parts[1], parts[2:]
	}
	switch {
	case !ok || a.name == "" || len(parts) > 1:
		return a, "", false
	case len(parts) == 0:
		return a, "", true
	}
	return a, parts[0], parts[0] == "infer" || parts[0] == "ready"
}

// isModelReady reports whether the model that is named can answer. It fails for one that is not there.
func (h *Handler) isModelReady(a asked) (bool, error) {
	_, _, err := h.find(a)
	var missing notFoundError
	if errors.As(err, &missing) {
		return false, missing
	}
	return err == nil && h.isReady(), nil
}

// readiness: the protocol says 4xx for what is not ready.
func readiness(ready bool) int {
	if ready {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

func (h *Handler) describe(m tensor.Metadata, a asked) modelAnswer {
	return modelAnswer{a.name, h.ownVersion(), m.Platform, specAnswers(m.Inputs), specAnswers(m.Outputs)}
}

func specAnswers(specs []tensor.Spec) []specAnswer {
	out := make([]specAnswer, len(specs))
	for i, s := range specs {
		shape := s.Shape
		if shape == nil {
			shape = []int64{}
		}
		out[i] = specAnswer{s.Name, s.Datatype.String(), shape}
	}
	return out
}

// get answers GET and HEAD.
func (h *Handler) get(w http.ResponseWriter, r *http.Request, answer func() (int, any, error)) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		notAllowed(w, http.MethodGet)
		return
	}
	code, value, err := answer()
	if err != nil {
		h.fail(w, err)
		return
	}
	writeJSON(w, code, value)
}

func notAllowed(w http.ResponseWriter, method string) {
	w.Header().Set("Allow", method)
	writeJSON(w, http.StatusMethodNotAllowed, errorAnswer{"the method must be " + method})
}

type errorAnswer struct {
	Error string `json:"error"`
}

func (h *Handler) fail(w http.ResponseWriter, err error) {
	code, _, message := answerOf(err)
	if message == messageInternal {
		h.deps.Log.Error("inference failed", "error", err)
	}
	if code == http.StatusServiceUnavailable && h.deps.Gate.IsShut() {
		w.Header().Set("Connection", "close")
	}
	writeJSON(w, code, errorAnswer{message})
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"error":"`+messageInternal+`"}`)
	}
	exchange.Write(w, code, exchange.TypeJSON, b)
}
