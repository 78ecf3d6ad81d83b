package model_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/model"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func registration(files ...string) model.Registration {
	r := model.Registration{Workspace: "default", Name: "ridge"}
	for _, f := range files {
		r.Files = append(r.Files, bundle.File{Path: f, SHA256: strings.Repeat("a", 64), Size: 5})
	}
	return r
}

func TestNumbersAreNeverGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m model.Model
		versions, given := map[int64]model.Version{}, int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			newest, some := m.Newest()
			if some && rapid.Bool().Draw(t, "delete") {
				n := rapid.SampledFrom(m.Versions).Draw(t, "number")
				m, _ = m.Delete(versions[n])
				delete(versions, n)
				continue
			}
			next, v, _, err := m.Register(registration("m.pkl"), now)
			if err != nil {
				t.Fatal(err)
			}
			if v.Number != given+1 || some && v.Number <= newest {
				t.Fatalf("version %d follows %d", v.Number, given)
			}
			m, given, versions[v.Number] = next, v.Number, v
			if n, _ := m.Newest(); n != v.Number {
				t.Fatalf("the newest is %d, want %d", n, v.Number)
			}
		}
	})
}

func TestDigestFollowsPathsAndContents(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	sum := sha256.Sum256([]byte("x/1:" + a + "\nx/2:" + b + "\n"))
	want := hex.EncodeToString(sum[:])
	for _, files := range [][]bundle.File{
		{{Path: "x/1", SHA256: a}, {Path: "x/2", SHA256: b}},
		{{Path: "x/2", SHA256: b}, {Path: "x/1", SHA256: a}},
	} {
		if got := model.Digest(files); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*model.Registration)
		fields []string
	}{
		{"a bad name and no files", func(r *model.Registration) { r.Name, r.Files = "-x", nil }, []string{"model_id", "files"}},
		{"bad paths", func(r *model.Registration) { r.Files = registration("/a", "b//c", "../d", "e\\f").Files }, []string{"files", "files", "files", "files"}},
		{"a path twice", func(r *model.Registration) { r.Files = registration("a", "a").Files }, []string{"files"}},
		{"a file that is a folder", func(r *model.Registration) { r.Files = registration("a/b/c", "a").Files }, []string{"files"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := registration("m.pkl")
			tt.change(&r)
			_, _, _, err := model.Model{}.Register(r, now)
			e := apierr.FromStatus(err)
			if e == nil {
				t.Fatal("it is accepted")
			}
			var fields []string
			for _, v := range e.Violations {
				fields = append(fields, v.Field)
			}
			if diff := cmp.Diff(tt.fields, fields); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUpdateAddsProperties(t *testing.T) {
	r := registration("m.pkl")
	r.Properties = map[string]string{"a": "1"}
	_, v, _, err := model.Model{}.Register(r, now)
	if err != nil {
		t.Fatal(err)
	}
	u, _, err := v.Update("text", map[string]string{"t": "x"}, map[string]string{"b": "2"}, now)
	if err != nil || u.Description != "text" || u.Generation != 2 {
		t.Fatalf("got %+v, %v", u, err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, u.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if _, _, err := v.Update("", nil, map[string]string{"a": "2"}, now); apierr.KindOf(err) != apierr.InvalidArgument {
		t.Errorf("a property was changed: %v", err)
	}
}

func TestParseRef(t *testing.T) {
	tests := []struct {
		text string
		want model.Ref
		err  string
	}{
		{"ridge", model.Ref{Model: "ridge"}, ""},
		{"ridge:3", model.Ref{Model: "ridge", Number: 3}, ""},
		{"ridge:latest", model.Ref{Model: "ridge"}, ""},
		{"workspaces/default/models/ridge/versions/3", model.Ref{Model: "ridge", Number: 3}, ""},
		{"workspaces/default/models/ridge/versions/latest", model.Ref{Model: "ridge"}, ""},
		{"workspaces/default/models/ridge", model.Ref{Model: "ridge"}, ""},
		{"workspaces/other/models/ridge/versions/3", model.Ref{}, "not in the workspace default"},
		{"workspaces/default/endpoints/e", model.Ref{}, "must have the form"},
		{"ridge:0", model.Ref{}, "versions are 1, 2, 3"},
		{"ridge:03", model.Ref{}, "versions are 1, 2, 3"},
		{"ridge:x", model.Ref{}, "versions are 1, 2, 3"},
		{"", model.Ref{}, "is no model"},
		{"a b", model.Ref{}, "is no model"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := model.ParseRef("default", tt.text)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ref (-want +got):\n%s", diff)
			}
		})
	}
}
