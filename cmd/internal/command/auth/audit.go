package auth

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

func audit(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what: changes, secrets given out, and what was refused",
		Example: "  fairlead auth audit --since 1h\n  fairlead auth audit --principal user:ann@example.com -o json\n" +
			"  fairlead auth audit --all-workspaces --denied",
		Args: session.NoArgs,
	}
	req := &authv1.ListAuditEntriesRequest{}
	fs := cmd.Flags()
	since := fs.Duration("since", 24*time.Hour, "how far to look back")
	fs.StringVar(&req.Principal, "principal", "", "only what this principal did")
	fs.StringVar(&req.Method, "method", "", "only methods that end so, for example DeleteEndpoint")
	fs.StringVar(&req.Resource, "resource", "", "only this resource and what is below it")
	fs.BoolVar(&req.DeniedOnly, "denied", false, "only what was refused")
	all := fs.Bool("all-workspaces", false, "in all workspaces and outside them; for the administrator")
	limit := fs.Int("limit", 100, "at most so many, the newest")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		parent, err := s.Parent()
		if err != nil {
			return err
		}
		req.Parent = parent
		if *all {
			req.Parent = "workspaces/-"
		}
		req.StartTime = timestamppb.New(s.Now().Add(-*since))
		c, err := s.Client()
		if err != nil {
			return err
		}
		entries, err := c.AuditEntries(ctx, req, *limit)
		if err != nil {
			return err
		}
		return s.Print(auditDocument(entries))
	})
	return cmd
}

func auditDocument(entries []*authv1.AuditEntry) output.Document {
	d := output.Document{List: []proto.Message{}}
	var rows [][]string
	for _, e := range entries {
		outcome := e.GetCode()
		if e.GetDenied() {
			outcome += " (refused)"
		}
		if e.GetCount() > 1 {
			outcome += " ×" + strconv.FormatInt(e.GetCount(), 10)
		}
		d.List, d.Names = append(d.List, e), append(d.Names, e.GetId())
		rows = append(rows, []string{
			output.Time(e.GetTime()), output.OrDash(e.GetPrincipal()), resourcename.Last(e.GetMethod()), output.OrDash(e.GetResource()),
			outcome, output.OrDash(e.GetClientAddress()), output.OrDash(e.GetDetails()),
		})
	}
	d.Text = func(t *output.Text) {
		t.Table([]string{"TIME", "PRINCIPAL", "METHOD", "RESOURCE", "OUTCOME", "FROM", "DETAILS"}, rows)
	}
	return d
}
