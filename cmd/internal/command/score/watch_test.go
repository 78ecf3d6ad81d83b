package score

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/cmd/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A caller is never refused while scripts are loaded anew; a broken one says why
// and a mended one answers.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "score.py")
	writeScript(t, script, "def init(): pass\ndef run(data): return 'first'\n")
	stdout, stderr := &buffer{}, &buffer{}
	s := session.New(session.Deps{
		Streams: session.Streams{Out: stdout, Err: stderr}, Getenv: func(string) string { return "" }, Version: "test", Now: time.Now,
	})
	r, err := settings{script: script, listen: "127.0.0.1:0"}.prepare(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if r.stderr, err = os.Create(filepath.Join(t.TempDir(), "stderr")); err != nil {
		t.Fatal(err)
	}
	defer r.stderr.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.watch(ctx) }()
	address := "http://" + stderr.after(t, "serving at http://")

	await(t, address, http.StatusOK, `"first"`)
	if got := stdout.String(); got != "ready\n" {
		t.Errorf("stdout is %q, want the line ready", got)
	}
	writeScript(t, script, "def init(): pass\ndef run(data): return 'second one'\n")
	await(t, address, http.StatusOK, `"second one"`)
	writeScript(t, script, "def init(): pass\ndef run(data:\n")
	await(t, address, http.StatusServiceUnavailable, "SyntaxError")
	writeScript(t, script, "def init(): pass\ndef run(data): return 'mended'\n")
	await(t, address, http.StatusOK, `"mended"`)
	if got := stdout.String(); got != "ready\n" {
		t.Errorf("stdout is %q, want the line ready once", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
}

func TestWatchedFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"src/score.py", "src/lib/a.py", "src/config.json", "src/out.txt", "src/__pycache__/x.py", "src/.git/y.py", "model/m.pkl"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		writeScript(t, path, name)
	}
	seen := watched{source: filepath.Join(dir, "src"), model: filepath.Join(dir, "model")}.look()
	var names []string
	for _, path := range differing(files{}, seen) {
		names = append(names, strings.TrimPrefix(path, dir+"/"))
	}
	want := []string{"model/m.pkl", "src/config.json", "src/lib/a.py", "src/score.py"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files that count (-want +got):\n%s", diff)
	}
	if got := differing(seen, files{}); len(got) != len(want) {
		t.Errorf("files that are gone: %v", got)
	}
}

func writeScript(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// await asks until the answer has the status and the text.
func await(t *testing.T, address string, status int, text string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		switch {
		case errors.Is(err, io.EOF) || err != nil && strings.Contains(err.Error(), "reset by peer"):
			continue // it came in the moment of a change
		case err != nil:
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode == status && bytes.Contains(body, []byte(text)) {
			return
		}
	}
}

// buffer is what a command has written.
type buffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written != nil {
		close(b.written)
		b.written = nil
	}
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// after waits for a line that begins with prefix and gives the rest of it.
func (b *buffer) after(t *testing.T, prefix string) string {
	t.Helper()
	for {
		b.mu.Lock()
		text := b.text.String()
		more := make(chan struct{})
		b.written = more
		b.mu.Unlock()
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(rest, "\n") {
				return strings.TrimSuffix(rest, "\n")
			}
		}
		select {
		case <-more:
		case <-t.Context().Done():
			t.Fatal("the line never came")
		}
	}
}
