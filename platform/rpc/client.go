package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/fairlead/fairlead/platform/apierr"
)

// A call without a deadline would wait for ever for a service that is away.
const defaultCallTimeout = 30 * time.Second

// patience is how long a call waits for a service that cannot be reached.
const patience = 10 * time.Second

// unaryClient passes on who is called for, gives calls without a deadline one,
// and shaves a little off the deadline that is passed on, so that the callee's
// own answer arrives before the caller gives up. A service that is away is told
// as such, before the deadline and without its address.
func unaryClient(patience time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		timeout := defaultCallTimeout
		if deadline, ok := ctx.Deadline(); ok {
			timeout = time.Until(deadline) * 98 / 100
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if !awaitConn(ctx, cc, patience) && ctx.Err() == nil {
			return apierr.ToStatus(apierr.New(apierr.Unavailable, "SERVICE_AWAY",
				"the service behind %s cannot be reached now; try again", method)).Err()
		}
		return invoke(forPrincipal(ctx), method, req, reply, cc, opts...)
	}
}

// awaitConn waits until cc is connected; false means that it is not, in spite of
// the patience or until ctx ended.
func awaitConn(ctx context.Context, cc *grpc.ClientConn, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		state := cc.GetState()
		switch state {
		case connectivity.Ready, connectivity.Shutdown: // a call says best that the connection was closed
			return true
		case connectivity.Idle:
			cc.Connect()
		case connectivity.Connecting, connectivity.TransientFailure:
		}
		if !cc.WaitForStateChange(ctx, state) {
			return false
		}
	}
}

// streamClient passes on who is called for.
func streamClient(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return open(forPrincipal(ctx), desc, cc, method, opts...)
}
