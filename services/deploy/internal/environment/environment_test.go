package environment_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/environment"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func register(t *testing.T, r environment.Registration) environment.Version {
	t.Helper()
	r.Workspace = "default"
	if r.Name == "" {
		r.Name = "sk"
	}
	_, v, fact, err := environment.Environment{}.Register(r, nil, now)
	if err != nil || fact == nil {
		t.Fatalf("%v, %v", fact, err)
	}
	return v
}

const condaFile = `name: project
channels:
  - conda-forge
  - defaults
dependencies:
  - python=3.10
  - numpy>=1.2,<2
  - pip
  - pip:
      - azureml-defaults
      - scikit-learn==1.2.*
      - --extra-index-url https://host/simple
variables:
  FROM_FILE: "1"
  BOTH: file
prefix: /opt/x
`

func TestCondaFile(t *testing.T) {
	v := register(t, environment.Registration{
		CondaFile: condaFile, RequirementsFile: "pandas  # tables\nscikit-learn==1.2.*\n",
		Content: environment.Content{
			Variables: map[string]string{"BOTH": "own"},
			Python:    environment.Python{PipRequirements: []string{"joblib"}},
		},
	})
	want := environment.Content{
		Variables: map[string]string{"FROM_FILE": "1", "BOTH": "own"},
		Python: environment.Python{
			CondaChannels: []string{"conda-forge", "defaults"}, CondaDependencies: []string{"python=3.10", "numpy>=1.2,<2", "pip"},
			PipRequirements: []string{"joblib", "azureml-defaults", "scikit-learn==1.2.*", "--extra-index-url https://host/simple", "pandas"},
		},
	}
	if diff := cmp.Diff(want, v.Content); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if v.PythonVersion() != "3.10" || len(v.Notices) != 1 || !strings.HasPrefix(v.Notices[0], "azureml-defaults: the scorer itself") {
		t.Errorf("Python %s, notices %q", v.PythonVersion(), v.Notices)
	}
}

func violations(err error) []string {
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		return nil
	}
	var out []string
	for _, v := range e.Violations {
		out = append(out, strings.TrimPrefix(v.Field, "environment_version.")+": "+v.Description)
	}
	return out
}

