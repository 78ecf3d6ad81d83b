package secretfile

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func constant(s string) func() (string, error) {
	return func() (string, error) { return s, nil }
}

func TestEnsureMakesAPrivateFileAndKeepsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "token")
	for _, generated := range []string{"first", "second"} {
		got, err := Ensure(path, constant(generated), quiet())
		if err != nil || got != "first" {
			t.Fatalf("Ensure = %q, %v; want first", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Fatalf("the folder holds %v, %v; want only the file", left, err)
	}
}

func TestEnsureAgreesAmongConcurrentMakers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			content, err := Ensure(path, constant(fmt.Sprintf("secret-%d", i)), quiet())
			if err != nil {
				t.Error(err)
			}
			got[i] = content
		})
	}
	wg.Wait()
	for _, g := range got {
		if g == "" || g != got[0] {
			t.Fatalf("makers disagree: %q", got)
		}
	}
}

func TestEnsureTightensAnOpenFileAndSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("kept\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	got, err := Ensure(path, constant("other"), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || got != "kept" {
		t.Fatalf("Ensure = %q, %v; want kept", got, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	if !strings.Contains(log.String(), "mode=0644") || strings.Contains(log.String(), "kept") {
		t.Errorf("log must name the old mode and not the secret: %s", log.String())
	}
}

func TestEnsureRefuses(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("x"), maxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		path     string
		generate func() (string, error)
	}{
		"a folder":            {dir, constant("x")},
		"a large file":        {large, constant("x")},
		"a failing generator": {filepath.Join(dir, "none"), func() (string, error) { return "", errors.New("no randomness") }},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Ensure(tt.path, tt.generate, quiet()); err == nil {
				t.Errorf("Ensure = %q, want an error", got)
			}
		})
	}
}
