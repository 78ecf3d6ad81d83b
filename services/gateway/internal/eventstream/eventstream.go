// Package eventstream offers the event log to callers: by gRPC as
// fairlead.events.v1.EventService and over HTTP as server-sent events. Both
// check who calls, take the same request and end with the same errors. A stream
// gives events oldest first; each comes with the cursor to go on after it.
// A Service is safe for concurrent use.
package eventstream

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/gateway/internal/stopping"
)

// allWorkspaces stands for every workspace in workspaces/-.
const allWorkspaces = "-"

// Log is the event log.
type Log interface {
	Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error]
}

// Deps is what a Service needs.
type Deps struct {
	Logger    *slog.Logger
	Log       Log
	Access    rpc.Access
	Stopping  *stopping.Signal
	KeepAlive time.Duration // between comments on a quiet stream of server-sent events
}

// Service is EventService, and http.Handler of the server-sent events.
type Service struct {
	eventsv1.UnsafeEventServiceServer
	Deps
	open counts
}

var _ eventsv1.EventServiceServer = (*Service)(nil)

// New makes a Service.
func New(d Deps) *Service { return &Service{Deps: d} }

// WatchEvents streams events to a gRPC caller.
func (s *Service) WatchEvents(req *eventsv1.WatchEventsRequest, stream grpc.ServerStreamingServer[eventsv1.WatchEventsResponse]) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	ctx, cancel := s.Stopping.Bind(stream.Context())
	defer cancel(nil)
	leave, err := s.admit(ctx, cancel, md.Get("authorization"), req)
	if err != nil {
		return err
	}
	defer leave()
	for record, err := range s.read(ctx, req) {
		if err != nil {
			return stopping.Cause(ctx, err)
		}
		e, err := eventProto(record.Event)
		if err != nil {
			return err
		}
		if err := stream.Send(&eventsv1.WatchEventsResponse{Event: e, Cursor: record.Cursor}); err != nil {
			return err
		}
	}
	return nil
}

func bearer(authorization []string) (string, error) {
	if len(authorization) == 0 {
		return "", apierr.New(apierr.Unauthenticated, "NO_TOKEN",
			"no token: send \"Authorization: Bearer TOKEN\" (the CLI takes it from FAIRLEAD_TOKEN)")
	}
	scheme, token, ok := strings.Cut(authorization[0], " ")
	token = strings.TrimSpace(token)
	if len(authorization) > 1 || !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", apierr.New(apierr.Unauthenticated, "BAD_AUTHORIZATION", "the Authorization header must be \"Bearer TOKEN\", once")
	}
	return token, nil
}

// read gives the wanted events. Its errors are for callers.
func (s *Service) read(ctx context.Context, req *eventsv1.WatchEventsRequest) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for record, err := range s.Log.Read(ctx, query(req)) {
			_, bad := errors.AsType[*events.InvalidError](err)
			switch {
			case bad && record.Cursor != "":
				s.Logger.Warn("an event in the log cannot be read and is left out", "cursor", record.Cursor, "error", err)
			case err != nil:
				yield(record, readError(err))
				return
			case !strings.HasPrefix(record.Event.Type(), req.GetTypePrefix()):
			case !yield(record, nil):
				return
			}
		}
	}
}

// query asks the log for whole segments of the type prefix; read looks at the rest.
func query(req *eventsv1.WatchEventsRequest) events.Query {
	q := events.Query{From: events.FromNow(), Follow: !req.GetNoFollow()}
	switch {
	case req.GetCursor() != "":
		q.From = events.After(req.GetCursor())
	case req.GetFromStart():
		q.From = events.FromStart()
	}
	if w := resourcename.Workspace(req.GetParent()); w != allWorkspaces {
		q.Filter.Workspaces = []string{w}
	}
	if i := strings.LastIndexByte(req.GetTypePrefix(), '.'); i >= 0 {
		q.Filter.TypePrefix = req.GetTypePrefix()[:i]
	}
	return q
}

func readError(err error) error {
	if e, ok := errors.AsType[*events.ExpiredError](err); ok {
		return apierr.New(apierr.OutOfRange, "CURSOR_EXPIRED", "%s", e.Error()).With("cursor", e.Cursor).With("oldest", e.Oldest)
	}
	if e, ok := errors.AsType[*events.InvalidError](err); ok {
		field := e.Attribute
		if field == "workspace" {
			field = "parent"
		}
		return apierr.Invalid(apierr.Violation{Field: field, Description: e.Reason})
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return apierr.New(apierr.Unavailable, "EVENT_LOG_UNAVAILABLE", "the event log is not available now; try again from the last cursor").Because(err)
}

func eventProto(e events.Event) (*eventsv1.CloudEvent, error) {
	out := &eventsv1.CloudEvent{
		Id:              e.ID,
		Source:          e.Source(),
		SpecVersion:     "1.0",
		Type:            e.Type(),
		Subject:         e.Subject,
		Time:            timestamppb.New(e.Time),
		DataContentType: e.ContentType(),
		Sequence:        strconv.FormatUint(e.Sequence, 10),
		Workspace:       e.Workspace,
	}
	if len(e.Data) == 0 || !json.Valid(e.Data) {
		return out, nil
	}
	data := &structpb.Struct{}
	if err := protojson.Unmarshal(e.Data, data); err != nil {
		return nil, apierr.New(apierr.DataLoss, "EVENT_DATA_UNREADABLE", "the data of event %s is not a JSON object", e.ID).Because(err)
	}
	out.Data = data
	return out, nil
}