func TestEverythingWrongIsTold(t *testing.T) {
	_, _, _, err := environment.Environment{}.Register(environment.Registration{
		Workspace: "default", Name: "AzureML-sklearn", HasPassword: true,
		CondaFile:        "channels: x\ndependencies:\n  - numpy==x.y\n  - pip:\n    - scikit-learn=1\n    - -r other.txt\n    - p @ https://u:hidden@h/x\n  - npm: [a]\n  - [b]\nextra: 1\n",
		RequirementsFile: "ok\nnot valid!\n",
		Content: environment.Content{
			Variables: map[string]string{"A B": "x"},
			Python:    environment.Python{PipRequirements: []string{"ok", "=1"}, CondaDependencies: []string{"x[a=1]"}, InterpreterPath: "bin/python"},
			Docker:    environment.Docker{BaseImage: "a b", BaseDockerfile: "RUN x"},
		},
	}, nil, now)
	got := violations(err)
	for i, want := range []string{
		"environment_id: is reserved", "python.conda_dependencies[0]: ", "python.pip_requirements[1]: ",
		"python.conda_file: line 1: channels must be a list", `python.conda_file: line 3: "numpy==x.y"`, `python.conda_file: line 5: "scikit-learn=1"`,
		"python.conda_file: line 6: ", `python.conda_file: line 7: "p @ https://u:…@h/x": holds a password`, `python.conda_file: line 8: "npm"`, "python.conda_file: line 9: must be a text",
		`python.requirements_file: line 2: "not valid!"`, "environment_variables: ", "python.interpreter_path: must be an absolute path",
		"docker: base_image and base_dockerfile", "docker.base_image: ", "docker.base_dockerfile: has no FROM", "docker.registry.password: is not kept",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Fatalf("violation %d is not %q but %q", i, want, got[min(i, len(got)):])
		}
	}
	if strings.Contains(strings.Join(got, ""), "hidden") {
		t.Error("a password is told")
	}
	for text, want := range map[string]string{"": "", "- a\n": "must have the keys", "a: [": "is not YAML", " \n": "is empty", "dependencies: []\n---\nx: 1\n": "one document"} {
		_, _, _, err := environment.Environment{}.Register(environment.Registration{Workspace: "default", Name: "e", CondaFile: text}, nil, now)
		if got := strings.Join(violations(err), ""); (want == "") != (err == nil) || !strings.Contains(got, want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestNotices(t *testing.T) {
	v := register(t, environment.Registration{Content: environment.Content{
		InferencingStack: "latest",
		Python:           environment.Python{UserManaged: true, InterpreterPath: "python", PipRequirements: []string{"AzureML_Core>=1", "numpy"}, CondaDependencies: []string{"azureml-monitoring"}},
		Docker:           environment.Docker{Registry: "host"},
	}})
	want := []string{
		"python: packages are listed and have no effect, because user_managed takes those of the node or image as they are",
		"docker.registry has no effect without docker.base_image",
		"AzureML_Core, azureml-monitoring: the scorer itself stands in for it, it need not be installed",
		"inferencing_stack_version has no effect: every replica has the scorer",
	}
	if diff := cmp.Diff(want, v.Notices); diff != "" || v.Python.InterpreterPath != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheSameAgainIsTheSameVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e environment.Environment
		versions, given := map[int64]environment.Version{}, int64(0)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			number, some := e.Newest()
			if some && rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
				e, _ = e.Delete(versions[number])
				delete(versions, number)
				continue
			}
			var newest *environment.Version
			if some {
				v := versions[number]
				newest = &v
			}
			text := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "package")
			next, v, fact, err := e.Register(environment.Registration{
				Workspace: "default", Name: "e", Description: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "description"),
				Content: environment.Content{Python: environment.Python{PipRequirements: []string{text}}},
			}, newest, now)
			if err != nil {
				t.Fatal(err)
			}
			same := newest != nil && newest.Python.PipRequirements[0] == text
			if same != (fact == nil) || same && v.Number != number || !same && v.Number != given+1 {
				t.Fatalf("registered %s as %d after %d, fact %v", text, v.Number, number, fact)
			}
			if !same {
				given++
			}
			e, versions[v.Number] = next, v
		}
	})
}

func TestReferences(t *testing.T) {
	for text, want := range map[string]environment.Ref{
		"sk": {Name: "sk"}, "sk:2": {Name: "sk", Number: 2}, "sk:latest": {Name: "sk"},
		"workspaces/default/environments/sk":                 {Name: "sk"},
		"workspaces/default/environments/sk/versions/7":      {Name: "sk", Number: 7},
		"workspaces/default/environments/sk/versions/latest": {Name: "sk"},
	} {
		if got, err := environment.ParseRef("default", text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "sk:", "sk:0", "sk:01", "sk:x", "-a", "workspaces/other/environments/sk", "workspaces/default/models/sk"} {
		if got, err := environment.ParseRef("default", bad); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

// FuzzCondaFile checks that what is read of a file can be put into a file again.
func FuzzCondaFile(f *testing.F) {
	f.Add(condaFile)
	f.Add("dependencies:\n- {pip: [a, b]}\n- *x\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := environment.Registration{Workspace: "default", Name: "e", CondaFile: text}
		_, v, _, err := environment.Environment{}.Register(r, nil, now)
		if err != nil {
			return
		}
		r.CondaFile, r.Content = "", v.Content
		if _, again, _, err := (environment.Environment{}).Register(r, nil, now); err != nil || again.Digest != v.Digest {
			t.Errorf("%q: %v, %s and %s", text, err, v.Digest, again.Digest)
		}
	})
}
