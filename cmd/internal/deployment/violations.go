package deployment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/platform/apierr"
)

// Check asks the server to check the request and gives its answer: nil when the
// server first wants the contents of the source files. When something is wrong,
// the error is a failure with all of it: what was found here and what the server
// adds. validate is a call with validate_only.
func (d *Draft) Check(ctx context.Context, what string,
	validate func(context.Context) (*longrunningpb.Operation, error),
) (*longrunningpb.Operation, error) {
	op, err := validate(ctx)
	if err == nil {
		err = status.ErrorProto(op.GetError())
	}
	violations := d.violations(err)
	if len(violations) == 0 {
		if awaitsContent(err) {
			return nil, nil
		}
		return op, err
	}
	if e := apierr.FromStatus(err); e != nil && len(e.Violations) == 0 {
		switch e.Kind {
		case apierr.NotFound, apierr.AlreadyExists, apierr.FailedPrecondition, apierr.Conflict, apierr.InvalidArgument:
			violations = append(violations, apierr.Violation{Description: e.Message})
		default: // the server could not check: what was found here is not all
			return nil, err
		}
	}
	f := failure.New(failure.Error, "%s", title(what, len(violations)))
	f.Violations, f.Err = violations, err
	if call, ok := errors.AsType[*client.CallError](err); ok {
		f.RequestID = call.RequestID
	}
	return nil, f
}

// violations gives all that is wrong, once each and in the user's words.
func (d *Draft) violations(fromServer error) []apierr.Violation {
	var all []apierr.Violation
	for _, p := range d.problems {
		if !slices.Contains(all, p.Violation) { // two flags may have it
			all = append(all, p.Violation)
		}
	}
	if fromServer == nil {
		return all
	}
	for _, v := range apierr.FromStatus(fromServer).Violations {
		if d.covered(v.Field) || isContent(v) {
			continue
		}
		if v.Field == "version.entry_script" && d.Version.GetEntryScript() == "" && d.scope != VersionChange {
			v = apierr.Violation{Field: "--ic", Description: askForScript + otherWays(v.Description)}
		}
		v.Field = d.userWord(v.Field)
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// otherWays gives what the server says after its first sentence.
func otherWays(description string) string {
	if _, more, ok := strings.Cut(description, ". "); ok {
		return ". " + more
	}
	return ""
}

// isContent says whether a violation is only that the content of a source file
// is not at the server yet: their digests are made here, so nothing else can be
// wrong with them.
func isContent(v apierr.Violation) bool {
	return within(v.Field, "version.source_files") && strings.HasSuffix(v.Field, ".sha256")
}

func awaitsContent(err error) bool {
	e := apierr.FromStatus(err)
	return e != nil && len(e.Violations) > 0
}

// covered says whether a field of the request is wrong only because of a
// problem that is reported already.
func (d *Draft) covered(field string) bool {
	return slices.ContainsFunc(d.problems, func(p problem) bool {
		return slices.ContainsFunc(p.covers, func(path string) bool { return within(field, path) })
	})
}

// userWord names a field of the request as the user wrote it: the flag, or the
// key in the configuration file.
func (d *Draft) userWord(field string) string {
	switch {
	case field == "endpoint_id" || field == "name" || field == "parent":
		return "-n"
	case within(field, "version.models"):
		if i, err := strconv.Atoi(strings.Trim(strings.TrimPrefix(field, "version.models"), "[]")); err == nil && i >= 0 && i < len(d.Version.GetModels()) {
			return "-m " + d.Version.GetModels()[i]
		}
		return "-m"
	}
	if d.scope == NewEndpoint && field == "endpoint.description" {
		field = "version.description"
	}
	for _, s := range nearest(field) {
		switch {
		case d.flags.Changed(s.flag):
			return "--" + s.flag
		case s.key != "" && (d.flags.DeploymentConfig != "" || d.flags.InferenceConfig != ""):
			return s.key
		}
	}
	return field
}

// nearest gives the settings of a field, those that say the most about it first.
func nearest(field string) []setting {
	all := slices.DeleteFunc(settings(), func(s setting) bool { return !within(field, s.path) })
	slices.SortStableFunc(all, func(a, b setting) int { return len(b.path) - len(a.path) })
	return all
}

func within(field, path string) bool {
	rest, ok := strings.CutPrefix(field, path)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func title(what string, n int) string {
	if n == 1 {
		return what + " is not valid; nothing was changed"
	}
	return fmt.Sprintf("%s is not valid in %d points; nothing was changed", what, n)
}

// HasProblems says whether something is wrong that the server has not been asked about.
func (d *Draft) HasProblems() bool { return len(d.problems) > 0 }

// Problems gives what is wrong that the server has not been asked about.
func (d *Draft) Problems() []apierr.Violation { return d.violations(nil) }
