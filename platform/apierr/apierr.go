// Package apierr is the one vocabulary of errors that cross a service's edge.
//
// Domain code returns *Error values of a few kinds, with a stable reason, a
// message for people and, for bad input, every violation at once. Exactly one
// place, ToStatus, maps them to google.rpc.Status; the cause of an error is for
// the log and is never sent. Values are immutable once returned; all functions
// are safe for concurrent use.
package apierr

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of thing went wrong; it decides the status code.
type Kind int

// The kinds. The zero value is Internal, so that a forgotten kind never reads
// as the caller's fault.
const (
	Internal Kind = iota
	InvalidArgument
	NotFound
	AlreadyExists
	FailedPrecondition
	Conflict // someone else changed it first: a stale etag or a lost race
	Unauthenticated
	PermissionDenied
	ResourceExhausted
	OutOfRange
	DataLoss
	Unavailable
	DeadlineExceeded
	Cancelled // somebody ended it on purpose
)

// Violation is one thing wrong with a request.
type Violation struct {
	// Field is the path as the caller wrote it, for example "version.resources.cpu".
	Field string `json:"field"`
	// Description says what is wrong and what would be right.
	Description string `json:"description"`
}

// Error is a failure as callers may see it.
type Error struct {
	Kind       Kind              `json:"kind"`
	Reason     string            `json:"reason,omitempty"` // stable, UPPER_SNAKE_CASE
	Message    string            `json:"message"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	Violations []Violation       `json:"violations,omitempty"`
	// Err is the cause: logged, not sent, not stored.
	Err error `json:"-"`
}

// New makes an error whose message is for people.
func New(kind Kind, reason, format string, args ...any) *Error {
	return &Error{Kind: kind, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Because returns a copy of e with its cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// With returns a copy of e with one more fact for programs.
func (e *Error) With(key, value string) *Error {
	c := *e
	c.Metadata = map[string]string{key: value}
	for k, v := range e.Metadata {
		if k != key {
			c.Metadata[k] = v
		}
	}
	return &c
}

// Error gives the message, with the cause when there is one.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf gives the kind of err, Internal when it is none of ours.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Invalid makes an error of all violations of one request.
func Invalid(violations ...Violation) *Error {
	parts := make([]string, len(violations))
	for i, v := range violations {
		parts[i] = v.Field + " " + v.Description
	}
	return &Error{
		Kind:       InvalidArgument,
		Reason:     "INVALID_ARGUMENT",
		Message:    strings.Join(parts, "; "),
		Violations: violations,
	}
}

// Violations collects what is wrong with a request, so that all of it can be
// reported at once. The zero value is ready.
type Violations []Violation

// Add notes one more violation.
func (v *Violations) Add(field, format string, args ...any) {
	*v = append(*v, Violation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// Err gives nil when there is none, else an *Error of kind InvalidArgument.
func (v Violations) Err() error {
	if len(v) == 0 {
		return nil
	}
	return Invalid(v...)
}
