// Package doctor looks at this machine and at the server and says what is in the
// way of Fairlead, with a remedy for each.
//
// It changes nothing but a probe file, which it removes.
package doctor

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
)

// The results of a check.
const (
	ok   = "ok"
	warn = "warning"
	fail = "failed"
)

// finding is what a check found.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// Command makes `fairlead doctor`.
func Command(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Find out what is in the way",
		Long:    "Checks the server, the token, the data folder, Python, ports, resource limits and GPUs.\nExit code 1 when something is in the way.",
		Example: "  fairlead doctor",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		found, err := examine(ctx, s)
		if err != nil {
			return err
		}
		if err := s.Print(document(found)); err != nil {
			return err
		}
		bad := 0
		for _, f := range found {
			if f.Result == fail {
				bad++
			}
		}
		if bad > 0 {
			return failure.New(failure.Error, "%d of %d checks failed", bad, len(found))
		}
		return nil
	})
	return cmd
}

func examine(ctx context.Context, s *session.Session) ([]finding, error) {
	set, err := s.Settings()
	if err != nil {
		return nil, err
	}
	found, reachable := server(ctx, s, set)
	found = append(found, dataDir(set), diskSpace(set))
	if !reachable {
		found = append(found, ports(ctx)...)
	}
	if s.ChoosePython != nil {
		found = append(found, python(ctx, s.ChoosePython))
	}
	return append(found, limits(), gpus()), ctx.Err()
}

func document(found []finding) output.Document {
	return output.Document{Value: found, Text: func(t *output.Text) {
		for _, f := range found {
			mark := t.Paint.Green("✓")
			switch f.Result {
			case warn:
				mark = t.Paint.Yellow("!")
			case fail:
				mark = t.Paint.Red("✗")
			}
			t.Linef("%s %s: %s", mark, f.Check, output.Clean(f.Detail))
			if f.Remedy != "" {
				t.Linef("    %s", f.Remedy)
			}
		}
	}}
}
