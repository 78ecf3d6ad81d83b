package assembly

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"
)

// healthServer answers probes: /healthz while the process lives, /readyz when
// its services are ready, /metrics for Prometheus.
type healthServer struct {
	listen string
	ready  <-chan struct{}
	// trouble says what is wrong though the services are ready; nil means nothing is
	// ever known. A process in trouble stays ready: without requests it could not do
	// what it still can, such as scoring while the disk is full.
	trouble func() string
	// metrics answers Prometheus.
	metrics http.Handler
}

// Run serves until ctx ends.
func (h *healthServer) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, health{Status: "ok"}) })
	mux.Handle("GET /metrics", h.metrics)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-h.ready:
			answer(w, h.now())
		default:
			answer(w, health{Status: starting})
		}
	})
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", h.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err = <-failed:
		return err
	case <-ctx.Done():
	}
	err = server.Close()
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

const starting = "starting"

// health is what probes are told.
type health struct {
	Status  string `json:"status"` // "ok", "starting" or "degraded"
	Problem string `json:"problem,omitempty"`
}

func (h *healthServer) now() health {
	if h.trouble != nil {
		if problem := h.trouble(); problem != "" {
			return health{Status: "degraded", Problem: problem}
		}
	}
	return health{Status: "ok"}
}

func answer(w http.ResponseWriter, h health) {
	w.Header().Set("Content-Type", "application/json")
	if h.Status == starting {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h)
}
