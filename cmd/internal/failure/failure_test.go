package failure_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/platform/apierr"
)

func called(method string, err error) error {
	return &client.CallError{Method: method, RequestID: "r1", Err: apierr.ToStatus(err).Err()}
}

func TestFrom(t *testing.T) {
	conn := failure.Connection{Server: "http://s:1", TokenSource: "FAIRLEAD_TOKEN"}
	const endpoints = "/fairlead.deploy.v1.EndpointService/"
	tests := map[string]struct {
		err  error
		code failure.Code
		text string
	}{
		"plain": {errors.New("no such file"), failure.Error, "error: no such file\n"},
		"not found": {
			fmt.Errorf("show: %w", called(endpoints+"GetEndpoint", apierr.New(apierr.NotFound, "X", "endpoint e does not exist"))), failure.Precondition,
			"error: show: endpoint e does not exist\nnext: see what there is:  fairlead endpoint list\nrequest id: r1\n",
		},
		"precondition": {called(endpoints+"Delete", apierr.New(apierr.FailedPrecondition, "X", "it is in use")), failure.Precondition, "error: it is in use\nrequest id: r1\n"},
		"conflict":     {called(endpoints+"Update", apierr.New(apierr.Conflict, "X", "it has changed")), failure.Precondition, "error: it has changed\nrequest id: r1\n"},
		"exists":       {called(endpoints+"Create", apierr.New(apierr.AlreadyExists, "X", "it exists")), failure.Error, "error: it exists\nrequest id: r1\n"},
		"not let in": {
			called(endpoints+"List", apierr.New(apierr.Unauthenticated, "X", "the token is not known")), failure.Authentication,
			"error: the token is not known (token from FAIRLEAD_TOKEN)\nnext: give another token:  FAIRLEAD_TOKEN or --token-file FILE\n      see what is used:    fairlead config show\nrequest id: r1\n",
		},
		"every violation": {
			called(endpoints+"Create", apierr.Invalid(apierr.Violation{Field: "a.b", Description: "must be 1"}, apierr.Violation{Field: "c", Description: "is bad\x1b[2J"})), failure.Error,
			"error: the request is not valid\n  a.b: must be 1\n  c: is bad\uFFFD[2J\nrequest id: r1\n",
		},
		"every violation, in flags": {
			failure.InFlags(called(endpoints+"Create", apierr.Invalid(apierr.Violation{Field: "a.b", Description: "must be 1"}, apierr.Violation{Field: "c", Description: "is bad"})), map[string]string{"a.b": "-b"}), failure.Error,
			"error: the request is not valid\n  -b: must be 1\n  c: is bad\nrequest id: r1\n",
		},
		"no such version": {
			called(endpoints+"Get", apierr.New(apierr.NotFound, "VERSION_NOT_FOUND", "endpoint e has no version x; it has y")), failure.Precondition,
			"error: endpoint e has no version x; it has y\nrequest id: r1\n",
		},
		"not a control plane": {
			status.Error(codes.Unavailable, `connection error: desc = "error reading server preface: http2: frame too large"`), failure.Error,
			"error: no Fairlead server answers at http://s:1: what answers there is no control plane (fairlead up puts it on port 8081)\nnext: start one on this machine:  fairlead up\n      or say where it is:         --server URL or FAIRLEAD_SERVER\n      find out more:              fairlead doctor\n",
		},
		"several lines": {called(endpoints+"Get", apierr.New(apierr.Internal, "X", "it failed:\nTraceback\r\n  line")), failure.Error, "error: it failed:\n  | Traceback\n  |   line\nrequest id: r1\n"},
		"no server": {
			status.Error(codes.Unavailable, `connection error: desc = "transport: dial tcp 1.2.3.4:5: connect: connection refused"`), failure.Error,
			"error: no Fairlead server answers at http://s:1: connection refused\nnext: start one on this machine:  fairlead up\n      or say where it is:         --server URL or FAIRLEAD_SERVER\n      find out more:              fairlead doctor\n",
		},
		"a slow server":  {status.Error(codes.DeadlineExceeded, "context deadline exceeded"), failure.Error, "error: the server at http://s:1 did not answer in time\nnext: fairlead doctor\n"},
		"timeout":        {fmt.Errorf("x: %w", failure.ErrTimeout), failure.TimedOut, "error: the time given by --timeout is over\n"},
		"interrupted":    {context.Canceled, failure.Usage, "error: cancelled\n"},
		"cancelled call": {status.Error(codes.Canceled, "context canceled"), failure.Usage, "error: cancelled\n"},
		"ours": {
			fmt.Errorf("x: %w", failure.New(failure.Pending, "it goes on").ThenTry("wait")), failure.Pending, "error: it goes on\nnext: wait\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := failure.From(test.err, conn)
			if f.Code != test.code {
				t.Errorf("exit code %d, want %d", f.Code, test.code)
			}
			var b bytes.Buffer
			f.Write(&b, func(s string) string { return s })
			if diff := cmp.Diff(test.text, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if failure.From(nil, conn) != nil {
		t.Error("no error is no failure")
	}
}
