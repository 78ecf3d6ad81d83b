// Package failure says how a command that did not succeed is shown and which
// exit code it gives.
//
// A Failure answers three questions: what happened, why, and what to do next.
// Its values are immutable once returned.
package failure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/platform/apierr"
)

// Code is an exit code. The set is stable: scripts test for it.
type Code int

// The exit codes.
const (
	OK             Code = 0
	Error          Code = 1
	Usage          Code = 2 // also: cancelled by the user
	Precondition   Code = 3 // not found, or not possible in the state that it is in
	Authentication Code = 4
	Pending        Code = 8
	TimedOut       Code = 124
)

// ErrTimeout is the cause of a context that --timeout ended.
var ErrTimeout = errors.New("the time given by --timeout is over")

// deadlineSlack is how much earlier than here a deadline may come at the server.
const deadlineSlack = 100 * time.Millisecond

// Ended gives the cause of ctx's end when err comes of it, else nil. A deadline
// that is just about to pass has passed: the server's clock may be ahead.
func Ended(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && err != nil && time.Until(deadline) < deadlineSlack &&
		status.Code(err) == codes.DeadlineExceeded {
		<-ctx.Done()
	}
	return context.Cause(ctx)
}

// Failure is what the user sees.
type Failure struct { //nolint:errname // failure.Error is an exit code
	Code       Code
	Message    string
	Violations []apierr.Violation
	Log        []string // the log lines that show the cause
	Next       []string // what to do, each a line
	RequestID  string
	Err        error // the cause
}

// Error gives the message.
func (f *Failure) Error() string { return f.Message }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// New makes a failure with an exit code.
func New(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ThenTry returns a copy with more to do next.
func (f *Failure) ThenTry(next ...string) *Failure {
	c := *f
	c.Next = append(append([]string(nil), f.Next...), next...)
	return &c
}

// Connection is what explains failures to reach the server or to be let in.
type Connection struct {
	Server      string
	TokenSource string
}

// From makes a failure of any error; nil for nil.
func From(err error, conn Connection) *Failure {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	if errors.Is(err, ErrTimeout) {
		return &Failure{Code: TimedOut, Message: ErrTimeout.Error(), Err: err}
	}
	if errors.Is(err, context.Canceled) {
		return &Failure{Code: Usage, Message: "cancelled", Err: err}
	}
	if _, ok := status.FromError(err); !ok {
		return &Failure{Code: Error, Message: err.Error(), Err: err}
	}
	return fromStatus(err, conn)
}

func fromStatus(err error, conn Connection) *Failure {
	e := apierr.FromStatus(err)
	f := &Failure{Code: codeOf(e.Kind), Message: e.Message, Violations: asGiven(err, e.Violations), Err: err}
	if call, ok := errors.AsType[*client.CallError](err); ok {
		f.RequestID = call.RequestID
	}
	switch {
	case len(e.Violations) > 0:
		f.Message = "the request is not valid"
	case e.Kind == apierr.Unavailable && f.RequestID == "" && e.Reason == "":
		f.Message = fmt.Sprintf("no Fairlead server answers at %s: %s", conn.Server, reachability(e.Message))
		f.Next = []string{
			"start one on this machine:  fairlead up",
			"or say where it is:         --server URL or FAIRLEAD_SERVER",
			"find out more:              fairlead doctor",
		}
	case e.Kind == apierr.Unauthenticated || e.Kind == apierr.PermissionDenied:
		f.Message += fmt.Sprintf(" (token from %s)", conn.TokenSource)
		f.Next = []string{
			"give another token:  FAIRLEAD_TOKEN or --token-file FILE",
			"see what is used:    fairlead config show",
		}
	case e.Kind == apierr.NotFound && e.Reason != "VERSION_NOT_FOUND" && e.Reason != "REPLICA_NOT_FOUND": // those name what there is
		f.Next = whatThereIs(err)
	case e.Kind == apierr.DeadlineExceeded && f.RequestID == "" && strings.Contains(e.Message, "context deadline"):
		f.Message = fmt.Sprintf("the server at %s did not answer in time", conn.Server)
		f.Next = []string{"fairlead doctor"}
	case status.Code(err) == codes.Canceled && e.Reason == "": // else an operation that somebody cancelled
		f.Code, f.Message = Usage, "cancelled"
	case status.Code(err) == codes.Unimplemented:
		f.Message = "the server does not know this call: " + e.Message
		f.Next = []string{"compare the versions:  fairlead doctor"}
	}
	return f
}

// whatThereIs gives the command that lists what there is of the kind that was
// not found.
func whatThereIs(err error) []string {
	call, ok := errors.AsType[*client.CallError](err)
	if !ok {
		return nil
	}
	for service, noun := range map[string]string{
		".EndpointService/": "endpoint", ".EndpointKeyService/": "endpoint", ".ModelService/": "model", ".EnvironmentService/": "environment",
		".ComputeTargetService/": "computetarget", ".WorkspaceService/": "workspace", ".Operations/": "operation",
	} {
		if strings.Contains(call.Method, service) && !strings.Contains(call.Method, "/List") {
			return []string{"see what there is:  fairlead " + noun + " list"}
		}
	}
	return nil
}

// reachability shortens gRPC's account of a connection that failed.
func reachability(message string) string {
	for _, known := range []string{"connection refused", "no such host", "i/o timeout", "no route to host", "certificate"} {
		if at := strings.Index(message, known); at >= 0 {
			if known == "certificate" {
				return strings.Trim(message[at:], `"`)
			}
			return known
		}
	}
	if strings.Contains(message, "server preface") || strings.Contains(message, "first record does not look like a TLS handshake") {
		return "what answers there is no control plane (fairlead up puts it on port 8081)"
	}
	return message
}

func codeOf(k apierr.Kind) Code {
	switch k { //nolint:exhaustive // all others are plain errors
	case apierr.NotFound, apierr.FailedPrecondition, apierr.Conflict:
		return Precondition
	case apierr.Unauthenticated, apierr.PermissionDenied:
		return Authentication
	}
	return Error
}

// Lines splits a message into its first line and the others, which usually are
// of a log, without what could steer a terminal.
func Lines(message string) (string, []string) {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	for i := range lines {
		lines[i] = output.Clean(strings.TrimRight(lines[i], "\r"))
	}
	return lines[0], lines[1:]
}

// Quiet is a failure that says nothing: the output has said it.
func Quiet(code Code) *Failure { return &Failure{Code: code} }

// Write shows the failure; red paints the first word.
func (f *Failure) Write(w io.Writer, red func(string) string) {
	if f.Message == "" {
		return
	}
	var b strings.Builder
	message, more := Lines(f.Message)
	fmt.Fprintf(&b, "%s %s\n", red("error:"), message)
	for _, line := range more {
		fmt.Fprintf(&b, "  | %s\n", line)
	}
	for _, v := range f.Violations {
		text := output.Clean(v.Description)
		if v.Field != "" {
			text = output.Clean(v.Field) + ": " + text
		}
		fmt.Fprintf(&b, "  %s\n", text)
	}
	for _, line := range f.Log {
		fmt.Fprintf(&b, "  | %s\n", output.Clean(line))
	}
	for i, n := range f.Next {
		lead := "      "
		if i == 0 {
			lead = "next: "
		}
		fmt.Fprintf(&b, "%s%s\n", lead, n)
	}
	if f.RequestID != "" {
		fmt.Fprintf(&b, "request id: %s\n", f.RequestID)
	}
	_, _ = io.WriteString(w, b.String())
}
