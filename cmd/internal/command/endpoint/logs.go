package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func logs(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get-logs [NAME]",
		Short: "Show what an endpoint's replicas wrote",
		Example: "  fairlead endpoint get-logs -n diabetes -l 100\n" +
			"  fairlead endpoint get-logs -n diabetes --version versionb --follow\n" +
			"  fairlead endpoint get-logs -n diabetes --init       # what was written before a replica was ready\n" +
			"  fairlead endpoint get-logs -n diabetes --previous   # of the process before the present one",
	}
	addName(s, cmd)
	req := &deployv1.ReadEndpointLogsRequest{}
	fs := cmd.Flags()
	fs.StringVar(&req.Version, "version", "", "only this version")
	fs.StringVar(&req.Replica, "replica", "", "only this replica")
	fs.Int32VarP(&req.TailLines, "lines", "l", 5000, "how many of the last lines")
	fs.BoolVarP(&req.Follow, "follow", "f", false, "go on with new lines")
	fs.BoolVar(&req.Previous, "previous", false, "of the process before the one that runs now")
	fs.BoolVarP(&req.Init, "init", "i", false, "only what was written before a replica was ready")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		if req.GetFollow() && (req.GetPrevious() || req.GetInit()) {
			return session.Usagef(cmd, "--follow goes with neither --previous nor --init, which have an end")
		}
		req.Name = t.name
		stream, err := t.client.Endpoints.ReadEndpointLogs(ctx, req)
		if err != nil {
			return err
		}
		for {
			r, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := writeLines(s, r.GetLines()); err != nil {
				return err
			}
		}
	})
	completeVersions(s, cmd, "version")
	return cmd
}

func writeLines(s *session.Session, lines []*deployv1.EndpointLogLine) error {
	format, err := s.Format()
	if err != nil {
		return err
	}
	paint := s.Paint(s.Streams.OutTerminal)
	for _, l := range lines {
		if format == output.JSON {
			content, err := output.MessageJSON(l)
			if err != nil {
				return err
			}
			if _, err := s.Streams.Out.Write(append(content, '\n')); err != nil {
				return err
			}
			continue
		}
		text := l.GetText()
		if s.Streams.OutTerminal {
			text = output.Clean(text)
		}
		lead := paint.Dim(output.Time(l.GetTime()) + " " + l.GetVersion() + "/" + l.GetReplica())
		if _, err := fmt.Fprintf(s.Streams.Out, "%s %s\n", lead, text); err != nil {
			return err
		}
	}
	return nil
}
