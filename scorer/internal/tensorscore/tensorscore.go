// Package tensorscore answers /score for a model that takes and gives tensors and has no script: JSON in, JSON out.
//
// A request names the inputs, {"pixels": [[…], …], …}, as arrays nested as the shapes are. A model with one input also takes
// {"data": [[…], …]} and the array alone. The answer names the outputs: {"digit": [3, …], …}. The form of the old product's server
// for ONNX models, {"inputs": {"pixels": {"dims": …, "dataType": …, "rawData": …}}}, is answered in kind.
//
// Bad input is answered with status 400 and all that is wrong with it. A Handler may be used from any goroutine.
package tensorscore

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// model is what computes.
type model interface {
	Metadata() tensor.Metadata
	Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error)
}

// Handler answers /score.
type Handler struct {
	maxBody int64
	log     *slog.Logger
}

// New makes a handler of requests of at most maxBody bytes.
func New(maxBody int64, log *slog.Logger) *Handler { return &Handler{maxBody: maxBody, log: log} }

// Score answers one request.
func (h *Handler) Score(w http.ResponseWriter, r *http.Request, m model) {
	if r.Method != http.MethodPost {
		exchange.Fail(w, http.StatusBadRequest, "This model takes its input as a JSON dictionary in the body of a POST request.", false)
		return
	}
	body, err := exchange.ReadBody(w, r, h.maxBody)
	if err != nil {
		exchange.FailBody(w, err, h.log)
		return
	}
	request, write, err := parse(body, m.Metadata())
	if err != nil {
		exchange.Fail(w, http.StatusBadRequest, err.Error(), false)
		return
	}
	began := time.Now()
	response, err := m.Infer(r.Context(), request)
	took := time.Since(began)
	if err != nil {
		h.fail(w, err)
		return
	}
	text, err := write(response)
	if err != nil {
		exchange.Fail(w, http.StatusInternalServerError, "The answer can't be sent as JSON: "+err.Error(), false)
		return
	}
	w.Header()[exchange.HeaderExec] = []string{strconv.FormatFloat(took.Seconds()*1000, 'f', 3, 64)}
	exchange.SetFailed(w, false)
	exchange.Write(w, http.StatusOK, exchange.TypeJSON, text)
}

// fail answers a request that the model has no answer to.
func (h *Handler) fail(w http.ResponseWriter, err error) {
	var invalid *tensor.InvalidError
	var failure *tensor.Failure
	switch {
	case errors.As(err, &invalid):
		exchange.Fail(w, http.StatusBadRequest, invalid.Error(), false)
	case errors.As(err, &failure):
		switch failure.Kind {
		case tensor.Failed:
			h.log.Error("the model failed", "error", err)
			exchange.Fail(w, http.StatusInternalServerError, failure.Cause, true)
		case tensor.TimedOut:
			exchange.Fail(w, http.StatusInternalServerError, failure.Cause, true)
		case tensor.Overloaded, tensor.Unavailable:
			exchange.Fail(w, http.StatusServiceUnavailable, failure.Cause, false)
		}
	case errors.Is(err, context.DeadlineExceeded):
		exchange.Fail(w, http.StatusInternalServerError, "The time that the caller gave for this request has passed.", true)
	case errors.Is(err, context.Canceled):
		exchange.Abort(w)
	default:
		h.log.Error("request not run", "error", err)
		exchange.Fail(w, http.StatusInternalServerError, exchange.MessageInternal, false)
	}
}
