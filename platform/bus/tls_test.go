package bus_test

import (
	"context"
	"crypto/tls"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/rpc"
)

// TestCertificates lets connections in by the certificate that they show.
func TestCertificates(t *testing.T) {
	dir, strange := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, strange} {
		if err := rpc.CreateCerts(d, []string{"nats", "deploy"}, []string{"127.0.0.1"}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	network := func(dir, service string) *rpc.TCP {
		n, err := rpc.NewTCP(rpc.TCPConfig{CertDir: dir, Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	encryption := network(dir, "nats").ServerTLS()
	encryption.ClientAuth = tls.VerifyClientCertIfGiven
	e, err := bus.Start(t.Context(), bus.Config{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"}, bus.Deps{
		Logger: quiet(), TLS: encryption,
		Authenticate: func(_ context.Context, c bus.Credential) (bus.Access, error) {
			switch {
			case rpc.ServiceOf(c.Certificate) == "deploy" && c.Password == "secret":
				return bus.ServiceAccess(), nil
			case c.Certificate == nil && c.Token == "token":
				return bus.AllWorkspaces(), nil
			default:
				return bus.Access{}, errors.New("unknown")
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)

	nc := connect(t, bus.Target{URL: "nats://x:secret@" + e.Addr(), TLS: network(dir, "deploy").ClientTLS("nats")})
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		t.Errorf("a service by its certificate: %v", err)
	}
	ca := nats.RootCAs(filepath.Join(dir, "ca.pem"))
	for name, c := range map[string]struct {
		options []nats.Option
		accept  bool
	}{
		"a consumer that knows the authority":     {[]nats.Option{nats.Token("token"), ca}, true},
		"a consumer that does not":                {[]nats.Option{nats.Token("token")}, false},
		"the password without a certificate":      {[]nats.Option{nats.UserInfo("x", "secret"), ca}, false},
		"another service":                         {[]nats.Option{nats.UserInfo("x", "secret"), nats.Secure(network(dir, "nats").ClientTLS("nats"))}, false},
		"a certificate of another authority":      {[]nats.Option{nats.UserInfo("x", "secret"), nats.Secure(network(strange, "deploy").ClientTLS("nats")), ca}, false},
		"the server must be who it claims to be":  {[]nats.Option{nats.UserInfo("x", "secret"), nats.Secure(network(dir, "deploy").ClientTLS("auth"))}, false},
		"the right certificate, another password": {[]nats.Option{nats.UserInfo("x", "guess"), nats.Secure(network(dir, "deploy").ClientTLS("nats"))}, false},
	} {
		conn, err := nats.Connect("nats://"+e.Addr(), c.options...)
		if accepted := err == nil; accepted != c.accept {
			t.Errorf("%s: accepted: %v, want %v (%v)", name, accepted, c.accept, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
}
