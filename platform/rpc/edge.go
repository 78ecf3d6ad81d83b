package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairlead/fairlead/platform/apierr"
)

// RequestIDHeader carries a request's id, in and out.
const RequestIDHeader = "x-request-id"

// handlerTimeout ends unary calls whose caller set no deadline.
const handlerTimeout = 60 * time.Second

// edge is what every server does around its handlers.
type edge struct {
	log      *slog.Logger
	access   Access
	audit    Auditor // may be nil
	open     []string
	validate protovalidate.Validator
	// quit ends when the server is told to stop: streams have no end of their own.
	quit context.Context //nolint:containedctx // lives as long as the server
}

func (e *edge) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	id := requestID(ctx)
	_ = grpc.SetHeader(ctx, metadata.Pairs(RequestIDHeader, id)) // fails only after the header was sent
	call := newCall(ctx, info.FullMethod, id)
	defer e.note(call, &err)
	defer e.finish(info.FullMethod, id, &err)
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, handlerTimeout)
		defer cancel()
	}
	admitted, err := e.admit(ctx, call, req)
	if err != nil {
		return nil, e.withRest(admitted, req, err, handler)
	}
	resp, err = handler(admitted, req)
	if err == nil {
		call.answered(resp)
	}
	return resp, err
}

// withRest adds what the handler itself finds wrong with a request that breaks
// its rules, so that the caller is told everything at once. It asks the handler
// to validate only, where the method can do that.
func (e *edge) withRest(ctx context.Context, req any, broken error, handler grpc.UnaryHandler) (all error) {
	rules, ok := errors.AsType[*apierr.Error](broken)
	msg, isProto := req.(proto.Message)
	if !ok || len(rules.Violations) == 0 || !isProto {
		return broken
	}
	field := msg.ProtoReflect().Descriptor().Fields().ByName("validate_only")
	if field == nil || field.Kind() != protoreflect.BoolKind {
		return broken
	}
	defer func() {
		if recover() != nil { // the handler may rely on the rules that are broken
			all = broken
		}
	}()
	trial := proto.Clone(msg)
	trial.ProtoReflect().Set(field, protoreflect.ValueOfBool(true))
	_, err := handler(ctx, trial)
	found, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		return broken
	}
	merged := apierr.Violations(slices.Clone(rules.Violations))
	for _, v := range found.Violations {
		if !slices.ContainsFunc(merged, func(known apierr.Violation) bool { return known.Field == v.Field }) {
			merged = append(merged, v)
		}
	}
	return merged.Err()
}

func (e *edge) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	id := requestID(ss.Context())
	_ = ss.SetHeader(metadata.Pairs(RequestIDHeader, id))
	call := newCall(ss.Context(), info.FullMethod, id)
	defer e.note(call, &err)
	defer e.finish(info.FullMethod, id, &err)
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(e.quit, cancel)()
	err = handler(srv, &admittedStream{ServerStream: ss, ctx: ctx, edge: e, call: call})
	if err != nil && e.quit.Err() != nil {
		err = apierr.New(apierr.Unavailable, "STOPPING", "the server is stopping: call again").Because(err)
	}
	return err
}

// admittedStream admits a stream by its first message, which names the resource.
type admittedStream struct {
	grpc.ServerStream
	ctx      context.Context
	edge     *edge
	call     *Call
	admitted bool
}

func (s *admittedStream) Context() context.Context { return s.ctx }

func (s *admittedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if s.admitted {
		return nil
	}
	ctx, err := s.edge.admit(s.ctx, s.call, m)
	if err != nil {
		return err
	}
	s.ctx, s.admitted = ctx, true
	return nil
}

// admit says who calls and whether the request is well formed, and notes it.
func (e *edge) admit(ctx context.Context, call *Call, req any) (context.Context, error) {
	msg, _ := req.(proto.Message)
	call.see(msg)
	principal, err := e.authenticate(ctx, call, msg)
	if err != nil {
		call.refuse(err)
		return ctx, err
	}
	call.Principal = principal
	if msg != nil {
		if err := e.check(msg); err != nil {
			return WithPrincipal(ctx, principal), err
		}
	}
	return WithPrincipal(ctx, principal), nil
}

