package assembly

import (
	"context"
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
	// metrics answers Prometheus.
	metrics http.Handler
}

// Run serves until ctx ends.
func (h *healthServer) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, true) })
	mux.Handle("GET /metrics", h.metrics)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-h.ready:
			answer(w, true)
		default:
			answer(w, false)
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

func answer(w http.ResponseWriter, ok bool) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"starting"}` + "\n"))
		return
	}
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}
