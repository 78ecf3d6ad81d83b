package archive_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/cmd/internal/archive"
	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// write writes an archive of one workspace; every file of a model holds its path.
func write(tb testing.TB, dir string, w archive.Workspace, overwrite bool) error {
	tb.Helper()
	out, err := archive.Create(dir, overwrite)
	if err != nil {
		return err
	}
	defer out.Abandon()
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	check(out.Workspace(w))
	for _, m := range w.Models {
		check(out.Model(w.ID, m))
		for path := range m.Digests {
			file := filepath.Join(out.ModelFiles(w.ID, m), path)
			check(os.MkdirAll(filepath.Dir(file), 0o755))
			check(os.WriteFile(file, []byte(path), 0o600))
		}
	}
	for _, e := range w.Environments {
		check(out.Environment(w.ID, e))
	}
	for _, e := range w.Endpoints {
		check(out.Endpoint(w.ID, e))
	}
	if w.Keys != nil {
		check(out.Keys(w.ID, w.Keys))
	}
	return out.Finish()
}

// digest is the SHA-256 of a text, as the uploader has it.
func digest(tb testing.TB, text string) string {
	tb.Helper()
	file := []upload.File{{Local: filepath.Join(tb.TempDir(), "f")}}
	if err := os.WriteFile(file[0].Local, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := upload.Hash(tb.Context(), file); err != nil {
		tb.Fatal(err)
	}
	return file[0].SHA256
}

func full(tb testing.TB) archive.Workspace {
	tb.Helper()
	return archive.Workspace{
		ID: "default", Description: "two\nlines: yes", Tags: map[string]string{"on": "no", "n": "1"},
		Targets: []archive.Target{{Name: "small", Purpose: archive.DevTest, NodeSize: "Standard_D3_v2", NodeCount: 1}},
		Models: []archive.Model{
			{Name: "m", Number: 2, Framework: "Onnx", Digests: map[string]string{"a": digest(tb, "a"), "deep/b": digest(tb, "deep/b")}},
			{Name: "m", Number: 10, Properties: map[string]string{"p": ""}, Digests: map[string]string{"a": digest(tb, "a")}},
		},
		Environments: []archive.Environment{{Name: "e", Number: 1, Python: archive.Python{PipRequirements: []string{"a>=1,<2"}, UserManaged: true}, Docker: archive.Docker{BaseDockerfile: "FROM x\n  RUN y\n"}}},
		Endpoints:    []manifest.Endpoint{{ID: "fruit", Endpoint: &deployv1.Endpoint{}, Versions: []manifest.Version{{ID: "blue", Version: &deployv1.EndpointVersion{EntryScript: "s.py"}}}}},
		Keys:         map[string]archive.Keys{"fruit": {Primary: "one", Secondary: "two"}},
	}
}

func same(tb testing.TB, want archive.Workspace, got []archive.Workspace) {
	tb.Helper()
	options := []cmp.Option{
		cmpopts.EquateEmpty(), cmpopts.IgnoreFields(archive.Model{}, "Files"),
		cmp.Comparer(func(a, b manifest.Endpoint) bool { return a.ID == b.ID && len(a.Versions) == len(b.Versions) }),
	}
	if diff := cmp.Diff([]archive.Workspace{want}, got, options...); diff != "" {
		tb.Errorf("(-written +read):\n%s", diff)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "export")
	if err := write(t, dir, full(t), false); err != nil {
		t.Fatal(err)
	}
	got, bad, err := archive.Read(t.Context(), dir)
	if err != nil || len(bad) > 0 {
		t.Fatalf("violations %v, error %v", bad, err)
	}
	same(t, full(t), got)
	if files := got[0].Models[0].Files; len(files) != 2 || files[1].Path != "deep/b" || files[1].Size != 6 {
		t.Errorf("the files are %v", files)
	}
}

// Texts survive whatever they hold.
func TestTexts(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"1", "1e3", "true", "null", "~", "- a", "a: b", "#x", "<<", "a\nb\n", "  a\n b", "\n a\n", "a\n\n", "FROM x\n\n  RUN y \n# z\n", "a\n \n b", "---\na", "|"}))
		texts := rapid.MapOfN(text, text, 0, 4)
		w := archive.Workspace{ID: "www", Description: text.Draw(r, "description"), Tags: texts.Draw(r, "tags")}
		w.Environments = []archive.Environment{{
			Name: "e", Number: 1, EnvironmentVariables: texts.Draw(r, "variables"),
			Python: archive.Python{PipRequirements: rapid.SliceOf(text).Draw(r, "pip")}, Docker: archive.Docker{BaseDockerfile: text.Draw(r, "dockerfile")},
		}}
		dir := filepath.Join(root, fmt.Sprint(n))
		if err := write(t, dir, w, false); err != nil {
			r.Fatal(err)
		}
		got, bad, err := archive.Read(t.Context(), dir)
		if err != nil || len(bad) > 0 {
			r.Fatalf("violations %v, error %v", bad, err)
		}
		if diff := cmp.Diff([]archive.Workspace{w}, got, cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("(-written +read):\n%s", diff)
		}
	})
}

func TestEverythingWrongIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "export")
	if err := write(t, dir, full(t), false); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"workspace.yaml":          "descriptoin: x\ntags: [a]\n",
		"computetargets.yaml":     "computeTargets:\n  - name: a\n    purpose: Prod\n",
		"models/m/2/files/deep/b": "damaged",
		"models/m/3/model.yaml":   "files: {../../up: aa}\n",
		"models/m/x/model.yaml":   "",
		"environments/f/01.yaml":  "",
		"endpoints/more.yaml":     "kind: Endpoint\nname: fruit\nversions: [{name: aaa, entryScript: s.py, replica: 2}]\n",
		"keys.yaml":               "nothere: {primary: a}\n",
	} {
		path := filepath.Join(dir, "default", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "default/models/m/10/files/a")); err != nil {
		t.Fatal(err)
	}
	_, bad, err := archive.Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for _, v := range bad {
		fmt.Fprintf(&told, "%s: %s\n", strings.TrimPrefix(v.Field, filepath.Join(dir, "default")+"/"), v.Description)
	}
	for _, want := range []string{
		"workspace.yaml: line 1: field descriptoin not found", "workspace.yaml: line 2:", "computetargets.yaml: computeTargets[0]: must have",
		"models/m/2/files/deep/b: is damaged", `models/m/3/model.yaml: files: "../../up" must be a path inside`, "models/m/x: is no version",
		"environments/f/01.yaml: is no version", "versions[0].replica: is not known; did you mean replicas?", "endpoint fruit is described at",
		"keys.yaml: nothere: is no endpoint", "models/m/10/files/a: is missing",
	} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("%q is not told in\n%s", want, told.String())
		}
	}
}

func TestOnlyExportsAreReplaced(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "export")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := write(t, dir, full(t), false); err != nil { // an empty folder is as good as none
		t.Fatal(err)
	}
	if err := write(t, dir, full(t), false); err == nil || !strings.Contains(err.Error(), "--overwrite") {
		t.Errorf("an export was replaced without being asked, error %v", err)
	}
	less := full(t)
	less.Models = nil
	if err := write(t, dir, less, true); err != nil {
		t.Fatal(err)
	}
	got, bad, err := archive.Read(t.Context(), dir)
	if err != nil || len(bad) > 0 {
		t.Fatalf("violations %v, error %v", bad, err)
	}
	same(t, less, got)

	precious := filepath.Join(root, "precious")
	if err := os.MkdirAll(filepath.Join(precious, "photos"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := write(t, precious, full(t), true); err == nil || !strings.Contains(err.Error(), "is no export") {
		t.Errorf("what is no export was replaced, error %v", err)
	}
	out, err := archive.Create(filepath.Join(root, "half"), false)
	if err != nil {
		t.Fatal(err)
	}
	out.Abandon()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	if left := slices.Sorted(maps.Keys(names)); !slices.Equal(left, []string{"export", "precious"}) {
		t.Errorf("there is %v", left)
	}
}
