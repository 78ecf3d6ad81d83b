package imagerecipe_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/cmd/internal/imagerecipe"
	"github.com/fairlead/fairlead/platform/apierr"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestRecipes(t *testing.T) {
	one := []imagerecipe.Model{{Name: "diabetes", Version: 1}}
	tests := map[string]struct {
		environment imagerecipe.Environment
		app         imagerecipe.App
		notices     []string
	}{
		"nothing asked": {app: imagerecipe.App{EntryScript: "score.py"}},
		"pip only": {
			environment: imagerecipe.Environment{
				ID: "sklearn:2", Conda: []string{"python=3.11", "pip"},
				Pip:       []string{"scikit-learn==1.5.*", "azureml-defaults>=1.0.45", "--extra-index-url https://example.com/simple"},
				Variables: map[string]string{"COST": `5 $ and "more" \ less`, "A": ""},
			},
			app:     imagerecipe.App{EntryScript: "src/score.py", Models: one},
			notices: []string{"azureml-defaults: not installed, the scorer itself stands in for it"},
		},
		"conda, with the program of an image": {
			environment: imagerecipe.Environment{
				CondaChannels: []string{"conda-forge", "anaconda"}, Conda: []string{"numpy=1.24", "python>=3.6.2,<3.7"}, Pip: []string{"prometheus-client"},
			},
			app: imagerecipe.App{EntryScript: "score.py", Models: append(one, imagerecipe.Model{Name: "other", Version: 12}), FairleadImage: "example.com/fairlead:1"},
		},
		"base image, with a Python that it may not have": {
			environment: imagerecipe.Environment{BaseImage: "team/gpu:1.2", Registry: "registry.example.com", Conda: []string{"python=3.8"}, InterpreterPath: "/opt/python"},
			app:         imagerecipe.App{EntryScript: "score.py", Models: one},
			notices:     []string{"python.interpreter_path has no effect, because conda brings the interpreter"},
		},
		"base Dockerfile": {
			environment: imagerecipe.Environment{
				BaseDockerfile: "# syntax=docker/dockerfile:1\nARG TAG=12\r\nFROM debian:${TAG} AS build\nRUN true\n\nFROM build\nRUN apt-get update\n\n",
				Conda:          []string{"numpy"},
			},
			app: imagerecipe.App{EntryScript: "score.py", FairleadImage: "fairlead:1"},
		},
		"user-managed": {
			environment: imagerecipe.Environment{
				BaseImage: "registry.example.com/team/full:3", Registry: "registry.example.com", UserManaged: true,
				InterpreterPath: "/opt/conda/bin/python", Pip: []string{"numpy"},
			},
			app:     imagerecipe.App{EntryScript: "score.py", Models: one},
			notices: []string{"packages are listed and not installed, because the environment is user-managed: the image has what its base image has"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := imagerecipe.Make(test.environment, test.app)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.notices, r.Notices); diff != "" {
				t.Error(diff)
			}
			var text strings.Builder
			for _, file := range slices.Sorted(maps.Keys(r.Files)) {
				text.WriteString("-- " + file + " --\n" + r.Files[file])
			}
			golden(t, text.String())
		})
	}
}

func golden(t *testing.T, got string) {
	t.Helper()
	name := filepath.Join("testdata", strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' || r == '/' {
			return '-'
		}
		return r
	}, strings.TrimPrefix(t.Name(), "TestRecipes/"))+".txt")
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	_, err := imagerecipe.Make(imagerecipe.Environment{
		Variables: map[string]string{"B": "1\n2", "A": "x\ry"}, BaseImage: "x", BaseDockerfile: "# escape=`\nRUN true",
		Pip: []string{"numpy==="}, Conda: []string{"::"},
	}, imagerecipe.App{EntryScript: "score.py"})
	e := apierr.FromStatus(apierr.ToStatus(err).Err())
	var fields []string
	for _, v := range e.Violations {
		fields = append(fields, v.Field)
	}
	want := []string{
		"environment_variables", "environment_variables", "docker", "docker.base_dockerfile", "docker.base_dockerfile",
		"python.pip_requirements[0]", "python.conda_dependencies[0]",
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
}

// A value comes back from the ENV line as it was.
func TestVariablesSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[ -~äß$"\\]*`).Draw(t, "value")
		r, err := imagerecipe.Make(imagerecipe.Environment{Variables: map[string]string{"X": value}}, imagerecipe.App{EntryScript: "score.py"})
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(r.Files[imagerecipe.Dockerfile], "ENV X=\"")
		line, _, _ := strings.Cut(after, "\n")
		var got strings.Builder
		for i := 0; i < len(line)-1; i++ {
			if line[i] == '\\' {
				i++
			} else if line[i] == '"' || line[i] == '$' {
				t.Fatalf("%s is expanded or ended early", line)
			}
			got.WriteByte(line[i])
		}
		if got.String() != value || line[len(line)-1] != '"' {
			t.Fatalf("%q became %q", value, line)
		}
	})
}
