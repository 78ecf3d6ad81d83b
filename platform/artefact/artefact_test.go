package artefact_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/artefact"
)

func open(t *testing.T) (*artefact.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := artefact.Open(t.Context(), "file://"+dir+"?create_dir=true&no_tmp_dir=true")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestPutOpenReadAtDelete(t *testing.T) {
	s, _ := open(t)
	content := bytes.Repeat([]byte("fairlead"), 10_000)
	digest := digestOf(content)
	for range 2 { // the second time it is there already
		if err := s.Put(t.Context(), digest, int64(len(content)), bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	r, size, err := s.Open(t.Context(), digest)
	if err != nil || size != int64(len(content)) {
		t.Fatalf("size %d, %v", size, err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content) || r.Close() != nil {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	for _, tt := range []struct{ offset, limit, want int64 }{{0, 8, 8}, {79_990, 100, 10}, {80_000, 5, 0}, {90_000, 5, 0}} {
		part, whole, err := s.ReadAt(t.Context(), digest, tt.offset, tt.limit)
		if err != nil || int64(len(part)) != tt.want || whole != size {
			t.Errorf("ReadAt(%d, %d) = %d bytes of %d, %v", tt.offset, tt.limit, len(part), whole, err)
		}
	}
	for range 2 {
		if err := s.Delete(t.Context(), digest); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Open(t.Context(), digest); apierr.KindOf(err) != apierr.NotFound {
		t.Errorf("after Delete: %v", err)
	}
}

func TestDamagedContentIsNeverThere(t *testing.T) {
	s, dir := open(t)
	digest := digestOf([]byte("right"))
	for name, tt := range map[string]struct {
		content string
		size    int64
	}{"other bytes": {"wrong", 5}, "too short": {"righ", 5}, "too long": {"right!", 5}, "other size": {"right", 6}} {
		err := s.Put(t.Context(), digest, tt.size, strings.NewReader(tt.content))
		if apierr.KindOf(err) != apierr.DataLoss {
			t.Errorf("%s: %v", name, err)
		}
		if there, err := s.Has(t.Context(), digest); there || err != nil {
			t.Errorf("%s: there = %v, %v", name, there, err)
		}
	}
	if err := s.Put(t.Context(), digest, 5, strings.NewReader("right")); err != nil {
		t.Fatal(err)
	}
	flip(t, dir, digest)
	r, _, err := s.Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); apierr.KindOf(err) != apierr.DataLoss {
		t.Errorf("reading a damaged content gave %v", err)
	}
}

func flip(t *testing.T, dir, digest string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == digest {
			return os.WriteFile(path, []byte("rigbt"), 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBadDigest(t *testing.T) {
	s, _ := open(t)
	for _, d := range []string{"", "zz", "../../etc/passwd", strings.Repeat("0", 63)} {
		if _, err := s.Has(t.Context(), d); apierr.KindOf(err) != apierr.InvalidArgument {
			t.Errorf("digest %q: %v", d, err)
		}
	}
}

// A file that a crash or a full disk cut short is no content: sending it again heals it.
func TestPutReplacesWhatWasCutShort(t *testing.T) {
	s, dir := open(t)
	content := []byte("the whole content")
	digest := digestOf(content)
	path := filepath.Join(dir, "sha256", digest[:2], digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content[:3], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), digest, int64(len(content)), bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

// Nothing but the content is needed to read it, and nothing else is left.
func TestAFolderHoldsContentsOnly(t *testing.T) {
	dir := t.TempDir()
	s, err := artefact.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	content := []byte("content")
	digest := digestOf(content)
	if err := s.Put(t.Context(), digest, 7, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), digestOf([]byte("other")), 5, strings.NewReader("wrong")); apierr.KindOf(err) != apierr.DataLoss {
		t.Errorf("a wrong content gives %v", err)
	}
	var files []string
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, d.Name())
		}
		return err
	})
	if err != nil || len(files) != 1 || files[0] != digest {
		t.Errorf("files %v, %v; want the content only", files, err)
	}
}

func TestDigests(t *testing.T) {
	s, dir := open(t)
	var want []string
	for _, content := range []string{"a", "b", "c", "d"} {
		digest := digestOf([]byte(content))
		if err := s.Put(t.Context(), digest, 1, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		want = append(want, digest)
	}
	slices.Sort(want)
	if err := os.WriteFile(filepath.Join(dir, "sha256", "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for digest, err := range s.Digests(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, digest)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for digest, err := range s.Digests(ctx) {
		if err == nil {
			t.Errorf("%s after the end", digest)
		}
	}
}

func TestWhoKnowsADigestOnlyPutsNothingIn(t *testing.T) {
	s, _ := open(t)
	digest := digestOf([]byte("right"))
	if err := s.Put(t.Context(), digest, 5, strings.NewReader("right")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), digest, 5, strings.NewReader("wrong")); apierr.KindOf(err) != apierr.DataLoss {
		t.Errorf("another content under a digest that is there: %v, want data loss", err)
	}
	if err := s.Put(t.Context(), digest, 5, strings.NewReader("right")); err != nil {
		t.Errorf("the same again: %v", err)
	}
}
