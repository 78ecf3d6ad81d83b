package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/services/router/internal/admission"
	"github.com/fairlead/fairlead/services/router/internal/proxy"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// refusal is an answer that the router gives by itself.
type refusal struct {
	status        int
	code, message string
	// name and value are a header of this kind of refusal.
	name, value string
	// closes ends the connection, because the rest of the body is not wanted.
	closes bool
}

// errorBody is the body of a refusal. Message is there twice, because callers
// of the old product look for it on top, as the container has it.
type errorBody struct {
	Error   errorDetail `json:"error"`
	Message string      `json:"message"`
}

type errorDetail struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"requestId"`
}

// refuse writes the answer.
func (x *exchange) refuse(f *refusal) {
	x.setDeadlines(time.Since(x.arrival) + refusalTimeout)
	x.seen.reason = f.code
	header := x.w.Header()
	header.Set("Content-Type", "application/json")
	if f.name != "" {
		header.Set(f.name, f.value)
	}
	if f.closes && x.r.ProtoMajor == 1 { // HTTP/2 ends the stream alone
		header.Set("Connection", "close")
	}
	if x.target.form == formGRPC {
		x.refuseGRPC(f)
		return
	}
	body := x.body(f)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(f.status)
	x.w.Write(body)
}

// body spells a refusal.
func (x *exchange) body(f *refusal) []byte {
	var value any = errorBody{
		Error:   errorDetail{Code: f.code, Message: f.message, RequestID: x.ids.MSRequest},
		Message: f.message,
	}
	if x.target.form == formInference {
		value = map[string]string{"error": f.message}
	}
	body, _ := json.Marshal(value) // strings only: encoding cannot fail
	return body
}

// explain says what is answered for an error after the version was chosen. When
// nothing can be answered it ends the connection.
func (h *Handler) explain(x *exchange, version *routetable.Version, err error) *refusal {
	name := x.target.id.Endpoint
	timedOut := time.Since(x.arrival) >= x.timeout(version)
	x.cut(err)
	switch {
	case errors.Is(err, proxy.ErrAborted):
		h.logger.Warn("answer was cut off", "endpoint", name, "version", version.Name, "request_id", x.ids.MSRequest, "error", err)
		// What net/http has for this: the connection ends, so that the caller sees
		// that the answer is not whole.
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to end a connection
	case errors.Is(err, proxy.ErrTooLarge):
		return &refusal{
			status: http.StatusRequestEntityTooLarge, code: "RequestTooLarge", closes: true,
			message: fmt.Sprintf("The request body is larger than the %d bytes that are allowed; send less at a time.", h.maxBodyBytes),
		}
	case errors.Is(err, admission.ErrOverloaded):
		return &refusal{
			status: http.StatusServiceUnavailable, code: "TooManyRequests", name: "Retry-After", value: "1",
			message: "Too many requests for service " + name + " (overloaded). Try again later, or give it more replicas.",
		}
	case errors.Is(err, admission.ErrNoReplicas), errors.Is(err, proxy.ErrNotRun):
		return refuseNoReplicas(name)
	case errors.Is(err, context.DeadlineExceeded), timedOut:
		return x.refuseLate(version)
	case x.r.Context().Err() != nil:
		panic(http.ErrAbortHandler) //nolint:forbidigo // the caller left: nobody reads an answer
	case errors.Is(err, proxy.ErrBody):
		f := refuseBadRequest("The request body could not be read; send as many bytes as Content-Length says, or well-formed chunks.")
		f.closes = true
		return f
	}
	if other, ok := errors.AsType[*proxy.NotGRPCError](err); ok {
		return refuseNotGRPC(version, other)
	}
	h.logger.Warn("replica did not answer", "endpoint", name, "version", version.Name, "request_id", x.ids.MSRequest, "error", err)
	return &refusal{
		status: http.StatusBadGateway, code: "ReplicaFailed",
		message: "Replica closed connection before replying. The log of version " + version.Name + " says why.",
	}
}

func (x *exchange) refuseLate(version *routetable.Version) *refusal {
	f := &refusal{status: http.StatusGatewayTimeout, code: "ScoringTimeout", closes: true}
	f.message = fmt.Sprintf("The request took longer than the scoring timeout of %v, waiting included. Raise the timeout of version %s or make it faster.", version.ScoringTimeout, version.Name)
	if limit := x.timeout(version); limit < version.ScoringTimeout {
		f.message = fmt.Sprintf("The request took longer than the %v that its caller allows, waiting included.", limit)
	}
	return f
}

// refuseNotGRPC says why a replica did not answer in gRPC: it has no such call,
// or it refused in HTTP before it came to that.
func refuseNotGRPC(version *routetable.Version, e *proxy.NotGRPCError) *refusal {
	if e.Status == http.StatusServiceUnavailable {
		return &refusal{status: e.Status, code: "ReplicaFailed", message: "The replica is not ready, or has too many requests. Try again later."}
	}
	return &refusal{
		status: http.StatusNotImplemented, code: "NotImplemented",
		message: fmt.Sprintf("Version %s does not answer this in gRPC (its answer was HTTP status %d).", version.Name, e.Status),
	}
}

func refuseNotCustom(endpoint *routetable.Endpoint, version *routetable.Version) *refusal {
	return &refusal{
		status: http.StatusNotFound, code: "NotFound",
		message: "Version " + version.Name + " of endpoint " + endpoint.ID.Endpoint + " is no custom server: it has nothing at this path. Name a version that is one in the header azureml-model-deployment.",
	}
}

func refuseTwoVersions(inside, header string) *refusal {
	return refuseBadRequest("The request names version " + inside + " and, in the header azureml-model-deployment, version " + header + "; name one.")
}

func refuseBadRequest(message string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "BadRequest", message: message}
}

func refuseCompression() *refusal {
	return &refusal{
		status: http.StatusNotImplemented, code: "NotImplemented",
		message: "The message is compressed in a way that the router does not read: use gzip, or name the endpoint in the metadata fairlead-endpoint.",
	}
}

func refuseNoReplicas(endpoint string) *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable, code: "NoReadyReplicas", name: "Retry-After", value: "1",
		message: "No ready replicas for service " + endpoint + ".",
	}
}

func refuseStarting() *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable, code: "Starting", name: "Retry-After", value: "1",
		message: "The router is starting and does not know all endpoints yet. Try again in a moment.",
	}
}

func refuseEndpoint(id routetable.ID) *refusal {
	return &refusal{
		status: http.StatusNotFound, code: "EndpointNotFound",
		message: "There is no endpoint " + id.Endpoint + " in workspace " + id.Workspace + ".",
	}
}

func refuseVersion(endpoint *routetable.Endpoint, name string) *refusal {
	return &refusal{
		status: http.StatusNotFound, code: "VersionNotFound",
		message: "Endpoint " + endpoint.ID.Endpoint + " has no version " + name + "; it has: " + strings.Join(endpoint.VersionNames(), ", ") + ".",
	}
}

func refusePath() *refusal {
	return &refusal{
		status: http.StatusNotFound, code: "NotFound",
		message: "There is nothing at this path. Scoring is at /api/v1/service/{endpoint}/score or /api/v1/workspaces/{workspace}/service/{endpoint}/score, the Open Inference Protocol below /v2.",
	}
}

func refuseMethod(t target) *refusal {
	return &refusal{
		status: http.StatusMethodNotAllowed, code: "MethodNotAllowed", name: "Allow", value: t.allow(),
		message: "The method is not allowed for the requested URL. Allowed: " + t.allow() + ".",
	}
}

func refuseHeader(message string) *refusal {
	return &refusal{status: http.StatusRequestHeaderFieldsTooLarge, code: "HeaderTooLarge", message: message}
}

func refuseUnauthorized(message string) *refusal {
	return &refusal{
		status: http.StatusUnauthorized, code: "Unauthorized", name: "Www-Authenticate", value: "Bearer", message: message,
	}
}

func refuseFault() *refusal {
	return &refusal{status: http.StatusInternalServerError, code: "InternalError", message: "The router failed; its log says why."}
}
