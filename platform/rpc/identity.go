package rpc

import (
	"context"
	"crypto/x509"
	"net"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
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
	name := transportPeer(ctx)
	if name == Gateway {
		return ""
	}
	return name
}

// transportPeer gives the name of the service at the other end, the gateway too.
func transportPeer(ctx context.Context) string {
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
			name = ServiceOf(info.State.VerifiedChains[0][0])
		}
	}
	return name
}

// ServiceOf gives the name of the service that a certificate is of, "" when it is of
// none or nil. Whoever asks has verified the certificate.
func ServiceOf(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	for _, uri := range cert.URIs {
		if name, ok := strings.CutPrefix(uri.String(), identityURI); ok {
			return name
		}
	}
	return ""
}

const (
	// principalHeader carries who a service calls for; it counts from services only.
	principalHeader = "fairlead-principal-bin"
	// ClientAddressHeader carries the address of a caller that the gateway calls
	// for; it counts from the gateway only.
	ClientAddressHeader = "fairlead-client-address"

	servicePrefix      = "service:"
	maxForwardedLength = 300
)

// onBehalf gives the principal that a service calls for, or the service.
func onBehalf(ctx context.Context, service string) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(principalHeader); len(v) == 1 && v[0] != "" && len(v[0]) <= maxForwardedLength {
		return v[0]
	}
	return servicePrefix + service
}

// forPrincipal adds the caller of the handler that ctx is of, if it is a person
// or program, so that what is done for it is known to be its doing.
func forPrincipal(ctx context.Context) context.Context {
	p := Principal(ctx)
	if p == "" || strings.HasPrefix(p, servicePrefix) {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, principalHeader, p)
}

// clientAddress gives the address of the person or program that calls, without
// its port.
func clientAddress(ctx context.Context) string {
	if transportPeer(ctx) == Gateway {
		md, _ := metadata.FromIncomingContext(ctx)
		if v := md.Get(ClientAddressHeader); len(v) == 1 {
			return v[0]
		}
		return ""
	}
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return HostOf(p.Addr.String())
}

// HostOf gives an address without its port.
func HostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

type principalKey struct{}

// Principal says who called: a principal's name such as "admin", also when a
// service called for it, or "service:deploy" for a service by itself. It is empty
// outside a server's handler.
func Principal(ctx context.Context) string {
	p, _ := ctx.Value(principalKey{}).(string)
	return p
}

// WithPrincipal is for handlers that are called without a server, as in tests.
func WithPrincipal(ctx context.Context, principal string) context.Context {
	return context.WithValue(ctx, principalKey{}, principal)
}
