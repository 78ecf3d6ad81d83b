package grpcproxy

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/fairlead/fairlead/platform/rpc"
)

// Outgoing gives the metadata of a caller as it is passed on: all of it but
// what names a service or belongs to one connection. Who calls is told by the
// bearer token alone; a service's identity never comes from metadata.
func Outgoing(in metadata.MD) metadata.MD {
	out := metadata.MD{}
	for key, values := range in {
		if !internal(key) {
			out[key] = values
		}
	}
	return out
}

// WithAddress tells services where a call comes from, for the audit log.
func WithAddress(ctx context.Context, out metadata.MD) metadata.MD {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		out.Set(rpc.ClientAddressHeader, rpc.HostOf(p.Addr.String()))
	}
	return out
}

func internal(key string) bool {
	switch key {
	case "connection", "keep-alive", "te", "transfer-encoding", "upgrade", "user-agent", "host", "forwarded":
		return true
	}
	for _, prefix := range []string{":", "grpc-", "fairlead-", "x-fairlead-", "proxy-", "x-forwarded-client-cert"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
