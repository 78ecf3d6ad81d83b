package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/cmd/internal/upload"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(tb testing.TB, root string, files map[string]string) {
	tb.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestScan(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"a.pkl": "a", "sub/b.bin": "bb", ".hidden": "h", ".git/config": "g", "sub/__pycache__/c.pyc": "c", "alone/model.onnx": "m",
	})
	if err := os.MkdirAll(filepath.Join(root, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link": "a.pkl", "dangling": "nothere", "sub/up": ".."} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		path string
		want []upload.File
		fail bool
	}{
		"a file has its base name":  {path: "sub/b.bin", want: []upload.File{{Path: "b.bin", Size: 2}}},
		"a folder without its name": {path: "alone", want: []upload.File{{Path: "model.onnx", Size: 1}}},
		"links to files are taken, to folders not": {path: ".", want: []upload.File{
			{Path: ".hidden", Size: 1}, {Path: "a.pkl", Size: 1}, {Path: "alone/model.onnx", Size: 1}, {Path: "link", Size: 1}, {Path: "sub/b.bin", Size: 2},
		}},
		"an empty folder": {path: "empty", fail: true},
		"nothing":         {path: "nothere", fail: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := upload.Scan(filepath.Join(root, test.path))
			if (err != nil) != test.fail {
				t.Fatalf("got error %v", err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(upload.File{}, "Local")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// flaky is an artefact service that fails as it is told.
type flaky struct {
	deployv1.ArtefactServiceClient
	content []byte
	fail    func(write int) (kept float64, code codes.Code) // OK for none
	writes  int
}

func (f *flaky) CreateUpload(_ context.Context, req *deployv1.CreateUploadRequest, _ ...grpc.CallOption) (*deployv1.Upload, error) {
	return &deployv1.Upload{
		Name: "u", Sha256: req.GetSha256(), SizeBytes: req.GetSizeBytes(), CommittedBytes: int64(len(f.content)),
	}, nil
}

func (f *flaky) WriteUpload(_ context.Context, req *deployv1.WriteUploadRequest, _ ...grpc.CallOption) (*deployv1.Upload, error) {
	f.writes++
	if req.GetOffset() != int64(len(f.content)) {
		return nil, status.Error(codes.OutOfRange, "offset")
	}
	if kept, code := f.fail(f.writes); code != codes.OK {
		f.content = append(f.content, req.GetData()[:int(kept*float64(len(req.GetData())))]...)
		return nil, status.Error(code, "failed")
	}
	f.content = append(f.content, req.GetData()...)
	return &deployv1.Upload{Name: "u", CommittedBytes: int64(len(f.content))}, nil
}

func TestUploadArrivesWholeWhateverBreaks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(0, 3<<20).Draw(rt, "size")
		content := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		if err := os.WriteFile(path, content, 0o600); err != nil {
			rt.Fatal(err)
		}
		breaks := rapid.SliceOfN(rapid.Float64Range(0, 0.99), 0, 3).Draw(rt, "breaks")
		server := &sized{size: size, flaky: flaky{fail: func(n int) (float64, codes.Code) {
			if n <= len(breaks) {
				return breaks[n-1], codes.Unavailable
			}
			return 0, codes.OK
		}}}
		var sent, total int64
		up := &upload.Uploader{Artefacts: server, Parent: "workspaces/default", Progress: func(s, t int64) { sent, total = s, t }}
		files := []upload.File{{Path: "model", Local: path}}
		if err := upload.Hash(t.Context(), files); err != nil {
			rt.Fatal(err)
		}
		var err error
		synctest.Test(t, func(t *testing.T) { err = up.Upload(t.Context(), files) }) // its pauses take no time
		if err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(server.content, content) {
			rt.Fatalf("%d bytes arrived of %d", len(server.content), size)
		}
		if size > 0 && (sent != int64(size) || total != int64(size)) {
			rt.Fatalf("progress ended at %d of %d, want %d", sent, total, size)
		}
	})
}

// sized completes an upload when all bytes are there.
type sized struct {
	flaky
	size int
}

func (s *sized) CreateUpload(ctx context.Context, req *deployv1.CreateUploadRequest, opts ...grpc.CallOption) (*deployv1.Upload, error) {
	up, err := s.flaky.CreateUpload(ctx, req, opts...)
	up.Complete = s.writes > 0 && len(s.content) == s.size
	return up, err
}

func (s *sized) WriteUpload(ctx context.Context, req *deployv1.WriteUploadRequest, opts ...grpc.CallOption) (*deployv1.Upload, error) {
	up, err := s.flaky.WriteUpload(ctx, req, opts...)
	if err != nil {
		return nil, err
	}
	up.SizeBytes, up.Complete = int64(s.size), len(s.content) == s.size
	return up, nil
}

func TestUploadGivesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	write(t, filepath.Dir(path), map[string]string{"model": "content"})
	for name, code := range map[string]codes.Code{"on a changed file": codes.DataLoss, "on a refusal": codes.PermissionDenied} {
		t.Run(name, func(t *testing.T) {
			server := &flaky{fail: func(int) (float64, codes.Code) { return 0, code }}
			up := &upload.Uploader{Artefacts: server, Parent: "workspaces/default"}
			err := up.Upload(t.Context(), []upload.File{{Path: "model", Local: path, SHA256: "x", Size: 7}})
			if status.Code(err) != code || server.writes != 1 {
				t.Errorf("got %v after %d writes", err, server.writes)
			}
		})
	}
}

// reader serves one content.
type reader struct {
	deployv1.ArtefactServiceClient
	content []byte
}

func (r reader) ReadArtefact(_ context.Context, req *deployv1.ReadArtefactRequest, _ ...grpc.CallOption) (*deployv1.ReadArtefactResponse, error) {
	from := min(req.GetOffset(), int64(len(r.content)))
	return &deployv1.ReadArtefactResponse{Data: r.content[from:min(from+3, int64(len(r.content)))]}, nil
}

func TestDownload(t *testing.T) {
	content := []byte("some content")
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	tests := map[string]struct {
		path, digest string
		existing     string
		overwrite    bool
		fail         bool
	}{
		"into folders":              {path: "a/b/model", digest: digest},
		"replaces when told":        {path: "model", digest: digest, existing: "model", overwrite: true},
		"does not replace":          {path: "model", digest: digest, existing: "model", fail: true},
		"does not leave the folder": {path: "../escaped", digest: digest, fail: true},
		"refuses what is damaged":   {path: "model", digest: "other", fail: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "out")
			if test.existing != "" {
				write(t, root, map[string]string{test.existing: "old"})
			}
			model := &deployv1.ModelVersion{Name: "m", Files: []*deployv1.ArtefactFile{
				{Path: test.path, Sha256: test.digest, SizeBytes: int64(len(content))},
			}}
			err := (&upload.Downloader{Artefacts: reader{content: content}}).Download(t.Context(), model, root, test.overwrite)
			if (err != nil) != test.fail {
				t.Fatalf("got error %v", err)
			}
			got, readErr := os.ReadFile(filepath.Join(root, test.path))
			switch {
			case !test.fail && !bytes.Equal(got, content):
				t.Errorf("the file holds %q, %v", got, readErr)
			case test.fail && test.existing == "" && !errors.Is(readErr, os.ErrNotExist):
				t.Errorf("there is a file after a failure: %v", readErr)
			case test.fail && test.existing != "" && string(got) != "old":
				t.Errorf("the existing file has changed to %q", got)
			}
		})
	}
}
