// Package httperr writes errors as HTTP answers: google.rpc.Status as JSON, the
// same that gRPC callers get. It keeps no state.
package httperr

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Write answers with err, under the HTTP status that its code has. requestID
// is told in the details unless err tells it.
func Write(w http.ResponseWriter, err error, requestID string) {
	st := apierr.ToStatus(err)
	WriteStatus(w, st, runtime.HTTPStatusFromCode(st.Code()), requestID)
}

// WriteStatus is Write with an HTTP status of the caller's choice.
func WriteStatus(w http.ResponseWriter, st *status.Status, httpStatus int, requestID string) {
	body := Body(withRequestID(st, requestID))
	h := w.Header()
	h.Del("Trailer")
	h.Del("Transfer-Encoding")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if st.Code() == codes.Unauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body) // nobody is left to tell when the caller has gone
}

// Body gives the JSON of st, on one line.
func Body(st *status.Status) []byte {
	p := st.Proto()
	text, err := protojson.Marshal(p)
	if err != nil { // a detail of a type that is not known here
		p = proto.CloneOf(p)
		p.Details = nil
		if text, err = protojson.Marshal(p); err != nil {
			return []byte(`{"code":13,"message":"internal error"}`)
		}
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return text
	}
	return line.Bytes()
}

func withRequestID(st *status.Status, id string) *status.Status {
	for _, d := range st.Details() {
		if _, ok := d.(*errdetails.RequestInfo); ok {
			return st
		}
	}
	with, err := st.WithDetails(&errdetails.RequestInfo{RequestId: id})
	if id == "" || err != nil {
		return st
	}
	return with
}
