package apierr_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/platform/apierr"
)

func TestStatusRoundTrip(t *testing.T) {
	for _, kind := range []apierr.Kind{
		apierr.Internal, apierr.InvalidArgument, apierr.NotFound, apierr.AlreadyExists, apierr.FailedPrecondition,
		apierr.Conflict, apierr.Unauthenticated, apierr.PermissionDenied, apierr.ResourceExhausted, apierr.OutOfRange,
		apierr.DataLoss, apierr.Unavailable, apierr.DeadlineExceeded, apierr.Cancelled,
	} {
		sent := apierr.New(kind, "A_REASON", "no room for %q", "x").With("node", "n1")
		sent.Violations = []apierr.Violation{{Field: "a.b", Description: "must be greater than 0"}}
		got := apierr.FromStatus(apierr.ToStatus(fmt.Errorf("while placing: %w", sent)).Err())
		if diff := cmp.Diff(sent, got); diff != "" {
			t.Errorf("kind %d (-sent +got):\n%s", kind, diff)
		}
	}
}

func TestToStatusOfOtherErrors(t *testing.T) {
	tests := []struct {
		name    string
		err     error
		code    codes.Code
		message string
	}{
		{"unknown text is not sent", errors.New("secret path"), codes.Internal, "internal error"},
		{"caller left", fmt.Errorf("read: %w", context.Canceled), codes.Canceled, "the caller left"},
		{"deadline", context.DeadlineExceeded, codes.DeadlineExceeded, "the deadline has passed"},
		{"full disk", fmt.Errorf("write a chunk: %w", &fs.PathError{Op: "write", Path: "/secret", Err: syscall.ENOSPC}), codes.ResourceExhausted, "the disk of the service is full: make room, then try again"},
		{"callee's status passes", status.Error(codes.NotFound, "no such target"), codes.NotFound, "no such target"},
		{"a cause is not sent", apierr.New(apierr.Unavailable, "X", "try again").Because(errors.New("secret")), codes.Unavailable, "try again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := apierr.ToStatus(tt.err)
			if st.Code() != tt.code || st.Message() != tt.message {
				t.Errorf("got %v %q, want %v %q", st.Code(), st.Message(), tt.code, tt.message)
			}
		})
	}
}

func TestInvalidListsEveryViolation(t *testing.T) {
	var v apierr.Violations
	if v.Err() != nil {
		t.Fatal("no violations must be no error")
	}
	v.Add("cpu", "must be greater than %d", 0)
	v.Add("name", "is taken")
	want := "cpu must be greater than 0; name is taken"
	if got := v.Err().Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if apierr.KindOf(fmt.Errorf("x: %w", v.Err())) != apierr.InvalidArgument {
		t.Error("kind is lost by wrapping")
	}
}
