package swagger_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/swagger"
)

var service = swagger.Service{Name: `say "hi" & <go>`, Version: "7", PathPrefix: "/api/x/"}

func document(t *testing.T, d *swagger.Documents, version string) map[string]any {
	t.Helper()
	text, err := d.Get(version)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return document
}

// at follows names into a document.
func at(document any, names ...string) any {
	for _, name := range names {
		document = document.(map[string]any)[name]
	}
	return document
}

func TestDocuments(t *testing.T) {
	schemas := swagger.Schemas{Input: json.RawMessage(`{"example": 8.0}`), Output: json.RawMessage(`{"type": "array"}`)}
	d := swagger.New(service, nil, func() swagger.Schemas { return schemas })
	for version, test := range map[string]struct {
		key, value  string
		definitions []string
	}{
		"2":   {"swagger", "2.0", []string{"definitions"}},
		"2.0": {"swagger", "2.0", []string{"definitions"}},
		"3":   {"openapi", "3.0.3", []string{"components", "schemas"}},
		"3.0": {"openapi", "3.0.3", []string{"components", "schemas"}},
		"3.1": {"openapi", "3.1.0", []string{"components", "schemas"}},
	} {
		t.Run(version, func(t *testing.T) {
			got := document(t, d, version)
			want := map[string]any{"title": service.Name, "version": "7", "description": "API specification for the Azure Machine Learning service " + service.Name}
			if diff := cmp.Diff(want, got["info"]); diff != "" || got[test.key] != test.value {
				t.Errorf("%s is %v; info -want +got:\n%s", test.key, got[test.key], diff)
			}
			for _, path := range []string{"/api/x/", "/api/x/score", "/api/x/swagger.json"} {
				if at(got, "paths", path) == nil {
					t.Errorf("the path %s is missing", path)
				}
			}
			definitions := at(got, test.definitions...)
			if diff := cmp.Diff(map[string]any{"example": 8.0}, at(definitions, "ServiceInput")); diff != "" {
				t.Errorf("input: -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(map[string]any{"type": "array"}, at(definitions, "ServiceOutput")); diff != "" {
				t.Errorf("output: -want +got:\n%s", diff)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	noSecond := func() swagger.Schemas { return swagger.Schemas{Versions: []string{"3", "3.1"}} }
	own := swagger.Files{"2": json.RawMessage(`"mine"`)}
	for name, test := range map[string]struct {
		documents *swagger.Documents
		version   string
		want      string
	}{
		"unknown":     {swagger.New(service, nil, nil), "4", "Swagger version [4] is not valid. Supported versions: [2, 3, 3.1]."},
		"empty":       {swagger.New(service, nil, nil), "", "Swagger version [] is not valid. Supported versions: [2, 3, 3.1]."},
		"unfit":       {swagger.New(service, nil, noSecond), "2", "Swagger version [2] is not supported for the scoring script. Supported swagger versions: [3, 3.1]."},
		"own one fit": {swagger.New(service, own, noSecond), "5", "Swagger version [5] is not valid. Supported versions: [2, 3, 3.1]."},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.documents.Get(test.version)
			var no *swagger.VersionError
			if !errors.As(err, &no) || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	if text, err := swagger.New(service, own, noSecond).Get("2.0"); err != nil || string(text) != `"mine"` {
		t.Errorf("the user's own document came as %s %v", text, err)
	}
}

func TestReadFiles(t *testing.T) {
	folder := func(files ...string) string {
		dir := t.TempDir()
		for _, file := range files {
			name, text, _ := strings.Cut(file, "=")
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	for name, test := range map[string]struct {
		folders []string
		want    swagger.Files
		problem string
	}{
		"none":            {[]string{"", folder()}, nil, ""},
		"all":             {[]string{folder("swagger2.json=2", "swagger3.json=3", "swagger3.1.json=31")}, swagger.Files{"2": raw("2"), "3": raw("3"), "3.1": raw("31")}, ""},
		"older name wins": {[]string{folder("swagger2.json=2", "swagger.json=1")}, swagger.Files{"2": raw("1")}, ""},
		"first folder":    {[]string{folder(), folder("swagger3.json=\ufeff 1 "), folder("swagger2.json=2")}, swagger.Files{"3": raw("1")}, ""},
		"no JSON":         {[]string{folder("swagger2.json={")}, nil, "swagger2.json beside the entry script is no JSON document"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := swagger.ReadFiles(test.folders...)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("got %v", err)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v; -want +got:\n%s", err, diff)
			}
		})
	}
}
