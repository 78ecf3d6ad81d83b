package operation

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
)

func cancel(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel [NAME]",
		Short: "End an operation on an endpoint",
		Long: "Ends an operation that has not ended. A version that is being changed goes back to what it ran, one that is\n" +
			"being added goes away again. Deletions cannot be cancelled.",
		Example: "  fairlead operation cancel NAME",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		op, err := get(ctx, s, cmd, args)
		if err != nil {
			return err
		}
		if op.GetDone() {
			s.Notef("operation %s has ended already", resourcename.Last(op.GetName()))
			return s.Print(document(s, op))
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		if _, err := c.Operations.CancelOperation(ctx, &longrunningpb.CancelOperationRequest{Name: op.GetName()}); err != nil {
			return err
		}
		if op, err = c.Operations.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: op.GetName()}); err != nil {
			return err
		}
		return s.Print(document(s, op))
	})
	return cmd
}
