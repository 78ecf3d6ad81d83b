package files_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/compute/internal/driver/drivertest"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/files"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// counting counts what is fetched, and may answer with something else.
type counting struct {
	*drivertest.Artefacts
	opened atomic.Int32
	wrong  bool
}

func (c *counting) Open(ctx context.Context, digest string) (io.ReadCloser, int64, error) {
	c.opened.Add(1)
	if c.wrong {
		return io.NopCloser(strings.NewReader("something else")), 14, nil
	}
	return c.Artefacts.Open(ctx, digest)
}

// knowing is a store that finds out at the end that its content is damaged.
type knowing struct{}

func (knowing) Open(context.Context, string) (io.ReadCloser, int64, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader("con"), iotest.ErrReader(apierr.New(apierr.DataLoss, "DIGEST_MISMATCH", "damaged")))), 3, nil
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestContentIsFetchedOnceByAll(t *testing.T) {
	source := &counting{Artefacts: &drivertest.Artefacts{}}
	f := source.Put("a/b.txt", "content")
	cache := files.NewCache(t.TempDir(), source)
	out := t.TempDir()
	var wg sync.WaitGroup
	for _, name := range []string{"1", "2", "3", "4"} {
		for _, how := range []files.How{files.Copy, files.Link} {
			wg.Go(func() {
				if err := cache.Lay(t.Context(), []workload.File{f}, filepath.Join(out, name, string(rune('a'+int(how)))), how); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := source.opened.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	if got := read(t, out, "3", "a", "a", "b.txt"); got != "content" {
		t.Errorf("content %q", got)
	}
	if err := os.WriteFile(filepath.Join(out, "3", "a", "a", "b.txt"), []byte("changed"), 0o644); err != nil {
		t.Errorf("a copy may be written to: %v", err)
	}
	if got := read(t, out, "4", "b", "a", "b.txt"); got != "content" {
		t.Errorf("a write to a copy shows elsewhere: %q", got)
	}
}

func TestDamageIsFoundAndMended(t *testing.T) {
	source := &counting{Artefacts: &drivertest.Artefacts{}}
	f := source.Put("a.txt", "content")
	dir, out := t.TempDir(), t.TempDir()
	if err := files.NewCache(dir, source).Lay(t.Context(), []workload.File{f}, out, files.Copy); err != nil {
		t.Fatal(err)
	}
	cached := filepath.Join(dir, f.SHA256[:2], f.SHA256)
	if err := os.Remove(cached); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cached, []byte("cOntent"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := files.NewCache(dir, source).Lay(t.Context(), []workload.File{f}, out, files.Copy); err != nil {
		t.Fatal(err)
	}
	if got := read(t, out, "a.txt"); got != "content" || source.opened.Load() != 2 {
		t.Errorf("%q after %d fetches", got, source.opened.Load())
	}
}

func TestSweepRemovesWhatWasNotUsedForLongest(t *testing.T) {
	source := &counting{Artefacts: &drivertest.Artefacts{}}
	dir := t.TempDir()
	cache := files.NewCache(dir, source)
	now := time.Now()
	var all []workload.File
	for i, name := range []string{"oldest", "older", "newer", "fresh"} {
		f := source.Put(name, strings.Repeat(name[:1], 100)+name)
		if err := cache.Lay(t.Context(), []workload.File{f}, filepath.Join(t.TempDir(), name), files.Link); err != nil {
			t.Fatal(err)
		}
		used := now.Add(time.Duration(i-3) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, f.SHA256[:2], f.SHA256), used, used); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	cut := filepath.Join(dir, all[0].SHA256[:2], ".fetch-1")
	if err := os.WriteFile(cut, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(cut, now.Add(-time.Hour), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	there := func() string {
		var names []string
		for _, f := range all {
			if _, err := os.Stat(filepath.Join(dir, f.SHA256[:2], f.SHA256)); err == nil {
				names = append(names, f.Path)
			}
		}
		return strings.Join(names, " ")
	}
	if swept := cache.Sweep(1000, nil, now); swept.Removed != 0 || swept.Unfinished != 1 || swept.Files != 4 {
		t.Errorf("within the limit: %+v", swept)
	}
	keep := map[string]bool{all[0].SHA256: true}
	if swept := cache.Sweep(330, keep, now); swept.Removed != 1 || there() != "oldest newer fresh" {
		t.Errorf("one too many: %+v, left %s", swept, there())
	}
	if cache.Sweep(0, keep, now); there() != "oldest fresh" {
		t.Errorf("what is kept, and what was just used, stays: %s", there())
	}
	if err := cache.Lay(t.Context(), all, t.TempDir(), files.Copy); err != nil || there() != "oldest older newer fresh" {
		t.Errorf("what was removed is fetched again: %v, %s", err, there())
	}
}

func TestWrongContentAndPathsAreRefused(t *testing.T) {
	source := &counting{Artefacts: &drivertest.Artefacts{}, wrong: true}
	f := source.Put("a.txt", "content")
	dir := t.TempDir()
	cache := files.NewCache(dir, source)
	if err := cache.Lay(t.Context(), []workload.File{f}, t.TempDir(), files.Copy); err == nil || !strings.Contains(err.Error(), "expected 7 bytes with SHA-256 "+f.SHA256+", got 14 bytes") {
		t.Errorf("wrong content: %v", err)
	}
	// A store that finds the damage itself knows only the size that it has.
	damaged := files.NewCache(t.TempDir(), knowing{})
	if err := damaged.Lay(t.Context(), []workload.File{f}, t.TempDir(), files.Copy); err == nil || !strings.Contains(err.Error(), "expected 7 bytes with SHA-256 "+f.SHA256+", got 3 bytes") {
		t.Errorf("content that the store knows to be damaged: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
	f.Path = "../a.txt"
	if err := cache.Lay(t.Context(), []workload.File{f}, t.TempDir(), files.Copy); err == nil || !strings.Contains(err.Error(), "leads out") {
		t.Errorf("wrong path: %v", err)
	}
}
