package packaging_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/cmd/internal/imagerecipe"
	"github.com/fairlead/fairlead/cmd/internal/packaging"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// models holds the files of models by their ids.
type models map[string]map[string]string

// Download writes a model's files.
func (m models) Download(_ context.Context, model *deployv1.ModelVersion, folder string, _ bool) error {
	files, ok := m[model.GetId()]
	if !ok {
		return errors.New("what arrived is damaged")
	}
	return write(folder, files)
}

func write(folder string, files map[string]string) error {
	for name, content := range files {
		local := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(local), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(local, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// sources writes files and gives them hashed.
func sources(t *testing.T, files map[string]string) []upload.File {
	t.Helper()
	dir := t.TempDir()
	if err := write(dir, files); err != nil {
		t.Fatal(err)
	}
	found, err := upload.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := upload.Hash(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	return found
}

func model(name string, version int64) *deployv1.ModelVersion {
	return &deployv1.ModelVersion{Model: name, Version: version, Id: fmt.Sprintf("%s:%d", name, version), Digest: "d"}
}

// sample is a context with everything in it.
func sample(t *testing.T) (packaging.Context, models) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	return packaging.Context{
		Environment:  imagerecipe.Environment{ID: "sklearn:2", Pip: []string{"azureml-defaults", "numpy"}, Variables: map[string]string{"A": "b"}},
		RunArguments: []string{"--shm-size 2g"},
		EntryScript:  "src/score.py",
		Source:       sources(t, map[string]string{"src/score.py": "def init(): pass", "src/lib/x.py": "x = 1"}),
		Models:       []*deployv1.ModelVersion{model("Diab_etes", 3), model("other", 1)},
		Program:      program, Platform: "linux/amd64",
	}, models{"Diab_etes:3": {"model.pkl": "ridge"}, "other:1": {"deep/w.bin": "weights"}}
}

// entry is what an archive of a folder would hold of a file.
type entry struct {
	Mode   fs.FileMode
	Time   time.Time
	Digest string
}

func entries(t *testing.T, dir string) map[string]entry {
	t.Helper()
	out := map[string]entry{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		e := entry{Mode: info.Mode(), Time: info.ModTime().UTC()}
		if !d.IsDir() {
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(content)
			e.Digest = hex.EncodeToString(sum[:])
		}
		out[filepath.ToSlash(relative)] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	c, from := sample(t)
	place := t.TempDir()
	first, second := filepath.Join(place, "first"), filepath.Join(place, "deep", "second")
	for _, dir := range []string{first, second} {
		if err := c.Write(t.Context(), from, dir, false); err != nil {
			t.Fatal(err)
		}
	}
	got := entries(t, first)
	if diff := cmp.Diff(got, entries(t, second)); diff != "" {
		t.Error(diff)
	}
	want := []string{
		".", "Dockerfile", "README.md", "azureml-app", "azureml-app/src", "azureml-app/src/lib", "azureml-app/src/lib/x.py", "azureml-app/src/score.py",
		"azureml-models", "azureml-models/Diab_etes", "azureml-models/Diab_etes/3", "azureml-models/Diab_etes/3/model.pkl",
		"azureml-models/other", "azureml-models/other/1", "azureml-models/other/1/deep", "azureml-models/other/1/deep/w.bin",
		"environment", "environment/requirements.txt", "fairlead", "fairlead-package.json",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	if m := got["fairlead"].Mode; m != 0o755 {
		t.Errorf("the program has mode %v", m)
	}
	if m := got["azureml-models/other/1/deep/w.bin"].Mode; m != 0o644 {
		t.Errorf("a model's file has mode %v: the account of the image could not read it", m)
	}
	var manifest struct{ Files map[string]string }
	content, err := os.ReadFile(filepath.Join(first, packaging.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &manifest); err != nil {
		t.Fatal(err)
	}
	for name, sum := range manifest.Files {
		if got[name].Digest != sum {
			t.Errorf("the manifest has a wrong digest of %s", name)
		}
	}
	readme, err := os.ReadFile(filepath.Join(first, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"docker build -t diab-etes --platform linux/amd64 .", "docker run --rm -p 5001:5001 --shm-size 2g diab-etes",
		"| model other:1 |", "azureml-defaults: not installed",
	} {
		if !bytes.Contains(readme, []byte(text)) {
			t.Errorf("README.md does not say %q:\n%s", text, readme)
		}
	}
}

func TestNothingHalfDoneStays(t *testing.T) {
	c, from := sample(t)
	place := t.TempDir()
	dir := filepath.Join(place, "out")
	delete(from, "other:1")
	if err := c.Write(t.Context(), from, dir, false); err == nil {
		t.Fatal("a model that cannot be fetched is no error")
	}
	if found := entries(t, place); len(found) != 1 {
		t.Errorf("something stays: %v", slices.Sorted(maps.Keys(found)))
	}

	from["other:1"] = map[string]string{"w": "1"}
	if err := c.Write(t.Context(), from, dir, false); err != nil {
		t.Fatal(err)
	}
	before := entries(t, place)
	if err := os.WriteFile(c.Source[0].Local, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), from, dir, true); err == nil || !strings.Contains(err.Error(), "has changed while it was packaged") {
		t.Errorf("a file that changes meanwhile: %v", err)
	}
	after := entries(t, place)
	before["."], after["."] = entry{}, entry{}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

func TestOverwriteReplacesOnlyPackages(t *testing.T) {
	c, from := sample(t)
	place := t.TempDir()
	tests := map[string]struct {
		prepare   map[string]string
		overwrite bool
		want      string // part of the error; empty for none
	}{
		"new":                          {},
		"something else":               {prepare: map[string]string{"thesis.tex": "x"}, want: "was not written by"},
		"something else, by overwrite": {prepare: map[string]string{"thesis.tex": "x"}, overwrite: true, want: "was not written by"},
		"a package":                    {prepare: map[string]string{packaging.ManifestFile: "{}", "old": "x"}, want: "--overwrite"},
		"a package, by overwrite":      {prepare: map[string]string{packaging.ManifestFile: "{}", "old": "x"}, overwrite: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(place, strings.ReplaceAll(name, " ", "-"))
			if err := write(dir, test.prepare); err != nil {
				t.Fatal(err)
			}
			err := c.Write(t.Context(), from, dir, test.overwrite)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if found := entries(t, dir); found["old"].Digest != "" || found["Dockerfile"].Digest == "" {
				t.Errorf("it was not replaced: %v", slices.Sorted(maps.Keys(found)))
			}
		})
	}
	file := filepath.Join(place, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := packaging.Check(file, true); err == nil {
		t.Error("a file may be written over")
	}
	t.Chdir(place)
	for _, dir := range []string{".", ".."} {
		if err := packaging.Check(dir, true); err == nil {
			t.Errorf("%s may be replaced", dir)
		}
	}
}

func TestAPackageInTheSourcesIsLeftOut(t *testing.T) {
	found := sources(t, map[string]string{"score.py": "1", "out/Dockerfile": "FROM x", "outer/x.py": "2"})
	dir := filepath.Dir(found[len(found)-1].Local)
	kept, err := packaging.Outside(found, filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range kept {
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{"outer/x.py", "score.py"}, paths); diff != "" {
		t.Error(diff)
	}
}
