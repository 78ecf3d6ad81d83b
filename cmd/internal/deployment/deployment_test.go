package deployment_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// converter answers with what it holds.
type converter struct {
	answer *deployv1.ConvertConfigResponse
}

func (c converter) ConvertConfig(context.Context, *deployv1.ConvertConfigRequest, ...grpc.CallOption) (*deployv1.ConvertConfigResponse, error) {
	return c.answer, nil
}

// tree writes files and makes their folder the current one.
func tree(t *testing.T, files ...string) {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(root)
}

func TestTheScriptIsFound(t *testing.T) {
	tests := map[string]struct {
		files          []string
		config         string
		script, folder string // in the inference configuration
		flags          []string
		wantScript     string
		wantFiles      []string
	}{
		"beside the configuration": {
			files: []string{"conf/ic.json", "conf/score.py", "conf/other.py"}, config: "conf/ic.json", script: "score.py",
			wantScript: "score.py", wantFiles: []string{"score.py"},
		},
		"from the current folder": {
			files: []string{"conf/ic.json", "src/score.py"}, config: "conf/ic.json", script: "src/score.py",
			wantScript: "src/score.py", wantFiles: []string{"src/score.py"},
		},
		"in the source directory, with all its files": {
			files: []string{"ic.json", "src/score.py", "src/lib/a.py", "src/.git/x"}, config: "ic.json", script: "score.py", folder: "src",
			wantScript: "score.py", wantFiles: []string{"lib/a.py", "score.py"},
		},
		"in the source directory from the current folder": {
			files: []string{"conf/ic.json", "score.py"}, config: "conf/ic.json", script: "score.py", folder: ".",
			wantScript: "score.py", wantFiles: []string{"conf/ic.json", "score.py"},
		},
		"by flags instead of the file": {
			files: []string{"ic.json", "src/score.py", "mine/new.py"}, config: "ic.json", script: "score.py", folder: "src",
			flags: []string{"--es", "new.py", "--sd", "mine"}, wantScript: "new.py", wantFiles: []string{"new.py"},
		},
		"above the current folder, under its base name": {
			files: []string{"up/x", "score.py"}, flags: []string{"--es", "up/../../x/../up/../score.py"}, wantScript: "",
		},
		"not there": {
			files: []string{"ic.json"}, config: "ic.json", script: "score.py", wantScript: "",
		},
		"outside the source directory": {
			files: []string{"score.py", "src/a.py"}, flags: []string{"--es", "../score.py", "--sd", "src"}, wantScript: "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree(t, test.files...)
			flags := &deployment.Flags{}
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			flags.BindVersion(fs)
			args := test.flags
			if test.config != "" {
				args = append(args, "--ic", test.config)
			}
			if err := fs.Parse(args); err != nil {
				t.Fatal(err)
			}
			d, err := deployment.Maker{
				Endpoints: converter{answer: &deployv1.ConvertConfigResponse{
					Version: &deployv1.EndpointVersion{EntryScript: test.script}, SourceDirectory: test.folder,
				}},
				Parent: "workspaces/default",
			}.Make(t.Context(), flags)
			if err != nil {
				t.Fatal(err)
			}
			if d.HasProblems() != (test.wantScript == "") {
				t.Errorf("problems: %v", d.HasProblems())
			}
			if diff := cmp.Diff(test.wantScript, d.Version.GetEntryScript()); diff != "" {
				t.Error(diff)
			}
			var files []string
			for _, f := range d.Version.GetSourceFiles() {
				files = append(files, f.GetPath())
			}
			if diff := cmp.Diff(test.wantFiles, files); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckTellsEverythingAtOnce(t *testing.T) {
	content := apierr.Violation{Field: "version.source_files[0].sha256", Description: "has not been uploaded"}
	script := apierr.Violation{Field: "version.entry_script", Description: "must be given"}
	cpu := apierr.Violation{Field: "version.resources.cpu", Description: "must be greater than 0"}
	tests := map[string]struct {
		args   []string
		server error
		want   []string // fields
	}{
		"nothing":                          {args: []string{"--es", "score.py"}},
		"contents come later":              {args: []string{"--es", "score.py"}, server: apierr.Invalid(content)},
		"by the flag, without the content": {args: []string{"--es", "score.py", "--cc", "0"}, server: apierr.Invalid(content, cpu), want: []string{"--cc"}},
		"what follows is not told":         {args: []string{"--es", "nothere.py"}, server: apierr.Invalid(script, cpu), want: []string{"entryScript", "version.resources.cpu"}},
		"a conflict besides":               {args: []string{"--es", "nothere.py"}, server: apierr.New(apierr.AlreadyExists, "X", "it exists"), want: []string{"entryScript", ""}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree(t, "score.py")
			flags := &deployment.Flags{}
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			flags.BindVersion(fs)
			if err := fs.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			d, err := deployment.Maker{Endpoints: converter{}, Parent: "workspaces/default"}.Make(t.Context(), flags)
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Check(t.Context(), "endpoint e", func(context.Context) (*longrunningpb.Operation, error) {
				if test.server != nil {
					return nil, apierr.ToStatus(test.server).Err()
				}
				return &longrunningpb.Operation{Done: true}, nil
			})
			var fields []string
			if f, ok := errors.AsType[*failure.Failure](err); ok {
				for _, v := range f.Violations {
					fields = append(fields, v.Field)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, fields); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestChangedFields(t *testing.T) {
	before := &deployv1.EndpointVersion{
		Name: "v", TrafficPercentile: 10, Resources: &deployv1.ReplicaResources{Cpu: 1, MemoryGb: 2},
		Tags: map[string]string{"a": "b"}, State: deployv1.State_STATE_HEALTHY, IsDefault: true,
	}
	tests := map[string]struct {
		change func(*deployv1.EndpointVersion)
		want   []string
		etag   bool
	}{
		"nothing": {func(*deployv1.EndpointVersion) {}, nil, false},
		"traffic and role": {func(v *deployv1.EndpointVersion) {
			v.TrafficPercentile, v.Type = 40, deployv1.EndpointVersion_TYPE_CONTROL
		}, []string{"traffic_percentile", "type"}, false},
		"a field to zero":    {func(v *deployv1.EndpointVersion) { v.TrafficPercentile, v.IsDefault = 0, false }, []string{"traffic_percentile", "is_default"}, false},
		"a part of a part":   {func(v *deployv1.EndpointVersion) { v.Resources.Cpu = 2 }, []string{"resources"}, true},
		"the last tag":       {func(v *deployv1.EndpointVersion) { v.Tags = nil }, []string{"tags"}, true},
		"the state does not": {func(v *deployv1.EndpointVersion) { v.State = deployv1.State_STATE_FAILED }, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			after := &deployv1.EndpointVersion{
				Name: "v", TrafficPercentile: 10, Resources: &deployv1.ReplicaResources{Cpu: 1, MemoryGb: 2},
				Tags: map[string]string{"a": "b"}, State: deployv1.State_STATE_HEALTHY, IsDefault: true,
			}
			test.change(after)
			got := deployment.ChangedFields(before, after)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if deployment.NeedsEtag(got) != test.etag {
				t.Error("etag")
			}
		})
	}
}
