// Package operations offers the long-running operations of all services as one
// google.longrunning.Operations. An operation's id begins with the service that
// owns it, as in deploy-01J…; that service answers and checks who calls. It is
// safe for concurrent use.
package operations

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/gateway/internal/grpcproxy"
)

// waitTimeout bounds a wait whose caller set no deadline; services answer
// before it, and connections would give up earlier than they do.
const waitTimeout = 60 * time.Second

// Source is the operations of one service.
type Source struct {
	Service string
	Client  longrunningpb.OperationsClient
}

// Client is the operations of all services, for callers with outgoing metadata.
type Client struct {
	sources []Source // by service, which is the order of the operations' names
}

var _ longrunningpb.OperationsClient = (*Client)(nil)

// NewClient makes a Client. There must be at least one source.
func NewClient(sources ...Source) *Client {
	sorted := slices.SortedFunc(slices.Values(sources), func(a, b Source) int { return strings.Compare(a.Service, b.Service) })
	return &Client{sources: sorted}
}

// of gives the owner of an operation. A name without a known owner goes to any
// service: it checks who calls and says that there is no such operation.
func (c *Client) of(name string) longrunningpb.OperationsClient {
	service, _, _ := strings.Cut(resourcename.Last(name), "-")
	for _, s := range c.sources {
		if s.Service == service {
			return s.Client
		}
	}
	return c.sources[0].Client
}

// GetOperation gives an operation.
func (c *Client) GetOperation(ctx context.Context, in *longrunningpb.GetOperationRequest, opts ...grpc.CallOption) (*longrunningpb.Operation, error) {
	return c.of(in.GetName()).GetOperation(ctx, in, opts...)
}

// WaitOperation blocks until the operation is done or the wait is over.
func (c *Client) WaitOperation(ctx context.Context, in *longrunningpb.WaitOperationRequest, opts ...grpc.CallOption) (*longrunningpb.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	return c.of(in.GetName()).WaitOperation(ctx, in, opts...)
}

// CancelOperation passes on to the owner.
func (c *Client) CancelOperation(ctx context.Context, in *longrunningpb.CancelOperationRequest, opts ...grpc.CallOption) (*emptypb.Empty, error) {
	return c.of(in.GetName()).CancelOperation(ctx, in, opts...)
}

// DeleteOperation passes on to the owner.
func (c *Client) DeleteOperation(ctx context.Context, in *longrunningpb.DeleteOperationRequest, opts ...grpc.CallOption) (*emptypb.Empty, error) {
	return c.of(in.GetName()).DeleteOperation(ctx, in, opts...)
}

// ListOperations lists the operations of a workspace by name: those of one
// service after those of another. A page is filled over that border.
func (c *Client) ListOperations(ctx context.Context, in *longrunningpb.ListOperationsRequest, opts ...grpc.CallOption) (*longrunningpb.ListOperationsResponse, error) {
	p, err := page.Parse(in.GetPageSize(), "", "")
	if err != nil {
		return nil, err
	}
	at, inner, err := c.readToken(in.GetPageToken())
	if err != nil {
		return nil, err
	}
	out := &longrunningpb.ListOperationsResponse{}
	for {
		req := proto.CloneOf(in)
		req.PageSize, req.PageToken = int32(p.Size-len(out.GetOperations())), inner
		part, err := c.sources[at].Client.ListOperations(ctx, req, opts...)
		if err != nil {
			return nil, err
		}
		out.Operations = append(out.GetOperations(), part.GetOperations()...)
		inner = part.GetNextPageToken()
		if inner == "" {
			at++
		}
		switch {
		case at == len(c.sources):
			return out, nil
		case inner != "" || len(out.GetOperations()) >= p.Size:
			out.NextPageToken = c.token(at, inner)
			return out, nil
		}
	}
}

// token says where the next page begins: with which service, and where there.
func (c *Client) token(at int, inner string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.sources[at].Service + ":" + inner))
}

func (c *Client) readToken(token string) (at int, inner string, err error) {
	if token == "" {
		return 0, "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	service, inner, ok := strings.Cut(string(raw), ":")
	at = slices.IndexFunc(c.sources, func(s Source) bool { return s.Service == service })
	if err != nil || !ok || at < 0 {
		return 0, "", apierr.Invalid(apierr.Violation{
			Field: "page_token", Description: "must be the next_page_token of an earlier answer to the same request",
		})
	}
	return at, inner, nil
}

// Server is the same for callers of gRPC: their metadata is passed on.
type Server struct {
	longrunningpb.UnsafeOperationsServer
	client *Client
}

var _ longrunningpb.OperationsServer = (*Server)(nil)

// NewServer makes a Server.
func NewServer(c *Client) *Server { return &Server{client: c} }

// GetOperation gives an operation.
func (s *Server) GetOperation(ctx context.Context, req *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	return s.client.GetOperation(passOn(ctx), req)
}

// ListOperations lists the operations of a workspace.
func (s *Server) ListOperations(ctx context.Context, req *longrunningpb.ListOperationsRequest) (*longrunningpb.ListOperationsResponse, error) {
	return s.client.ListOperations(passOn(ctx), req)
}

// WaitOperation blocks until the operation is done or the wait is over.
func (s *Server) WaitOperation(ctx context.Context, req *longrunningpb.WaitOperationRequest) (*longrunningpb.Operation, error) {
	return s.client.WaitOperation(passOn(ctx), req)
}

// CancelOperation passes on to the owner.
func (s *Server) CancelOperation(ctx context.Context, req *longrunningpb.CancelOperationRequest) (*emptypb.Empty, error) {
	return s.client.CancelOperation(passOn(ctx), req)
}

// DeleteOperation passes on to the owner.
func (s *Server) DeleteOperation(ctx context.Context, req *longrunningpb.DeleteOperationRequest) (*emptypb.Empty, error) {
	return s.client.DeleteOperation(passOn(ctx), req)
}

func passOn(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	return metadata.NewOutgoingContext(ctx, grpcproxy.WithAddress(ctx, grpcproxy.Outgoing(md)))
}
