package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/fairlead/fairlead/services/router/internal/grpcwire"
	"github.com/fairlead/fairlead/services/router/internal/requestid"
)

// product names the server in the metadata of the Open Inference Protocol.
const product = "fairlead"

// extensions of the protocol that the router passes on; whether a model takes
// them is its scorer's affair.
func extensions() []string { return []string{"binary_tensor_data"} }

// serveHealth answers for the router itself.
func (h *Handler) serveHealth(x *exchange) {
	x.setDeadlines(refusalTimeout)
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.ids, _ = requestid.From(x.r.Header)
		x.ids.Answer(x.w.Header())
		x.refuse(refuseMethod(target{methods: reading()}))
		return
	}
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(x.w, "Healthy") //nolint:errcheck // the prober left
}

// serveOwn answers what the Open Inference Protocol asks of a server. It shows
// nothing of endpoints, so it needs no key.
func (h *Handler) serveOwn(x *exchange) *refusal {
	if !x.target.allows(x.r.Method) {
		return refuseMethod(x.target)
	}
	x.setDeadlines(refusalTimeout)
	ready := x.target.own != ownReady || h.routes.Load().Complete
	if x.target.form == formGRPC {
		x.answerOwnGRPC(ready, h.version)
		return nil
	}
	var answer any
	status := http.StatusOK
	switch x.target.own {
	case ownLive:
		answer = map[string]bool{"live": true}
	case ownReady:
		answer = map[string]bool{"ready": ready}
		if !ready {
			status = http.StatusServiceUnavailable
		}
	case ownMetadata, ownNothing:
		answer = serverMetadata{Name: product, Version: h.version, Extensions: extensions()}
	}
	body, _ := json.Marshal(answer) // strings and booleans: encoding cannot fail
	header := x.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	x.w.Write(body)
	return nil
}

// serverMetadata is what a server says of itself.
type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// answerOwnGRPC answers ServerLive, ServerReady or ServerMetadata.
func (x *exchange) answerOwnGRPC(is bool, version string) {
	var message []byte
	switch {
	case x.target.own == ownMetadata:
		message = grpcwire.AppendString(message, 1, product)
		message = grpcwire.AppendString(message, 2, version)
		for _, e := range extensions() {
			message = grpcwire.AppendString(message, 3, e)
		}
	case is:
		message = grpcwire.AppendTrue(message, 1)
	}
	header := x.w.Header()
	header.Set("Content-Type", typeGRPC)
	x.w.WriteHeader(http.StatusOK)
	x.w.Write(grpcwire.Framed(message))
	header.Set(http.TrailerPrefix+headerGRPCStatus, strconv.Itoa(int(grpcwire.OK)))
}
