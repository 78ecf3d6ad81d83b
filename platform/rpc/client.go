package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// A call without a deadline would wait for ever for a service that is away.
const defaultCallTimeout = 30 * time.Second

// unaryClient passes on who is called for, gives calls without a deadline one,
// and shaves a little off the deadline that is passed on, so that the callee's
// own answer arrives before the caller gives up.
func unaryClient(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	timeout := defaultCallTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline) * 98 / 100
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx = forPrincipal(ctx)
	return invoke(ctx, method, req, reply, cc, opts...)
}

// streamClient passes on who is called for.
func streamClient(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return open(forPrincipal(ctx), desc, cc, method, opts...)
}
