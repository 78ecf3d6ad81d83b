package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/services/router/internal/grpcwire"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

const (
	typeGRPC          = "application/grpc"
	headerGRPCStatus  = "Grpc-Status"
	headerGRPCMessage = "Grpc-Message"
	headerGRPCTimeout = "Grpc-Timeout"
	// headerEndpoint names the endpoint of a call in gRPC's metadata.
	headerEndpoint = "Fairlead-Endpoint"

	inferencePrefix = "/inference.GRPCInferenceService/"
)

// isGRPC says whether a request is a call of gRPC.
func isGRPC(r *http.Request) bool {
	if r.ProtoMajor != 2 || r.Method != http.MethodPost {
		return false
	}
	rest, ok := strings.CutPrefix(r.Header.Get("Content-Type"), typeGRPC)
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// locateCall says what a call of gRPC means. Its endpoint is the one that the
// metadata names; else, for the Open Inference Protocol, the message's model,
// which is its first field, and then the version is that of the message, too.
func (x *exchange) locateCall() *refusal {
	t := &x.target
	t.form, t.methods = formGRPC, []string{http.MethodPost}
	if value := x.r.Header.Get(headerGRPCTimeout); value != "" {
		limit, ok := grpcwire.ParseTimeout(value)
		if !ok {
			return refuseBadRequest("grpc-timeout is " + strconv.Quote(value) + ", which is no timeout.")
		}
		x.limit = max(limit, 1) // 0 is one that is over, and not none
	}
	path := x.r.URL.EscapedPath()
	method, inference := strings.CutPrefix(path, inferencePrefix)
	named := x.r.Header.Get(headerEndpoint)
	if named == "" && inference {
		switch method {
		case "ServerLive":
			t.own = ownLive
			return nil
		case "ServerReady":
			t.own = ownReady
			return nil
		case "ServerMetadata":
			t.own = ownMetadata
			return nil
		}
	}
	t.path, t.escaped, t.scoring = x.r.URL.Path, path, true
	var model grpcwire.Model
	switch {
	case inference && method == "ModelInfer":
	case inference && (method == "ModelReady" || method == "ModelMetadata"):
		t.scoring = false
	default:
		t.passed = true
	}
	if !t.passed {
		var refused *refusal
		if model, refused = x.peek(); refused != nil {
			return refused
		}
	}
	if named != "" {
		return x.locateNamed(named)
	}
	if model.Name == "" {
		return refuseBadRequest(
			"The call names no endpoint: send it as the message's model_name, before all other fields, or as [workspace/]endpoint in the metadata fairlead-endpoint.")
	}
	t.id, t.version = routetable.ID{Workspace: defaultWorkspace, Endpoint: model.Name}, model.Version
	return nil
}

// locateNamed takes the endpoint from the metadata: [workspace/]endpoint.
func (x *exchange) locateNamed(named string) *refusal {
	workspace, endpoint, ok := strings.Cut(named, "/")
	if !ok {
		workspace, endpoint = defaultWorkspace, named
	}
	if workspace == "" || endpoint == "" || strings.Contains(endpoint, "/") {
		return refuseBadRequest("fairlead-endpoint is " + strconv.Quote(named) + "; it has to be endpoint or workspace/endpoint.")
	}
	x.target.id = routetable.ID{Workspace: workspace, Endpoint: endpoint}
	return nil
}

// peek reads the beginning of the call's one message, puts it back, and makes
// the length known.
func (x *exchange) peek() (grpcwire.Model, *refusal) {
	x.setDeadlines(refusalTimeout) // what it takes to say who is called, not to call
	body := x.r.Body
	var header [grpcwire.FrameHeader]byte
	if _, err := io.ReadFull(body, header[:]); err != nil {
		return grpcwire.Model{}, refuseBadRequest("The call has no message, or it did not come in time.")
	}
	frame, err := grpcwire.ParseFrame(header)
	if err != nil {
		return grpcwire.Model{}, refuseBadRequest("The call's message can't be read: " + err.Error() + ".")
	}
	head := make([]byte, min(frame.Length, grpcwire.Head))
	if _, err := io.ReadFull(body, head); err != nil {
		return grpcwire.Model{}, refuseBadRequest("The call's message ends before its length, or did not come in time.")
	}
	x.r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(header[:]), bytes.NewReader(head), body), body}
	x.r.ContentLength = grpcwire.FrameHeader + int64(frame.Length)
	if x.r.Header.Get(headerEndpoint) != "" {
		return grpcwire.Model{}, nil // the message's model is the replica's own affair
	}
	model, err := grpcwire.Peek(frame, x.r.Header.Get("Grpc-Encoding"), head)
	switch {
	case errors.Is(err, grpcwire.ErrEncoding):
		return model, refuseCompression()
	case err != nil:
		return model, refuseBadRequest("The call's message can't be read: " + err.Error() + ".")
	}
	return model, nil
}

// refuseGRPC writes a refusal as a status of gRPC.
func (x *exchange) refuseGRPC(f *refusal) {
	header := x.w.Header()
	header.Set("Content-Type", typeGRPC)
	header.Set(headerGRPCStatus, strconv.Itoa(int(grpcwire.OfHTTP(f.status))))
	header.Set(headerGRPCMessage, grpcwire.EncodeMessage(f.message))
	x.w.WriteHeader(http.StatusOK)
	x.seen.status = f.status
}

// statusOfCall is what a replica's answer to a call counts as.
func statusOfCall(answer http.Header) int {
	for _, key := range []string{http.TrailerPrefix + headerGRPCStatus, headerGRPCStatus} {
		if values := answer[key]; len(values) > 0 {
			return grpcwire.ParseCode(values[0]).HTTP()
		}
	}
	return grpcwire.Unknown.HTTP()
}

// timeout is how long the request may take, from its arrival: what the version
// allows, or less when the call says so.
func (x *exchange) timeout(version *routetable.Version) time.Duration {
	if x.limit > 0 && x.limit < version.ScoringTimeout {
		return x.limit
	}
	return version.ScoringTimeout
}
