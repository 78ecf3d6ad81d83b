package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// A call without a deadline would wait for ever for a service that is away.
const defaultCallTimeout = 30 * time.Second

// clientDeadline gives calls without a deadline one, and shaves a little off
// the deadline that is passed on, so that the callee's own answer arrives
// before the caller gives up.
func clientDeadline(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	timeout := defaultCallTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline) * 98 / 100
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return invoke(ctx, method, req, reply, cc, opts...)
}
