package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
)

// choice is which requests are wanted.
type choice struct {
	versions   []string
	class      int32
	minLatency time.Duration
}

func (c *choice) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVar(&c.versions, "vn", nil, "only this version; repeat for more")
	fs.Int32Var(&c.class, "code-class", 0, "only status codes of this hundred: 5 for 500 to 599")
	fs.DurationVar(&c.minLatency, "min-latency", 0, "only requests that took at least so long")
}

func requests(s *session.Session) *cobra.Command {
	var at span
	var of choice
	req := &telemetryv1.ListRequestsRequest{}
	cmd := &cobra.Command{
		Use:   "requests [NAME]",
		Short: "List single requests, newest first",
		Long: `Lists single requests to an endpoint, newest first. They are kept only while the
endpoint has telemetry enabled.`,
		Example: "  fairlead telemetry requests -n diabetes --code-class 5\n" +
			"  fairlead telemetry requests -n diabetes --request-id 53be3fde-af1f-41e9-bd31-ecf98769e651",
	}
	addName(s, cmd)
	at.bind(cmd)
	of.bind(cmd)
	fs := cmd.Flags()
	fs.StringVar(&req.RequestId, "request-id", "", "only the request with this id")
	fs.Int32VarP(&req.PageSize, "lines", "l", 100, "how many at most, up to 1000")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		req.Parent, req.Versions, req.CodeClass, req.MinLatency = t.name, of.versions, of.class, durationpb.New(of.minLatency)
		if req.StartTime, req.EndTime, err = at.read(cmd, s.Now()); err != nil {
			return err
		}
		list, err := t.client.Telemetry.ListRequests(ctx, req)
		if err == nil && len(list.GetRequests()) == 0 {
			err = t.missed(ctx)
		}
		if err != nil {
			return err
		}
		return s.Print(requestsDocument(list))
	})
	return cmd
}

func requestsDocument(list *telemetryv1.ListRequestsResponse) output.Document {
	d := output.Document{List: []proto.Message{}}
	var rows [][]string
	for _, r := range list.GetRequests() {
		d.List = append(d.List, r)
		d.Names = append(d.Names, r.GetRequestId())
		rows = append(rows, []string{
			r.GetArrivalTime().AsTime().UTC().Format(arrivalFormat), output.OrDash(r.GetVersion()), strconv.Itoa(int(r.GetCode())),
			took(r.GetLatency()), took(r.GetQueueWait()), took(r.GetExecution()), output.OrDash(r.GetReplica()),
			r.GetRequestId(), output.OrDash(r.GetReason()),
		})
	}
	d.Text = func(t *output.Text) {
		t.Table([]string{"ARRIVED", "VERSION", "CODE", "LATENCY", "QUEUE", "EXEC", "REPLICA", "REQUEST", "REASON"}, rows)
	}
	return d
}

const arrivalFormat = "2006-01-02T15:04:05.000Z"

func tail(s *session.Session) *cobra.Command {
	var of choice
	cmd := &cobra.Command{
		Use:   "tail [NAME]",
		Short: "Show requests as they come",
		Long: `Shows the requests to an endpoint as they come, about a second after them, while
the endpoint has telemetry enabled. With -o json each line is one request.`,
		Example: "  fairlead telemetry tail -n diabetes\n" +
			"  fairlead telemetry tail -n diabetes --vn versionb --code-class 5",
	}
	addName(s, cmd)
	of.bind(cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		if err := t.missed(ctx); err != nil {
			return err
		}
		stream, err := t.client.Telemetry.TailRequests(ctx, &telemetryv1.TailRequestsRequest{
			Name: t.name, Versions: of.versions, CodeClass: of.class, MinLatency: durationpb.New(of.minLatency),
		})
		if err != nil {
			return err
		}
		missed := int64(0)
		for {
			r, err := stream.Recv()
			if errors.Is(err, io.EOF) || err != nil && errors.Is(context.Cause(ctx), context.Canceled) {
				return nil // that is how one leaves it
			}
			if err != nil {
				return err
			}
			if n := r.GetMissed(); n > missed {
				s.Notef("%d requests came too fast and were left out", n-missed)
				missed = n
			}
			if err := writeRequest(s, r.GetRequest()); err != nil {
				return err
			}
		}
	})
	return cmd
}

func writeRequest(s *session.Session, r *telemetryv1.RequestRecord) error {
	format, err := s.Format()
	if err != nil {
		return err
	}
	switch format {
	case output.JSON:
		content, err := output.MessageJSON(r)
		if err != nil {
			return err
		}
		_, err = s.Streams.Out.Write(append(content, '\n'))
		return err
	case output.Name:
		_, err = fmt.Fprintln(s.Streams.Out, r.GetRequestId())
		return err
	default:
	}
	paint := s.Paint(s.Streams.OutTerminal)
	_, err = fmt.Fprintf(s.Streams.Out, "%s  %-16s  %d  %8s  queue %8s  exec %8s  %s  %s\n",
		paint.Dim(r.GetArrivalTime().AsTime().UTC().Format(arrivalFormat)), output.Clean(output.OrDash(r.GetVersion())), r.GetCode(),
		took(r.GetLatency()), took(r.GetQueueWait()), took(r.GetExecution()), output.Clean(r.GetRequestId()), output.Clean(r.GetReason()))
	return err
}
