package oip

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
)

// notFoundError says that there is no such model, version or path.
type notFoundError string

func notFound(format string, args ...any) error { return notFoundError(fmt.Sprintf(format, args...)) }

func (e notFoundError) Error() string { return string(e) }

// noTensorsError says why the model can't be asked in tensors.
type noTensorsError struct{ cause error }

func (e *noTensorsError) Error() string { return "the model has no tensors: " + e.cause.Error() }
func (e *noTensorsError) Unwrap() error { return e.cause }

const messageInternal = "an unexpected internal error occurred; the logs say more"

// answerOf gives the status of an error in HTTP and in gRPC, and what is told of it.
func answerOf(err error) (int, codes.Code, string) {
	var missing notFoundError
	var invalid *tensor.InvalidError
	var noTensors *noTensorsError
	var noText *tensorjson.NoTextError
	var failure *tensor.Failure
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &missing):
		return http.StatusNotFound, codes.NotFound, err.Error()
	case errors.As(err, &invalid), errors.As(err, &noText):
		return http.StatusBadRequest, codes.InvalidArgument, err.Error()
	case errors.As(err, &noTensors):
		return http.StatusBadRequest, codes.FailedPrecondition, err.Error()
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, codes.ResourceExhausted, fmt.Sprintf("the request must not exceed %d bytes", tooLarge.Limit)
	case errors.As(err, &failure):
		code, grpcCode := ofKind(failure.Kind)
		return code, grpcCode, failure.Cause
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, codes.DeadlineExceeded, "the time that the caller gave has passed"
	case errors.Is(err, context.Canceled):
		return statusClientGone, codes.Canceled, "the caller is gone"
	}
	return http.StatusInternalServerError, codes.Internal, messageInternal
}

// statusClientGone is for nobody but logs: the caller does not read it.
const statusClientGone = 499

func ofKind(k tensor.Kind) (int, codes.Code) {
	switch k {
	case tensor.TimedOut:
		return http.StatusGatewayTimeout, codes.DeadlineExceeded
	case tensor.Overloaded, tensor.Unavailable:
		return http.StatusServiceUnavailable, codes.Unavailable
	default:
		return http.StatusInternalServerError, codes.Internal
	}
}

// statusOf gives an error for a caller by gRPC.
func (h *Handler) statusOf(err error) error {
	_, code, message := answerOf(err)
	if message == messageInternal {
		h.deps.Log.Error("inference failed", "error", err)
	}
	return status.Error(code, message)
}
