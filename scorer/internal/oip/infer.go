package oip

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// headerJSONLength says how many bytes of a body are JSON; binary data follows.
const headerJSONLength = "Inference-Header-Content-Length"

const typeBinary = "application/octet-stream"

// serveInfer answers an inference request. When it fails nothing has been written.
func (h *Handler) serveInfer(w http.ResponseWriter, r *http.Request, a asked) error {
	model, a, err := h.find(a)
	if err != nil {
		return err
	}
	body, err := exchange.ReadBody(w, r, h.cfg.MaxBody)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case err != nil:
		return tensor.NewInvalid("the request", "could not be read to its end")
	}
	request, err := h.parse(r, body)
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(r.Context(), r.Header)
	defer cancel()
	response, err := h.infer(ctx, model, &request.Request)
	if err != nil {
		return err
	}
	text, binary, err := appendResponse(response, request, a)
	if err != nil {
		return err
	}
	return write(w, text, binary)
}

// parse reads a body: JSON, and binary data behind it where the header says so.
func (h *Handler) parse(r *http.Request, body []byte) (*restRequest, error) {
	text, binary := body, []byte(nil)
	if given := r.Header.Get(headerJSONLength); given != "" {
		n, err := strconv.ParseUint(given, 10, 63)
		if err != nil || n > uint64(len(body)) {
			return nil, tensor.NewInvalid(headerJSONLength, "is %q, it must be the length of the JSON, at most the body's %d bytes", given, len(body))
		}
		text, binary = body[:n], body[n:]
	}
	request, err := parseRequest(text, binary)
	if err != nil {
		return nil, err
	}
	// In logs a request needs an id.
	if request.Request.ID = request.id; request.id == "" {
		request.Request.ID = r.Header.Get("X-Request-Id")
	}
	return request, nil
}

// write sends the JSON, and the binary data behind it when there is some.
func write(w http.ResponseWriter, text []byte, binary [][]byte) error {
	if len(binary) == 0 {
		exchange.Write(w, http.StatusOK, exchange.TypeJSON, text)
		return nil
	}
	size := len(text)
	for _, b := range binary {
		size += len(b)
	}
	header := w.Header()
	header[exchange.HeaderContentType] = []string{typeBinary}
	header["Content-Length"] = []string{strconv.Itoa(size)}
	header[headerJSONLength] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(http.StatusOK)
	for _, b := range append([][]byte{text}, binary...) {
		if _, err := w.Write(b); err != nil {
			return nil //nolint:nilerr // the client is gone; nobody is left to tell
		}
	}
	return nil
}

// isBinary reports whether an output is to be sent as binary data.
func (r *restRequest) isBinary(name string) bool {
	if own, ok := r.binary[name]; ok {
		return own
	}
	return r.allBinary
}

func fieldOf(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
