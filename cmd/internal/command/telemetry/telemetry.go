// Package telemetry has the commands that tell how endpoints are doing.
//
// Every command is built by a function and holds no state of its own.
package telemetry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/command/endpoint"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Command makes `fairlead telemetry`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "telemetry",
		Short: "See how endpoints and their versions are doing",
	}, summary(s), series(s), requests(s), tail(s))
}

// target is an endpoint that a command is about.
type target struct {
	name   string
	client *client.Client
}

func addName(s *session.Session, cmd *cobra.Command) {
	cmd.Flags().StringP("name", "n", "", "the endpoint")
	s.CompleteFlag(cmd, "name", endpoint.Names)
	cmd.ValidArgsFunction = s.Complete(endpoint.Names)
}

// find reads -n, or the argument.
func find(s *session.Session, cmd *cobra.Command, args []string) (target, error) {
	name, c, err := s.Find(cmd, "endpoints", "endpoint", args)
	return target{name: name, client: c}, err
}

// span is the time that --since and --until ask for.
type span struct{ since, until string }

func (sp *span) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&sp.since, "since", "1h", "from when on: a time such as 2026-11-23T12:00:00Z, or how long ago, such as 30m or 24h")
	cmd.Flags().StringVar(&sp.until, "until", "", "until when, like --since; now when missing")
}

// read gives the times, nil for now.
func (sp *span) read(cmd *cobra.Command, now time.Time) (start, end *timestamppb.Timestamp, err error) {
	from, err := moment(cmd, "since", sp.since, now)
	if err != nil {
		return nil, nil, err
	}
	if sp.until != "" {
		to, err := moment(cmd, "until", sp.until, now)
		if err != nil {
			return nil, nil, err
		}
		end = timestamppb.New(to)
	}
	return timestamppb.New(from), end, nil
}

func moment(cmd *cobra.Command, flag, text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	return time.Time{}, session.Usagef(cmd, "--%s %q: must be how long ago, such as 30m or 24h, or a time such as 2026-11-23T12:00:00Z", flag, text)
}

// standing is what the endpoint says of its versions now.
type standing struct {
	control, standard string
	others            []string
}

// missed is the error for an endpoint of which nothing was counted and that does
// not exist; nil for one that has only been quiet, or cannot be asked for.
func (t target) missed(ctx context.Context) error {
	_, err := t.client.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: t.name})
	if status.Code(err) == codes.NotFound {
		return err
	}
	return nil
}

// standingOf asks for the endpoint. One that is gone has none.
func standingOf(ctx context.Context, t target) standing {
	e, err := t.client.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: t.name})
	if err != nil {
		return standing{}
	}
	st := standing{}
	for _, v := range e.GetVersions() {
		id := resourcename.Last(v.GetName())
		if v.GetIsDefault() {
			st.standard = id
		}
		if v.GetType() == deployv1.EndpointVersion_TYPE_CONTROL {
			st.control = id
		}
		st.others = append(st.others, id)
	}
	return st
}

// baseline is the version that others are compared with: the control, else the default.
func (st standing) baseline() string {
	if st.control != "" {
		return st.control
	}
	return st.standard
}

// role says what a version is, in words.
func (st standing) role(version string) string {
	var words []string
	if version != "" && version == st.standard {
		words = append(words, "default")
	}
	switch {
	case version != "" && version == st.control:
		words = append(words, "control")
	case slices.Contains(st.others, version):
		words = append(words, "treatment")
	}
	return output.OrDash(strings.Join(words, ", "))
}
