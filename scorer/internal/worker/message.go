package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
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
	// Remote is the caller's address, Local the one that it called; host:port.
	Remote, Local string
	// Elsewhere says that another scorer can serve the request, so that it need not wait for a worker to be replaced.
	Elsewhere bool
	// Body is the request's body. When it lies in Large, that is what the worker gets.
	Body  []byte
	Large *LargeBody
}

// Outcome says how a request ended in the worker.
type Outcome uint8

// Outcomes of a request.
const (
	OK          Outcome = iota + 1
	Raised              // run() raised an exception
	Unsendable          // the result can't be turned into a response
	BadInput            // the request is wrong: a 400
	exited              // run() called sys.exit
	Unsupported         // the body is of a type that run() does not take: a 415
)

func (o Outcome) String() string {
	names := [...]string{"none", "ok", "raised", "unsendable", "bad_input", "exit", "unsupported"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// kind is the first byte of a frame's header.
type kind uint8

// What the scorer sends.
const (
	kindImport kind = iota + 1
	kindLoad
	kindScore
	kindFork
)

// What a worker sends.
const (
	kindImported kind = iota + 16
	kindLoaded
	kindLoadFailed
	kindReply
	kindChunk
	kindEnd
	kindForked
	kindExited
)

// loadOrder tells a worker what to load. Output and lanes are descriptors that travel with it, in this order.
type loadOrder struct {
	Script    string `json:"script"`
	SourceDir string `json:"source_dir,omitempty"`
	// Preload makes the process fork workers instead of being one.
	Preload bool `json:"preload,omitempty"`
	// RequestsAtOnce is how many lanes a worker has.
	RequestsAtOnce int `json:"requests_at_once,omitempty"`
	// What follows is for a process that was started before it was known for what.
	Output      bool              `json:"output,omitempty"`
	Directory   string            `json:"directory,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
}

// Facts are what a worker tells of a script that it has loaded.
type Facts struct {
	// RequestHeaders says that run() wants the request's headers.
	RequestHeaders bool `json:"request_headers"`
	// Form is the form in which run() takes its input.
	Form Form `json:"form"`
	// Schema describes what a decorated run() takes and gives, nil for one that is not.
	Schema *Schema `json:"schema,omitempty"`
}

// Form is a form of input.
type Form string

// Forms of input: the body's text, arguments by name, the request itself.
const (
	FormText   Form = "text"
	FormSchema Form = "schema"
	FormRaw    Form = "raw"
)

// Schema describes what run() takes and gives, in swagger's definitions.
type Schema struct {
	Input  json.RawMessage `json:"input"`
	Output json.RawMessage `json:"output"`
	// Versions of swagger that can describe it.
	Versions []string `json:"versions"`
}

// scoreOrder is what is seldom there of a request; its JSON is left out when all of it is empty.
type scoreOrder struct {
	Method  string            `json:"method,omitempty"` // of a request that is not POST
	Query   string            `json:"query,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// ContentType is for a decorated run().
	ContentType string `json:"content_type,omitempty"`
	// Remote and Address, host:port, are for a run() that gets the request itself.
	Remote  string `json:"remote,omitempty"`
	Address string `json:"address,omitempty"`
}

// replyFields is what is seldom there of a reply.
type replyFields struct {
	Message string      `json:"message"`
	Status  int         `json:"status"`
	Headers [][2]string `json:"headers"`
	Stream  bool        `json:"stream"`
}

type loadFailure struct {
	Reason string `json:"reason"`
	Cause  string `json:"cause"`
}

var errBadHeader = errors.New("a frame's header is cut off")

const (
	maxID        = 255
	replyHeadLen = 10
)

// order encodes a header of a kind with fields as JSON.
func order(k kind, fields any) ([]byte, error) {
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode an order for the worker: %w", err)
	}
	return append([]byte{byte(k)}, b...), nil
}

// header encodes a request for run(): kind, length of the id, id, and the rest as JSON.
func (r Request) header(facts Facts) ([]byte, error) {
	id := r.ID[:min(len(r.ID), maxID)]
	b := make([]byte, 0, 2+len(id))
	b = append(b, byte(kindScore), byte(len(id)))
	b = append(b, id...)
	text, err := json.Marshal(r.order(facts))
	if err != nil {
		return nil, fmt.Errorf("encode a request for the worker: %w", err)
	}
	if string(text) == "{}" {
		return b, nil
	}
	return append(b, text...), nil
}

// order gives of a request what its form needs.
func (r Request) order(facts Facts) scoreOrder {
	var order scoreOrder
	if r.Method != http.MethodPost {
		order.Method = r.Method
	}
	if r.Method == http.MethodGet || facts.Form == FormRaw {
		order.Query = r.Query
	}
	if facts.RequestHeaders || facts.Form == FormRaw {
		order.Headers = make(map[string]string, len(r.Header)+1)
		for name, values := range r.Header {
			order.Headers[name] = latin1(strings.Join(values, ","))
		}
		order.Headers["Host"] = r.Host
	}
	switch facts.Form {
	case FormText:
	case FormSchema:
		order.ContentType = latin1(r.Header.Get("Content-Type"))
	case FormRaw:
		order.Remote, order.Address = r.Remote, r.Local
	}
	return order
}

// kindOf gives the kind of a frame and what follows it in the header.
func kindOf(header []byte) (kind, []byte, error) {
	if len(header) == 0 {
		return 0, nil, errBadHeader
	}
	return kind(header[0]), header[1:], nil
}

// parseReply reads the header of a reply: kind, outcome, nanoseconds that run() took, and the rest as JSON.
func parseReply(header []byte) (*Reply, replyFields, error) {
	var fields replyFields
	if len(header) < replyHeadLen {
		return nil, fields, errBadHeader
	}
	if err := parseFields(header[replyHeadLen:], &fields); err != nil {
		return nil, fields, err
	}
	return &Reply{
		Outcome: Outcome(header[1]), ExecMS: float64(binary.BigEndian.Uint64(header[2:])) / 1e6,
		Message: fields.Message, Status: fields.Status, Headers: fields.Headers,
	}, fields, nil
}

// parseFields reads the JSON that a header ends with; there may be none.
func parseFields(text []byte, fields any) error {
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, fields); err != nil {
		return fmt.Errorf("read a frame's header: %w", err)
	}
	return nil
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
