package backup_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/backup"
)

func contents() map[string]string {
	return map[string]string{"secrets/a": "secret", "artefacts/x": strings.Repeat("weights ", 50_000), "empty": ""}
}

func write(t *testing.T, path string) backup.Manifest {
	t.Helper()
	w, err := backup.Create(path, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range contents() {
		part, err := w.Part(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Part("another"); err == nil {
			t.Error("two parts were open at once")
		}
		if _, err := io.WriteString(part, content); err != nil {
			t.Fatal(err)
		}
		if err := part.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"secrets/a", "", "/etc/passwd", "../up", "a/../b", "manifest.json", `a\b`} {
		if _, err := w.Part(name); err == nil {
			t.Errorf("a part %q was begun", name)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there before it is whole")
	}
	m, err := w.Commit(backup.Manifest{Version: "v1", Taken: time.Unix(1e9, 0).UTC(), Streams: []backup.Stream{{Name: "S", Part: "empty", Config: []byte("{}")}}})
	if err != nil {
		t.Fatal(err)
	}
	w.Abort() // nothing after Commit
	return m
}

func TestWriteAndRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b.zip")
	written := write(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("the folder holds %v", files)
	}
	if _, err := backup.Create(path, time.Now()); err == nil {
		t.Error("a file was replaced")
	}
	r, err := backup.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if diff := cmp.Diff(written.Parts, r.Manifest().Parts); diff != "" || r.Manifest().Format != backup.Format {
		t.Errorf("manifest (-written +read):\n%s", diff)
	}
	var read, total int64
	if err := r.Verify(t.Context(), func(n, of int64) { read, total = n, of }); err != nil || read != total || total == 0 {
		t.Errorf("verified %d of %d bytes: %v", read, total, err)
	}
	for name, want := range contents() {
		part, err := r.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(part); err != nil || string(got) != want || part.Close() != nil {
			t.Errorf("%s is %d bytes long, %v", name, len(got), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Verify(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("verifying went on: %v", err)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w, err := backup.Create(filepath.Join(dir, "b.zip"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left %v", files)
	}
}

// TestDamage flips every byte of a small file in turn, and cuts it off everywhere:
// what can be read is what was written, or an error.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b.zip")
	write(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, content []byte, mustFail bool) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := backup.Open(path)
		if err != nil {
			return
		}
		defer r.Close()
		switch err := r.Verify(t.Context(), nil); {
		case err != nil && apierr.KindOf(err) != apierr.DataLoss:
			t.Errorf("%s: %v is of another kind", what, err)
		case err == nil && mustFail:
			t.Errorf("%s was not noticed", what)
		}
	}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 0x40
		check(fmt.Sprintf("byte %d", i), flipped, false)
	}
	for i := 0; i < len(whole); i += 7 {
		check(fmt.Sprintf("cut off at %d", i), whole[:i], true)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		entries map[string]string
		kind    apierr.Kind
		says    string
	}{
		"no manifest":      {map[string]string{"a": "x"}, apierr.DataLoss, "no manifest"},
		"no JSON":          {map[string]string{"manifest.json": "{"}, apierr.DataLoss, "manifest"},
		"a later format":   {map[string]string{"manifest.json": `{"format": 99, "version": "v9"}`}, apierr.FailedPrecondition, "v9"},
		"an unknown entry": {map[string]string{"manifest.json": `{"format": 1}`, "a": "x"}, apierr.DataLoss, "not in the manifest"},
		"a missing part":   {map[string]string{"manifest.json": `{"format": 1, "parts": [{"name": "a"}]}`}, apierr.DataLoss, "missing"},
		"a stream's part":  {map[string]string{"manifest.json": `{"format": 1, "streams": [{"name": "S", "part": "a"}]}`}, apierr.DataLoss, "stream S"},
		"a way out":        {map[string]string{"manifest.json": `{"format": 1, "parts": [{"name": "../a"}]}`, "../a": "x"}, apierr.DataLoss, "../a"},
	} {
		path := filepath.Join(t.TempDir(), "b.zip")
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, content := range tt.entries {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, content); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(z.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
		_, err := backup.Open(path)
		if err == nil || apierr.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := backup.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