// isOpen says whether a method is for everybody. Probes and tools ask for health
// and reflection before they have a token.
func (e *edge) isOpen(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.") || strings.HasPrefix(method, "/grpc.reflection.") ||
		slices.Contains(e.open, method)
}

func (e *edge) authenticate(ctx context.Context, call *Call, msg proto.Message) (string, error) {
	if e.isOpen(call.Method) {
		return "", nil
	}
	peer := PeerFrom(ctx)
	token, has, err := bearer(ctx)
	switch {
	case err != nil:
		return "", err
	case !has && peer != "":
		return onBehalf(ctx, peer), nil
	case !has:
		return "", apierr.New(apierr.Unauthenticated, "NO_TOKEN",
			"no token: send \"Authorization: Bearer TOKEN\" (the CLI takes it from FAIRLEAD_TOKEN)")
	case servicesOnly(call.Method):
		return "", apierr.New(apierr.PermissionDenied, "SERVICES_ONLY", "%s is for Fairlead's own services", call.Method)
	}
	call.byToken = true
	return e.access.Check(ctx, token, call.Method, Resource(msg))
}

// Bearer gives the bearer token of the call that ctx is of, "" when it has none:
// for handlers whose answer depends on more of the caller than its name.
func Bearer(ctx context.Context) string {
	token, _, _ := bearer(ctx) // a malformed one was refused before
	return token
}

func bearer(ctx context.Context) (token string, has bool, err error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) == 0 {
		return "", false, nil
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", false, apierr.New(apierr.Unauthenticated, "BAD_AUTHORIZATION", "the Authorization header must be \"Bearer TOKEN\", once")
	}
	return token, true, nil
}

// servicesOnly methods are those of ours that have no REST binding.
func servicesOnly(method string) bool {
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return false
	}
	return strings.HasPrefix(name, "fairlead.") && !proto.HasExtension(d.Options(), annotations.E_Http)
}

// Resource gives the name or parent that a request is about: its field name or
// parent, else the name of the resource that it carries.
func Resource(msg proto.Message) string {
	if msg == nil {
		return ""
	}
	m := msg.ProtoReflect()
	fields := m.Descriptor().Fields()
	for _, field := range []protoreflect.Name{"name", "parent"} {
		if f := fields.ByName(field); f != nil && f.Kind() == protoreflect.StringKind {
			return m.Get(f).String()
		}
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsList() || f.IsMap() || !m.Has(f) {
			continue
		}
		if n := f.Message().Fields().ByName("name"); n != nil && n.Kind() == protoreflect.StringKind {
			return m.Get(f).Message().Get(n).String()
		}
	}
	return ""
}

// check reports every violation of the request's rules at once.
func (e *edge) check(msg proto.Message) error {
	err := e.validate.Validate(msg)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return fmt.Errorf("validate %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}
	var out apierr.Violations
	for _, v := range invalid.Violations {
		out.Add(protovalidate.FieldPathString(v.Proto.GetField()), "%s", v.Proto.GetMessage())
	}
	return out.Err()
}

func requestID(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(RequestIDHeader); len(v) == 1 && v[0] != "" && len(v[0]) <= 100 {
		return v[0]
	}
	return rand.Text()
}

// finish turns a panic into an error, logs what the caller does not see, and
// maps the error to a status with the request's id.
func (e *edge) finish(method, id string, err *error) {
	if p := recover(); p != nil {
		e.log.Error("a handler panicked", "method", method, "request", id, "panic", p, "stack", string(debug.Stack()))
		*err = apierr.New(apierr.Internal, "PANIC", "internal error")
	}
	if *err == nil {
		return
	}
	st := apierr.ToStatus(*err)
	if st.Code() == codes.Internal || st.Code() == codes.Unknown {
		e.log.Error("a call failed", "method", method, "request", id, "error", *err)
	}
	*err = withRequestID(st, id).Err()
}

// withRequestID puts the request's id in place of that of an inner call.
func withRequestID(st *status.Status, id string) *status.Status {
	own, err := anypb.New(&errdetails.RequestInfo{RequestId: id})
	if err != nil {
		return st
	}
	p := st.Proto()
	p.Details = append(slices.DeleteFunc(p.GetDetails(), func(d *anypb.Any) bool { return d.GetTypeUrl() == own.GetTypeUrl() }), own)
	return status.FromProto(p)
}
