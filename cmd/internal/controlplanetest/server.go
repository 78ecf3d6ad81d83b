// Package controlplanetest is a small control plane for tests of the command
// line: hand-written fakes of its services behind one real listener, with a
// fixed clock. It checks only what the tests look at.
//
// A Server is safe for concurrent use.
package controlplanetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
)

// What the server lets in and says of itself.
const (
	Token   = "flt_test"
	Version = "1.0.0"
)

// Parent is the workspace that is there.
const Parent = "workspaces/default"

// Now is the server's time, and for golden files the command line's too.
func Now() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// Server is the fake.
type Server struct {
	mu         sync.Mutex
	contents   map[string][]byte
	uploads    map[string]*deployv1.Upload
	partial    map[string][]byte
	models     map[string][]*deployv1.ModelVersion
	endpoints  map[string]*deployv1.Endpoint
	keys       map[string]*authv1.EndpointKeys
	operations map[string]*running
	targets    map[string]*computev1.ComputeTarget
	workspaces map[string]*authv1.Workspace
	writes     int
	failWrites map[int]bool
	calls      map[string]int

	http *http.Server
	addr string
	data *http.Server
}

// running is an operation that ends after it was asked for a few times.
type running struct {
	op     *longrunningpb.Operation
	finish func() (proto.Message, error) // nil for one that never ends
	asked  int
}

// Start starts a server on a free port; Stop ends it.
func Start() (*Server, error) {
	s := &Server{
		contents: map[string][]byte{}, uploads: map[string]*deployv1.Upload{}, partial: map[string][]byte{},
		models: map[string][]*deployv1.ModelVersion{}, endpoints: map[string]*deployv1.Endpoint{},
		keys: map[string]*authv1.EndpointKeys{}, operations: map[string]*running{},
		targets: map[string]*computev1.ComputeTarget{}, workspaces: map[string]*authv1.Workspace{},
		failWrites: map[int]bool{}, calls: map[string]int{},
	}
	s.workspaces["default"] = &authv1.Workspace{Name: Parent, CreateTime: timestamppb.New(Now()), Etag: "w1"}
	s.targets["local"] = target("local", 3)
	g := grpc.NewServer(grpc.UnaryInterceptor(s.admit), grpc.StreamInterceptor(s.admitStream))
	authv1.RegisterWorkspaceServiceServer(g, workspaceService{s: s})
	authv1.RegisterEndpointKeyServiceServer(g, keyService{s: s})
	computev1.RegisterComputeTargetServiceServer(g, computeService{s: s})
	deployv1.RegisterModelServiceServer(g, modelService{s: s})
	deployv1.RegisterArtefactServiceServer(g, artefactService{s: s})
	deployv1.RegisterEndpointServiceServer(g, endpointService{s: s})
	longrunningpb.RegisterOperationsServer(g, operationService{s: s})
	eventsv1.RegisterEventServiceServer(g, eventService{s: s})
	return s, s.listen(g)
}

func (s *Server) listen(g *grpc.Server) error {
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	data, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"version":%q}`, Version)
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			g.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})}
	s.data = &http.Server{Handler: http.HandlerFunc(s.score)}
	s.addr = data.Addr().String()
	go func() { _ = s.http.Serve(control) }()
	go func() { _ = s.data.Serve(data) }()
	s.http.Addr = control.Addr().String()
	return nil
}

// URL is where the control plane listens.
func (s *Server) URL() string { return "http://" + s.http.Addr }

// DataURL is where the data plane listens.
func (s *Server) DataURL() string { return "http://" + s.addr }

// Stop ends the server and every connection.
func (s *Server) Stop() {
	_ = s.http.Close()
	_ = s.data.Close()
}

// FailWrites makes the named writes of chunks, counted from 1, fail: half of the
// chunk arrives, then the server seems to go away.
func (s *Server) FailWrites(numbers ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range numbers {
		s.failWrites[n] = true
	}
}

// Calls says how often a method was called, by its short name.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Content gives a content that has arrived whole.
func (s *Server) Content(sha256 string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.contents[sha256]
	return c, ok
}

func (s *Server) admit(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-id", "request-1"))
	if err := s.authenticate(ctx, info.FullMethod); err != nil {
		return nil, apierr.ToStatus(err).Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	resp, err := handler(ctx, req)
	if err != nil {
		return nil, apierr.ToStatus(err).Err()
	}
	m, ok := resp.(proto.Message)
	if !ok {
		return resp, nil
	}
	return proto.Clone(m), nil // it is written out after the lock is gone
}

func (s *Server) admitStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := s.authenticate(ss.Context(), info.FullMethod); err != nil {
		return apierr.ToStatus(err).Err()
	}
	if err := handler(srv, ss); err != nil {
		return apierr.ToStatus(err).Err()
	}
	return nil
}

func (s *Server) authenticate(ctx context.Context, method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method[strings.LastIndexByte(method, '/')+1:]]++
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get("authorization"); len(v) != 1 || v[0] != "Bearer "+Token {
		return apierr.New(apierr.Unauthenticated, "TOKEN_UNKNOWN", "the token is not known")
	}
	return nil
}

func notFound(what, name string) error {
	return apierr.New(apierr.NotFound, "NOT_FOUND", "%s %q does not exist", what, name)
}

// score answers as the data plane does: it scores with a key and names the
// version that answered.
func (s *Server) score(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("x-ms-request-id", "score-1")
	parts := strings.Split(r.URL.Path, "/")
	e, ok := s.endpoints[parts[len(parts)-2]]
	refuse := func(code int, message string) {
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"error":{"code":"REFUSED","message":%q,"requestId":"score-1"},"message":%q}`, message, message)
	}
	switch {
	case !ok:
		refuse(http.StatusNotFound, "there is no such endpoint")
	case r.Header.Get("Authorization") != "Bearer "+s.keys[parts[len(parts)-2]].GetPrimaryKey():
		refuse(http.StatusUnauthorized, "the key is not valid")
	case r.Header.Get("azureml-model-deployment") == "slow":
		refuse(http.StatusGatewayTimeout, "the request took longer than 60 s")
	default:
		w.Header().Set("azureml-model-deployment", e.GetDefaultVersion())
		_, _ = w.Write([]byte("[42.5]"))
	}
}
