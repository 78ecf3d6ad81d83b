package grpcapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/page"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
)

// pageToken is where a list goes on. It holds the whole time that is listed, so
// that requests which come meanwhile do not move the pages.
type pageToken struct {
	List          string
	From, To      time.Time
	Arrival       int64
	LastRequestID string
}

// ListRequests lists records, newest first.
func (s *Server) ListRequests(_ context.Context, req *telemetryv1.ListRequestsRequest) (*telemetryv1.ListRequestsResponse, error) {
	var bad apierr.Violations
	parseEndpoint("parent", req.GetParent(), &bad)
	filter := requestlog.Filter{
		Endpoint: req.GetParent(), UID: req.GetEndpointUid(), Versions: req.GetVersions(), CodeClass: int(req.GetCodeClass()),
		MinLatency: req.GetMinLatency().AsDuration(), RequestID: req.GetRequestId(), Limit: pageSize(req.GetPageSize()),
	}
	filter.From, filter.To = s.parseRange(req.GetStartTime(), req.GetEndTime(), &bad)
	list := listName(req)
	if req.GetPageToken() != "" {
		token, ok := parseToken(req.GetPageToken(), list)
		if !ok {
			bad.Add("page_token", "must be the next_page_token of an earlier answer to the same request")
		}
		filter.From, filter.To = token.From, token.To
		filter.Before = &requestlog.Place{Arrival: token.Arrival, RequestID: token.LastRequestID}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	size := filter.Limit
	filter.Limit++ // one more tells whether there is another page
	found := s.ledger.Requests(filter)
	out := &telemetryv1.ListRequestsResponse{}
	for i := range found[:min(size, len(found))] {
		out.Requests = append(out.Requests, requestProto(&found[i]))
	}
	if len(found) > size {
		last := found[size-1].Place()
		out.NextPageToken = pageToken{
			List: list, From: filter.From, To: filter.To, Arrival: last.Arrival, LastRequestID: last.RequestID,
		}.String()
	}
	return out, nil
}

func pageSize(asked int32) int {
	if asked <= 0 {
		return page.DefaultSize
	}
	return min(int(asked), page.MaxSize)
}

// listName tells lists apart: a token is good for its own only.
func listName(req *telemetryv1.ListRequestsRequest) string {
	of := proto.CloneOf(req)
	of.PageSize, of.PageToken = 0, ""
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(of)
	if err != nil {
		return req.GetParent()
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (t pageToken) String() string {
	text, err := json.Marshal(t)
	if err != nil { // strings and numbers only
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseToken(text, list string) (t pageToken, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &t) != nil {
		return t, false
	}
	return t, t.List == list
}

// TailRequests streams records as they come.
func (s *Server) TailRequests(req *telemetryv1.TailRequestsRequest, stream grpc.ServerStreamingServer[telemetryv1.TailRequestsResponse]) error {
	var bad apierr.Violations
	parseEndpoint("name", req.GetName(), &bad)
	if err := bad.Err(); err != nil {
		return err
	}
	filter := requestlog.Filter{
		Endpoint: req.GetName(), Versions: req.GetVersions(), CodeClass: int(req.GetCodeClass()),
		MinLatency: req.GetMinLatency().AsDuration(), To: time.Unix(1<<33, 0),
	}
	watcher := s.hub.Watch(filter.Wants)
	defer watcher.Close()
	// The caller learns that it watches before anything comes.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	for {
		requests, missed, err := watcher.Next(stream.Context())
		if err != nil {
			return err
		}
		for i := range requests {
			if err := stream.Send(&telemetryv1.TailRequestsResponse{Request: requestProto(&requests[i]), Missed: missed}); err != nil {
				return err
			}
		}
	}
}

func requestProto(r *requestlog.Request) *telemetryv1.RequestRecord {
	return &telemetryv1.RequestRecord{
		Endpoint: r.Endpoint, EndpointUid: r.EndpointUID, Version: r.Version, Replica: r.Replica,
		ArrivalTime: timestamppb.New(time.Unix(0, r.Arrival)), Code: r.Code,
		Latency:      durationpb.New(time.Duration(r.Latency)),
		QueueWait:    durationpb.New(time.Duration(r.QueueWait)),
		Execution:    durationpb.New(time.Duration(r.Execution)),
		RequestBytes: r.RequestBytes, ResponseBytes: r.ResponseBytes,
		RequestId: r.RequestID, ClientRequestId: r.ClientRequestID, TraceId: r.TraceID, Reason: r.Reason,
	}
}
