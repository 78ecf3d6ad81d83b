package deployment_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/fairlead/fairlead/cmd/internal/deployment"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func TestRuntimeByFlags(t *testing.T) {
	scripted := func() *deployv1.EndpointVersion {
		return &deployv1.EndpointVersion{
			EntryScript: "score.py", SourceFiles: []*deployv1.ArtefactFile{{Path: "score.py"}},
			Runtime: &deployv1.Runtime{Kind: deployv1.Runtime_KIND_SCRIPT, Script: &deployv1.ScriptRuntime{Workers: 2}},
		}
	}
	onnx := &deployv1.Runtime{Kind: deployv1.Runtime_KIND_ONNX}
	tests := map[string]struct {
		args    []string
		base    *deployv1.EndpointVersion
		needs   bool
		want    *deployv1.EndpointVersion // its script, files and runtime
		problem string
	}{
		"a model alone":             {want: &deployv1.EndpointVersion{}},
		"a model with its runtime":  {args: []string{"--runtime", "onnx"}, want: &deployv1.EndpointVersion{Runtime: onnx}},
		"in any spelling":           {args: []string{"--runtime", "scikit-learn"}, want: &deployv1.EndpointVersion{Runtime: &deployv1.Runtime{Kind: deployv1.Runtime_KIND_SCIKIT_LEARN}}},
		"one that is not known":     {args: []string{"--runtime", "wasm"}, want: &deployv1.EndpointVersion{}, problem: "--runtime"},
		"a script is needed":        {needs: true, want: &deployv1.EndpointVersion{}, problem: "--ic"},
		"a folder without a script": {args: []string{"--sd", "."}, want: &deployv1.EndpointVersion{}, problem: "--ic"},
		"another one":               {args: []string{"--runtime", "onnx"}, base: scripted(), want: &deployv1.EndpointVersion{Runtime: onnx}},
		"the same one":              {args: []string{"--runtime", "script"}, base: scripted(), want: scripted()},
		"nothing of it":             {args: []string{"--cc", "1"}, base: scripted(), want: scripted()},
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
			maker := deployment.Maker{Endpoints: converter{}, Parent: "workspaces/default", Base: test.base, NeedsScript: test.needs}
			if test.base != nil {
				maker.Scope = deployment.VersionChange
			}
			d, err := maker.Make(t.Context(), flags)
			if err != nil {
				t.Fatal(err)
			}
			got := &deployv1.EndpointVersion{EntryScript: d.Version.GetEntryScript(), SourceFiles: d.Version.GetSourceFiles(), Runtime: d.Version.GetRuntime()}
			if diff := cmp.Diff(test.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			problem := ""
			for _, v := range d.Problems() {
				problem += v.Field
			}
			if problem != test.problem {
				t.Errorf("problems with %q, want %q", problem, test.problem)
			}
		})
	}
}
