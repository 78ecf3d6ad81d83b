package apierr

import (
	"context"
	"errors"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// Domain is the domain of every ErrorInfo that Fairlead sends.
const Domain = "fairlead"

func (k Kind) code() codes.Code {
	switch k {
	case InvalidArgument:
		return codes.InvalidArgument
	case NotFound:
		return codes.NotFound
	case AlreadyExists:
		return codes.AlreadyExists
	case FailedPrecondition:
		return codes.FailedPrecondition
	case Conflict:
		return codes.Aborted
	case Unauthenticated:
		return codes.Unauthenticated
	case PermissionDenied:
		return codes.PermissionDenied
	case ResourceExhausted:
		return codes.ResourceExhausted
	case OutOfRange:
		return codes.OutOfRange
	case DataLoss:
		return codes.DataLoss
	case Unavailable:
		return codes.Unavailable
	case DeadlineExceeded:
		return codes.DeadlineExceeded
	case Cancelled:
		return codes.Canceled
	case Internal:
	}
	return codes.Internal
}

func kindOf(c codes.Code) Kind {
	for k := Internal; k <= Cancelled; k++ {
		if k.code() == c {
			return k
		}
	}
	return Internal
}

// ToStatus maps err to what is sent. An *Error becomes its code with ErrorInfo
// and BadRequest details; a gRPC status (from a service that was called) passes
// as it is; a context's end becomes CANCELLED or DEADLINE_EXCEEDED, a full disk
// RESOURCE_EXHAUSTED; everything else becomes INTERNAL without its text.
func ToStatus(err error) *status.Status {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.status()
	}
	if st, ok := status.FromError(err); ok {
		return st
	}
	switch {
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, "the caller left")
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, "the deadline has passed")
	case errors.Is(err, syscall.ENOSPC):
		return New(ResourceExhausted, "DISK_FULL", "the disk of the service is full: make room, then try again").status()
	}
	return New(Internal, "INTERNAL", "internal error").status()
}

func (e *Error) status() *status.Status {
	st := status.New(e.Kind.code(), e.Message)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: e.Reason, Domain: Domain, Metadata: e.Metadata}}
	if len(e.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
		}
		details = append(details, bad)
	}
	with, err := st.WithDetails(details...)
	if err != nil { // a detail that cannot be packed must not hide the error itself
		return st
	}
	return with
}

// FromStatus turns an answer's error back into an *Error; nil for nil.
func FromStatus(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	st, ok := status.FromError(err)
	if !ok {
		st = ToStatus(err)
	}
	out := &Error{Kind: kindOf(st.Code()), Message: st.Message(), Err: nil}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			out.Reason, out.Metadata = d.GetReason(), d.GetMetadata()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				out.Violations = append(out.Violations, Violation{Field: v.GetField(), Description: v.GetDescription()})
			}
		}
	}
	return out
}
