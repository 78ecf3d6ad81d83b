package rpc

import (
	"context"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Auditor is told of calls that have ended. It must not block.
type Auditor interface {
	Record(Call)
}

// Call is a call of a person or program that has ended. It holds no secrets.
type Call struct {
	Time          time.Time
	Principal     string // empty when the token was not known
	Method        string // full gRPC method
	Resource      string // the resource that it was about; of one that makes a resource, that one, or its parent
	Details       string // what else matters of the request: name=value, separated by spaces
	ClientAddress string // without port; empty when not known
	RequestID     string
	// Denied calls were refused for who called.
	Denied  bool
	Code    codes.Code
	Message string // what the caller was told when it failed

	byToken  bool
	validate bool // changes nothing
}

func newCall(ctx context.Context, method, id string) *Call {
	return &Call{Method: method, RequestID: id, ClientAddress: clientAddress(ctx)}
}

// see takes what it needs of the request.
func (c *Call) see(msg proto.Message) {
	c.Resource = Resource(msg)
	if msg == nil {
		return
	}
	if id, ok := created(c.Method, msg); ok {
		c.Resource = id
	}
	c.Details = details(msg)
	m := msg.ProtoReflect()
	if f := m.Descriptor().Fields().ByName("validate_only"); f != nil && f.Kind() == protoreflect.BoolKind {
		c.validate = m.Get(f).Bool()
	}
}

// refuse notes that the call was refused for who called; a check that could not
// be made is no refusal.
func (c *Call) refuse(err error) {
	e := apierr.FromStatus(err)
	switch e.Kind {
	case apierr.Unauthenticated, apierr.PermissionDenied:
		c.Denied = true
	case apierr.NotFound: // a workspace that does not exist for the caller
		c.Denied = e.Metadata["principal"] != ""
	default:
	}
	c.Principal = e.Metadata["principal"]
}

// note tells the auditor of a call that has ended, if it belongs in the log.
func (e *edge) note(call *Call, err *error) {
	if e.audit == nil || !call.Denied && (!call.byToken || call.validate || isRead(call.Method)) {
		return
	}
	st := status.Convert(*err)
	call.Time, call.Code, call.Message = time.Now(), st.Code(), st.Message()
	e.audit.Record(*call)
}

// isRead says whether the contract binds the method to GET; of methods that it
// does not bind, those are reads that are called so.
func isRead(method string) bool {
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return false
	}
	if rule, ok := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule); ok && rule != nil {
		return rule.GetGet() != ""
	}
	for _, verb := range []string{"Get", "List", "Watch", "Wait", "Read", "Check"} {
		if strings.HasPrefix(string(d.Name()), verb) {
			return true
		}
	}
	return false
}
