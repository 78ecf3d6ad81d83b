// Package events has the commands for lifecycle events.
//
// Every command is built by a function and holds no state of its own.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
)

// reconnectPause is between two tries to reach a server that went away.
const reconnectPause = time.Second

// Command makes `fairlead events`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "events",
		Short: "Follow what happens",
	}, tail(s))
}

func tail(s *session.Session) *cobra.Command {
	req := &eventsv1.WatchEventsRequest{}
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show events as they happen",
		Long: `Shows the events of the workspace as they happen, oldest first; -w - shows those
of all workspaces. With -o json each line is one event, as CloudEvents 1.0 JSON.
When the server goes away the command waits for it and goes on after the last
event that it showed.`,
		Example: "  fairlead events tail\n" +
			"  fairlead events tail --from-start --no-follow -o json\n" +
			"  fairlead events tail --type-prefix fairlead.deploy.endpoint.",
		Args: session.NoArgs,
	}
	fs := cmd.Flags()
	fs.BoolVar(&req.FromStart, "from-start", false, "begin with the oldest event that is kept")
	fs.BoolVar(&req.NoFollow, "no-follow", false, "end after the last event that exists")
	fs.StringVar(&req.Cursor, "cursor", "", "begin after this place, as an earlier run gave it")
	fs.StringVar(&req.TypePrefix, "type-prefix", "", "only types that begin so")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		return follow(ctx, s, req)
	})
	return cmd
}

// follow prints events until they end. A broken stream is opened again after
// the last event that was printed.
func follow(ctx context.Context, s *session.Session, req *eventsv1.WatchEventsRequest) error {
	parent, err := s.Parent()
	if err != nil {
		return err
	}
	req.Parent = parent
	seen := false
	for {
		progressed, err := stream(ctx, s, req)
		seen = seen || progressed
		switch {
		case ctx.Err() != nil:
			if req.GetCursor() != "" {
				s.Notef("go on from here:  fairlead events tail --cursor %s", req.GetCursor())
			}
			if errors.Is(context.Cause(ctx), context.Canceled) {
				return nil // that is how one leaves it
			}
			return context.Cause(ctx)
		case err == nil:
			return nil
		case !seen || req.GetNoFollow() || status.Code(err) != codes.Unavailable:
			return err
		}
		s.Notef("the server is away; waiting for it")
		if err := pause(ctx); err != nil {
			continue
		}
	}
}

func pause(ctx context.Context) error {
	t := time.NewTimer(reconnectPause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// stream prints events and moves the cursor behind each. It says whether there
// was any.
func stream(ctx context.Context, s *session.Session, req *eventsv1.WatchEventsRequest) (progressed bool, err error) {
	c, err := s.Client()
	if err != nil {
		return false, err
	}
	format, err := s.Format()
	if err != nil {
		return false, err
	}
	watch, err := c.Events.WatchEvents(ctx, req)
	if err != nil {
		return false, err
	}
	for {
		r, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			return progressed, nil
		}
		if err != nil {
			return progressed, err
		}
		if err := write(s, format, r.GetEvent()); err != nil {
			return progressed, err
		}
		progressed = true
		req.Cursor = r.GetCursor()
	}
}

func write(s *session.Session, format output.Format, e *eventsv1.CloudEvent) error {
	if format == output.JSON {
		content, err := cloudEventJSON(e)
		if err != nil {
			return err
		}
		_, err = s.Streams.Out.Write(append(content, '\n'))
		return err
	}
	if format == output.Name {
		_, err := fmt.Fprintln(s.Streams.Out, e.GetId())
		return err
	}
	paint := s.Paint(s.Streams.OutTerminal)
	message := e.GetData().GetFields()["message"].GetStringValue()
	_, err := fmt.Fprintf(s.Streams.Out, "%s  %-42s  %-44s  %s\n", paint.Dim(output.Time(e.GetTime())),
		output.Clean(e.GetType()), output.Clean(e.GetSubject()), output.Clean(message))
	return err
}

// cloudEventJSON gives an event in the structured JSON form of CloudEvents 1.0,
// on one line.
func cloudEventJSON(e *eventsv1.CloudEvent) ([]byte, error) {
	data, err := output.MessageJSON(e.GetData())
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", e.GetId(), err)
	}
	return json.Marshal(struct {
		SpecVersion     string          `json:"specversion"`
		ID              string          `json:"id"`
		Source          string          `json:"source"`
		Type            string          `json:"type"`
		Subject         string          `json:"subject,omitempty"`
		Time            string          `json:"time,omitempty"`
		DataContentType string          `json:"datacontenttype,omitempty"`
		Sequence        string          `json:"sequence,omitempty"`
		Workspace       string          `json:"workspace,omitempty"`
		Data            json.RawMessage `json:"data"`
	}{
		e.GetSpecVersion(), e.GetId(), e.GetSource(), e.GetType(), e.GetSubject(), eventTime(e), e.GetDataContentType(),
		e.GetSequence(), e.GetWorkspace(), data,
	})
}

func eventTime(e *eventsv1.CloudEvent) string {
	if e.GetTime() == nil {
		return ""
	}
	return e.GetTime().AsTime().UTC().Format(time.RFC3339Nano)
}
