package worker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Request is one call of run().
type Request struct {
	ID     string
	Method string
	Query  string
	Host   string
	Header http.Header
	Body   []byte
}

// Outcome says how a request ended in the worker.
type Outcome string

// Outcomes of a request.
const (
	OK         Outcome = "ok"
	Raised     Outcome = "raised"
	Unsendable Outcome = "unsendable"
	BadInput   Outcome = "bad_input"

	exited Outcome = "exit"
)

type loadOrder struct {
	Type      string `json:"type"`
	Script    string `json:"script"`
	SourceDir string `json:"source_dir,omitempty"`
}

type scoreOrder struct {
	Type    string            `json:"type"`
	ID      string            `json:"id,omitempty"`
	Method  string            `json:"method"`
	Query   string            `json:"query,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// message is any header a worker sends.
type message struct {
	Type           string      `json:"type"`
	RequestHeaders bool        `json:"request_headers"`
	Reason         string      `json:"reason"`
	Cause          string      `json:"cause"`
	Outcome        Outcome     `json:"outcome"`
	Message        string      `json:"message"`
	ExecMS         float64     `json:"exec_ms"`
	Status         int         `json:"status"`
	Headers        [][2]string `json:"headers"`
	Stream         bool        `json:"stream"`
	Failed         bool        `json:"failed"`
}

func (r Request) header(withHeaders bool) ([]byte, error) {
	order := scoreOrder{Type: "score", ID: r.ID, Method: r.Method}
	if r.Method == http.MethodGet {
		order.Query = r.Query
	}
	if withHeaders {
		order.Headers = make(map[string]string, len(r.Header)+1)
		for name, values := range r.Header {
			order.Headers[name] = latin1(strings.Join(values, ","))
		}
		order.Headers["Host"] = r.Host
	}
	b, err := json.Marshal(order)
	if err != nil {
		return nil, fmt.Errorf("encode a request for the worker: %w", err)
	}
	return b, nil
}

// latin1 reads header bytes as WSGI servers do, one character per byte.
func latin1(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			runes := make([]rune, len(s))
			for j := range len(s) {
				runes[j] = rune(s[j])
			}
			return string(runes)
		}
	}
	return s
}
