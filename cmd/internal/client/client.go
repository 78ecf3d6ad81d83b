// Package client holds the command line's one connection to the control plane.
//
// All services are reached through the edge. Errors of calls carry the request
// id that the server gave. A Client is safe for concurrent use.
package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/settings"
	"github.com/fairlead/fairlead/cmd/internal/signin"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
)

// maxAnswerBytes leaves room for an endpoint whose versions have many files.
const maxAnswerBytes = 64 << 20

// callTimeout ends a unary call to which its caller gave no deadline.
const callTimeout = 30 * time.Second

// Client has the services of the control plane.
type Client struct {
	Workspaces     authv1.WorkspaceServiceClient
	EndpointKeys   authv1.EndpointKeyServiceClient
	ComputeTargets computev1.ComputeTargetServiceClient
	Workloads      computev1.WorkloadServiceClient
	Models         deployv1.ModelServiceClient
	Artefacts      deployv1.ArtefactServiceClient
	Endpoints      deployv1.EndpointServiceClient
	Environments   deployv1.EnvironmentServiceClient
	Operations     longrunningpb.OperationsClient
	Events         eventsv1.EventServiceClient

	Tokens            authv1.TokenServiceClient
	Identity          authv1.IdentityServiceClient
	RoleBindings      authv1.RoleBindingServiceClient
	ServicePrincipals authv1.ServicePrincipalServiceClient
	Audit             authv1.AuditServiceClient
	Telemetry         telemetryv1.TelemetryServiceClient

	conn *grpc.ClientConn
}

// Dial prepares the connection; it is made with the first call. Calls are
// logged at debug level.
func Dial(s settings.Settings, version string, log *slog.Logger) (*Client, error) {
	server, err := url.Parse(s.Server.Value)
	if err != nil {
		return nil, fmt.Errorf("the server address: %w", err)
	}
	transport := insecure.NewCredentials()
	if server.Scheme == "https" {
		transport = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	calls := observer{log: log}
	conn, err := grpc.NewClient("dns:///"+server.Host,
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(bearer{token: s.Token, signIn: s.SignIn}),
		grpc.WithUserAgent("fairlead-cli/"+version),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
		grpc.WithUnaryInterceptor(calls.unary),
		grpc.WithStreamInterceptor(calls.stream))
	if err != nil {
		return nil, fmt.Errorf("the server address %q: %w", s.Server.Value, err)
	}
	return &Client{
		Workspaces:     authv1.NewWorkspaceServiceClient(conn),
		EndpointKeys:   authv1.NewEndpointKeyServiceClient(conn),
		ComputeTargets: computev1.NewComputeTargetServiceClient(conn),
		Workloads:      computev1.NewWorkloadServiceClient(conn),
		Models:         deployv1.NewModelServiceClient(conn),
		Artefacts:      deployv1.NewArtefactServiceClient(conn),
		Endpoints:      deployv1.NewEndpointServiceClient(conn),
		Environments:   deployv1.NewEnvironmentServiceClient(conn),
		Operations:     longrunningpb.NewOperationsClient(conn),
		Events:         eventsv1.NewEventServiceClient(conn),
		Telemetry:      telemetryv1.NewTelemetryServiceClient(conn),

		Tokens:            authv1.NewTokenServiceClient(conn),
		Identity:          authv1.NewIdentityServiceClient(conn),
		RoleBindings:      authv1.NewRoleBindingServiceClient(conn),
		ServicePrincipals: authv1.NewServicePrincipalServiceClient(conn),
		Audit:             authv1.NewAuditServiceClient(conn),

		conn: conn,
	}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// NewRequestID makes the id under which a request, sent again, has its effect once.
func NewRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// bearer sends the token, also over cleartext: the address's scheme is the
// user's word on how the server is reached.
type bearer struct {
	token  settings.Token
	signIn *signin.Source // nil for a token that is not of a sign-in
}

func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if b.signIn != nil {
		token, err := b.signIn.Token(ctx)
		if err != nil {
			return nil, status.Error(codes.Unauthenticated, err.Error())
		}
		b.token = settings.Token(token)
	}
	if b.token == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + b.token.Reveal()}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }
