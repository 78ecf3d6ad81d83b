package rpc

import (
	"context"
	"crypto/x509"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Gateway is the service that carries calls of others; it has no say of its own.
const Gateway = "gateway"

// identityURI begins the URI in a service's certificate that names it.
const identityURI = "spiffe://fairlead/service/"

// IdentityURI gives the URI that a service's certificate must carry.
func IdentityURI(service string) string { return identityURI + service }

// PeerFrom gives the name of the service that called, "" when it was none, or
// was the gateway.
func PeerFrom(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	name := ""
	switch info := p.AuthInfo.(type) {
	case memoryInfo:
		name = info.service
	case credentials.TLSInfo:
		if len(info.State.VerifiedChains) > 0 {
			name = certificateService(info.State.VerifiedChains[0][0])
		}
	}
	if name == Gateway {
		return ""
	}
	return name
}

func certificateService(cert *x509.Certificate) string {
	for _, uri := range cert.URIs {
		if name, ok := strings.CutPrefix(uri.String(), identityURI); ok {
			return name
		}
	}
	return ""
}

type principalKey struct{}

// Principal says who called: a principal's name such as "admin", or
// "service:deploy" for a service. It is empty outside a server's handler.
func Principal(ctx context.Context) string {
	p, _ := ctx.Value(principalKey{}).(string)
	return p
}

// WithPrincipal is for handlers that are called without a server, as in tests.
func WithPrincipal(ctx context.Context, principal string) context.Context {
	return context.WithValue(ctx, principalKey{}, principal)
}
