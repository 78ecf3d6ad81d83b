package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// TCPConfig is a Network over TCP with mutual TLS, as one service sees it.
type TCPConfig struct {
	// Addresses are host:port of every service that is listened for or dialled.
	Addresses map[string]string
	// CertDir holds ca.pem and the service's own SERVICE.pem and SERVICE.key.
	CertDir string
	// Service is the service whose certificate is used.
	Service string
	// Options are for every connection that is dialled.
	Options []grpc.DialOption
}

// TCP is the Network between processes.
type TCP struct {
	cfg  TCPConfig
	cert tls.Certificate
	pool *x509.CertPool
}

var _ Network = (*TCP)(nil)

// NewTCP reads the certificates.
func NewTCP(cfg TCPConfig) (*TCP, error) {
	ca, err := os.ReadFile(filepath.Join(cfg.CertDir, "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority (make one with: fairlead certs create): %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("ca.pem holds no certificate")
	}
	own := filepath.Join(cfg.CertDir, cfg.Service)
	cert, err := tls.LoadX509KeyPair(own+".pem", own+".key")
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", cfg.Service, err)
	}
	return &TCP{cfg: cfg, cert: cert, pool: pool}, nil
}

// Listen listens on the service's address.
func (n *TCP) Listen(service string) (net.Listener, error) {
	addr, ok := n.cfg.Addresses[service]
	if !ok {
		return nil, fmt.Errorf("no address is given for service %s", service)
	}
	var config net.ListenConfig
	return config.Listen(context.Background(), "tcp", addr) // listening does not block
}

// Dial connects to a service at its address. Its certificate must name it.
func (n *TCP) Dial(_, to string) (*grpc.ClientConn, error) {
	addr, ok := n.cfg.Addresses[to]
	if !ok {
		return nil, fmt.Errorf("no address is given for service %s", to)
	}
	return dial("passthrough:///"+addr, credentials.NewTLS(n.ClientTLS(to)), n.cfg.Options...)
}

// ClientTLS is for connections to a service that the same authority vouches for.
func (n *TCP) ClientTLS(to string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{n.cert},
		RootCAs:      n.pool,
		ServerName:   to,
	}
}

// ServerTLS asks every caller for a certificate of the same authority.
func (n *TCP) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{n.cert},
		ClientCAs:    n.pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
}

// Credentials are those of ServerTLS.
func (n *TCP) Credentials() credentials.TransportCredentials {
	return credentials.NewTLS(n.ServerTLS())
}

// MaxMessage is the largest message that servers and clients take, in bytes.
const MaxMessage = 16 << 20

// dial makes a client connection that waits for a service to come up and finds
// it again quickly after a restart.
func dial(target string, creds credentials.TransportCredentials, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithUnaryInterceptor(unaryClient(patience)),
		grpc.WithStreamInterceptor(streamClient),
	}, more...)
	return grpc.NewClient(target, options...)
}
