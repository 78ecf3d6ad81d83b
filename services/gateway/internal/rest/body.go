package rest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/services/gateway/internal/httperr"
)

const (
	// MaxBody is the largest request body: 4 MiB of bytes, which JSON carries in
	// base64, and room for the rest.
	MaxBody = 4<<20*4/3 + 64<<10
	// bodyTimeout is how long a body may take to arrive.
	bodyTimeout = 60 * time.Second
)

// withBody reads a request's body before anything else happens, so that large
// and slow ones end here. A call without a token cannot succeed; its body is
// left alone and the service refuses it.
func withBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" || r.Body == nil || r.Body == http.NoBody {
			r.Body = http.NoBody
			next.ServeHTTP(w, r)
			return
		}
		body, err := readBody(w, r)
		switch {
		case errors.Is(err, errTooLarge):
			st := apierr.ToStatus(apierr.New(apierr.InvalidArgument, "BODY_TOO_LARGE",
				"the request body is larger than %d bytes; send contents in chunks of 2 MiB", MaxBody))
			httperr.WriteStatus(w, st, http.StatusRequestEntityTooLarge, r.Header.Get(rpc.RequestIDHeader))
		case errors.Is(err, os.ErrDeadlineExceeded):
			st := apierr.ToStatus(apierr.New(apierr.DeadlineExceeded, "BODY_TOO_SLOW",
				"the request body did not arrive within %s", bodyTimeout))
			httperr.WriteStatus(w, st, http.StatusRequestTimeout, r.Header.Get(rpc.RequestIDHeader))
		case err != nil:
			httperr.Write(w, apierr.New(apierr.InvalidArgument, "BODY_CUT_OFF", "the request body ended too early").Because(err),
				r.Header.Get(rpc.RequestIDHeader))
		default:
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
		}
	})
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, err
	}
	// The call itself may last: a deadline left here would end it.
	if err := rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return body, nil
}
