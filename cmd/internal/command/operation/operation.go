// Package operation has the commands for operations: long work that goes on at
// the server whether or not somebody waits for it.
//
// Every command is built by a function and holds no state of its own.
package operation

import (
	"context"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/longwork"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
)

// Command makes `fairlead operation`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "operation",
		Short: "Watch long work",
	}, list(s), show(s), wait(s), cancel(s))
}

func names(ctx context.Context, c *client.Client, parent string) ([]string, error) {
	ops, err := c.AllOperations(ctx, parent)
	out := make([]string, len(ops))
	for i, op := range ops {
		out[i] = resourcename.Last(op.GetName())
	}
	return out, err
}

func addName(s *session.Session, cmd *cobra.Command) {
	cmd.Flags().StringP("name", "n", "", "the operation")
	s.CompleteFlag(cmd, "name", names)
	cmd.ValidArgsFunction = s.Complete(names)
}

func list(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List operations; finished ones are kept for a week",
		Example: "  fairlead operation list",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		c, err := s.Client()
		if err != nil {
			return err
		}
		parent, err := s.Parent()
		if err != nil {
			return err
		}
		ops, err := c.AllOperations(ctx, parent)
		if err != nil {
			return err
		}
		d := output.Document{List: make([]proto.Message, len(ops)), Names: make([]string, len(ops))}
		rows := make([][]string, len(ops))
		for i, op := range ops {
			m := longwork.Metadata(op)
			d.List[i], d.Names[i] = op, resourcename.Last(op.GetName())
			rows[i] = []string{
				d.Names[i], m.GetVerb(), short(m.GetTarget()), state(op), output.Age(m.GetCreateTime(), s.Now()),
				duration(op, s.Now()),
			}
		}
		d.Text = func(t *output.Text) {
			if len(rows) == 0 {
				t.Linef("no operations")
				return
			}
			t.Table([]string{"NAME", "VERB", "TARGET", "STATE", "AGE", "TOOK"}, rows)
		}
		return s.Print(d)
	})
	return cmd
}

func show(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show an operation with its steps",
		Example: "  fairlead operation show NAME\n  fairlead operation show NAME --exit-status   # 0 succeeded, 1 failed, 8 goes on",
	}
	addName(s, cmd)
	exitStatus := cmd.Flags().Bool("exit-status", false, "exit with 0 when it succeeded, 1 when it failed, 8 when it goes on")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		op, err := get(ctx, s, cmd, args)
		if err != nil {
			return err
		}
		if err := s.Print(document(s, op)); err != nil || !*exitStatus {
			return err
		}
		if !op.GetDone() {
			return failure.New(failure.Pending, "the operation goes on").
				ThenTry("fairlead operation wait " + resourcename.Last(op.GetName()))
		}
		return failed(op)
	})
	return cmd
}

func get(ctx context.Context, s *session.Session, cmd *cobra.Command, args []string) (*longrunningpb.Operation, error) {
	name, c, err := s.Find(cmd, "operations", "operation", args)
	if err != nil {
		return nil, err
	}
	return c.Operations.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: name})
}

func wait(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "wait [NAME]",
		Short:   "Wait for an operation and show its steps",
		Example: "  fairlead operation wait NAME --timeout 5m",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		op, err := get(ctx, s, cmd, args)
		if err != nil {
			return err
		}
		m := longwork.Metadata(op)
		done, err := s.Await(ctx, op, s.Progress("Waiting for the "+m.GetVerb()+" of "+short(m.GetTarget())))
		if err != nil {
			if done.GetError() != nil {
				return failed(done)
			}
			return err
		}
		return s.Print(document(s, done))
	})
	return cmd
}

// failed gives the failure of an operation; nil when it has not failed. It is
// always exit code 1, whatever the kind of the error: asking was possible.
func failed(op *longrunningpb.Operation) error {
	err := session.OperationError(op)
	if err == nil {
		return nil
	}
	f := *failure.From(err, failure.Connection{})
	f.Code = failure.Error
	return &f
}

func document(s *session.Session, op *longrunningpb.Operation) output.Document {
	return output.Document{
		Value: op,
		Names: []string{resourcename.Last(op.GetName())},
		Text: func(t *output.Text) {
			m := longwork.Metadata(op)
			t.Facts(
				output.Fact{Name: "Operation", Value: resourcename.Last(op.GetName())},
				output.Fact{Name: "Verb", Value: m.GetVerb()},
				output.Fact{Name: "Target", Value: short(m.GetTarget())},
				output.Fact{Name: "State", Value: state(op)},
				output.Fact{Name: "Cause", Value: op.GetError().GetMessage()},
				output.Fact{Name: "By", Value: m.GetPrincipal()},
				output.Fact{Name: "Began", Value: output.Time(m.GetCreateTime())},
				output.Fact{Name: "Took", Value: duration(op, s.Now())},
			)
			if len(m.GetSteps()) == 0 {
				return
			}
			t.Blank()
			for _, step := range m.GetSteps() {
				after := step.GetTime().AsTime().Sub(m.GetCreateTime().AsTime())
				t.Linef("  %6s  %s", output.Elapsed(after), output.Clean(step.GetMessage()))
			}
		},
	}
}

// short gives a resource name without its workspace.
func short(name string) string {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 3 {
		return name
	}
	return parts[2]
}

func state(op *longrunningpb.Operation) string {
	switch {
	case !op.GetDone():
		return "Running"
	case op.GetError().GetCode() == int32(codes.Canceled):
		return "Cancelled"
	case op.GetError() != nil:
		return "Failed"
	}
	return "Succeeded"
}

func duration(op *longrunningpb.Operation, now time.Time) string {
	m := longwork.Metadata(op)
	if m.GetCreateTime() == nil {
		return "-"
	}
	end := now
	if m.GetEndTime() != nil {
		end = m.GetEndTime().AsTime()
	}
	return output.Elapsed(end.Sub(m.GetCreateTime().AsTime()))
}
