package client

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// requestIDHeader carries the id that the server gave the request.
const requestIDHeader = "x-request-id"

// CallError is a failed call with its request id.
type CallError struct {
	Method    string
	RequestID string
	Err       error
}

// Error gives the server's words.
func (e *CallError) Error() string { return status.Convert(e.Err).Message() }

// Unwrap gives the error as gRPC made it.
func (e *CallError) Unwrap() error { return e.Err }

// GRPCStatus lets status.FromError see through.
func (e *CallError) GRPCStatus() *status.Status { return status.Convert(e.Err) }

// observer logs calls and keeps their request ids.
type observer struct{ log *slog.Logger }

func (o observer) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	var header, trailer metadata.MD
	begin := time.Now()
	err := invoke(ctx, method, req, reply, conn, append(opts, grpc.Header(&header), grpc.Trailer(&trailer))...)
	id := requestID(header, trailer)
	o.log.Debug("call", "method", method, "duration", time.Since(begin).Round(time.Microsecond),
		"code", status.Code(err).String(), "request_id", id)
	if err != nil {
		return &CallError{Method: method, RequestID: id, Err: err}
	}
	return nil
}

func (o observer) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, conn, method, opts...)
	o.log.Debug("stream", "method", method, "code", status.Code(err).String())
	if err != nil {
		return nil, &CallError{Method: method, Err: err}
	}
	return &observedStream{ClientStream: s, method: method}, nil
}

type observedStream struct {
	grpc.ClientStream
	method string
}

func (s *observedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	header, _ := s.Header() // after a failed receive this does not block
	return &CallError{Method: s.method, RequestID: requestID(header, s.Trailer()), Err: err}
}

func requestID(header, trailer metadata.MD) string {
	for _, md := range []metadata.MD{header, trailer} {
		if v := md.Get(requestIDHeader); len(v) > 0 {
			return v[0]
		}
	}
	return ""
}
