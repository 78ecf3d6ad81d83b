package endpoint

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// oneVersion gives the version that --vn names, or the only one.
func oneVersion(ctx context.Context, cmd *cobra.Command, at target, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	e, err := read(ctx, at)
	if err != nil {
		return "", err
	}
	if len(e.GetVersions()) != 1 {
		return "", session.Usagef(cmd, "missing --vn: endpoint %s has the versions %s", at.id, strings.Join(ids(e), ", "))
	}
	return ids(e)[0], nil
}

func revisions(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revisions [NAME]",
		Short:   "List what a version has run, with the differences",
		Example: "  fairlead endpoint revisions -n diabetes\n  fairlead endpoint revisions -n diabetes --vn versionb -o json",
	}
	addName(s, cmd)
	version := cmd.Flags().String("vn", "", "name of the version (--version-name); default the only one")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		at, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		id, err := oneVersion(ctx, cmd, at, *version)
		if err != nil {
			return err
		}
		r, err := at.client.Endpoints.ListEndpointVersionRevisions(ctx, &deployv1.ListEndpointVersionRevisionsRequest{Parent: at.version(id)})
		if err != nil {
			return err
		}
		return s.Print(revisionsDocument(s, r.GetRevisions()))
	})
	completeVersions(s, cmd, "vn")
	return cmd
}

func revisionsDocument(s *session.Session, all []*deployv1.EndpointVersionRevision) output.Document {
	d := output.Document{List: make([]proto.Message, len(all)), Names: make([]string, len(all))}
	for i, r := range all {
		d.List[i], d.Names[i] = r, strconv.FormatInt(r.GetRevision(), 10)
	}
	d.Text = func(t *output.Text) {
		if len(all) == 0 {
			t.Linef("no revisions are kept of it yet")
			return
		}
		rows := make([][]string, len(all))
		for i, r := range all {
			rows[i] = []string{d.Names[i], revisionState(r), output.Age(r.GetCreateTime(), s.Now()), r.GetCreatedBy(), count(r)}
		}
		t.Table([]string{"REVISION", "STATE", "AGE", "BY", "CHANGES"}, rows)
		for _, r := range all {
			details(t, r)
		}
	}
	return d
}

func revisionState(r *deployv1.EndpointVersionRevision) string {
	switch {
	case r.GetServing():
		return "Serving"
	case r.GetCancelled():
		return "Cancelled"
	case r.GetFailure() != "":
		return "Failed"
	}
	return "-"
}

// count says how many fields a revision changed.
func count(r *deployv1.EndpointVersionRevision) string {
	if n := len(r.GetDifferences()); n > 0 {
		return strconv.Itoa(n)
	}
	return "-"
}

// details shows what a revision changed, and why it could not start.
func details(t *output.Text, r *deployv1.EndpointVersionRevision) {
	cause, _, _ := strings.Cut(r.GetFailure(), "\n")
	if cause == "" && len(r.GetDifferences()) == 0 {
		return
	}
	t.Blank()
	t.Linef("revision %d", r.GetRevision())
	for _, d := range r.GetDifferences() {
		t.Linef("  %s: %s → %s", output.Clean(d.GetField()), readable(d.GetBefore()), readable(d.GetAfter()))
	}
	if cause != "" {
		t.Linef("  failed: %s", output.Clean(cause))
	}
}

// readable writes a JSON value for people: models and environments by their short
// names, digests by their beginning.
func readable(value string) string {
	if value == "" {
		return "unset"
	}
	var text string
	var list []string
	switch {
	case json.Unmarshal([]byte(value), &text) == nil:
		return output.Clean(shortName(text))
	case json.Unmarshal([]byte(value), &list) == nil:
		for i := range list {
			list[i] = shortName(list[i])
		}
		return output.Clean(strings.Join(list, " "))
	}
	return output.Clean(value)
}

func shortName(value string) string {
	const digest, shown = 64, 12
	if _, err := hex.DecodeString(value); err == nil && len(value) == digest {
		return value[:shown]
	}
	if parts := strings.Split(value, "/"); len(parts) == 6 && parts[0] == "workspaces" && parts[4] == "versions" {
		return parts[3] + ":" + parts[5]
	}
	return value
}

func rollback(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback [NAME]",
		Short: "Let a version run again what it ran in an earlier revision",
		Long: "Makes a new revision of what an earlier one ran: by default of the last one before the newest that has served.\n" +
			"New replicas answer before the old ones go. Traffic, role and labels stay.",
		Example: "  fairlead endpoint rollback -n diabetes\n  fairlead endpoint rollback -n diabetes --vn versionb --revision 3",
	}
	addName(s, cmd)
	fs := cmd.Flags()
	version := fs.String("vn", "", "name of the version (--version-name); default the only one")
	revision := fs.Int64("revision", 0, "the revision to go back to; default the last one before the newest that has served")
	noWait := fs.Bool("no-wait", false, "print the operation and do not wait for it")
	wait := addWait(fs)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		if fs.Changed("revision") && *revision < 1 {
			return session.Usagef(cmd, "--revision must be greater than 0; leave it out for the last one before the newest that has served")
		}
		at, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		id, err := oneVersion(ctx, cmd, at, *version)
		if err != nil {
			return err
		}
		op, err := s.InTurn(ctx, *wait, func(ctx context.Context) (*longrunningpb.Operation, error) {
			return at.client.Endpoints.RollbackEndpointVersion(ctx, &deployv1.RollbackEndpointVersionRequest{
				Name: at.version(id), Revision: *revision, RequestId: client.NewRequestID(),
			})
		})
		if apierr.FromStatus(err) != nil && apierr.FromStatus(err).Reason == "REVISION_NOT_FOUND" {
			f := *failure.From(err, s.Connection())
			f.Next = []string{"see what there is:  fairlead endpoint revisions -n " + at.id + " --vn " + id}
			return &f
		}
		if err != nil {
			return err
		}
		done, err := s.Finish(ctx, op, "Rolling back "+at.id+", version "+id, *noWait)
		if err != nil {
			return Explain(ctx, s, at.id, id, false, done, err)
		}
		if done == nil {
			return nil
		}
		e, err := read(ctx, at)
		if err != nil {
			return err
		}
		return s.Print(document(e))
	})
	completeVersions(s, cmd, "vn")
	return cmd
}
