package integration

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

const chunk = 1 << 20

// TestUploads brings contents in, with everything that can go wrong on the way.
func TestUploads(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		t.Run("resumed", func(t *testing.T) { resumedUpload(t, i.In(t)) })
		t.Run("wrong content", func(t *testing.T) { wrongContent(t, i.In(t)) })
		t.Run("file", func(t *testing.T) { fileModel(t, i.In(t)) })
		t.Run("folder", func(t *testing.T) { folderModel(t, i.In(t)) })
	})
}

// randomBytes are the same for the same seed.
func randomBytes(seed byte, n int) []byte {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(content) // it never fails
	return content
}

// resumedUpload stops in the middle, kills the service, and goes on where it was.
func resumedUpload(t *testing.T, i *harness.Installation) {
	ctx := testContext(t)
	a := apiOf(i)
	content := randomBytes(1, 2*chunk+chunk/2)
	create := &deployv1.CreateUploadRequest{Parent: workspace, Sha256: digest(content), SizeBytes: int64(len(content))}
	u := must(a.artefacts.CreateUpload(ctx, create))(t)
	u = must(a.artefacts.WriteUpload(ctx, &deployv1.WriteUploadRequest{Name: u.GetName(), Data: content[:chunk]}))(t)
	if u.GetCommittedBytes() != chunk || u.GetComplete() {
		t.Fatalf("after one chunk the upload is %v", u)
	}
	_, err := a.artefacts.WriteUpload(ctx, &deployv1.WriteUploadRequest{Name: u.GetName(), Offset: 5, Data: content[5:6]})
	wantCode(t, err, codes.OutOfRange)

	i.Kill("deploy", syscall.SIGKILL)
	i.Restart("deploy")
	u = awaitUpload(t, i, u.GetName())
	if u.GetCommittedBytes() != chunk {
		t.Errorf("after a crash %d bytes are there, want the %d that were acknowledged", u.GetCommittedBytes(), chunk)
	}
	for !u.GetComplete() {
		from := u.GetCommittedBytes()
		data := content[from:min(int(from)+chunk, len(content))]
		u = must(a.artefacts.WriteUpload(ctx, &deployv1.WriteUploadRequest{Name: u.GetName(), Offset: from, Data: data}))(t)
	}
	if again := must(a.artefacts.CreateUpload(ctx, create))(t); !again.GetComplete() {
		t.Errorf("the same content again has to be uploaded: %v", again)
	}
}

// awaitUpload reads an upload as soon as the restarted service is reached.
func awaitUpload(t *testing.T, i *harness.Installation, name string) (u *deployv1.Upload) {
	t.Helper()
	harness.Eventually(t, 10*stepTimeout, "the upload can be read", func() (err error) {
		u, err = apiOf(i).artefacts.GetUpload(testContext(t), &deployv1.GetUploadRequest{Name: name})
		return err
	})
	return u
}

// wrongContent sends other bytes than were announced: they are dropped.
func wrongContent(t *testing.T, i *harness.Installation) {
	ctx := testContext(t)
	a := apiOf(i)
	content := randomBytes(2, 1000)
	create := &deployv1.CreateUploadRequest{Parent: workspace, Sha256: digest([]byte("other")), SizeBytes: int64(len(content))}
	u := must(a.artefacts.CreateUpload(ctx, create))(t)
	_, err := a.artefacts.WriteUpload(ctx, &deployv1.WriteUploadRequest{Name: u.GetName(), Data: content})
	wantCode(t, err, codes.DataLoss)
	if u = must(a.artefacts.CreateUpload(ctx, create))(t); u.GetComplete() || u.GetCommittedBytes() != 0 {
		t.Errorf("after wrong bytes the upload is %v, want it to begin anew", u)
	}
	_, err = a.models.RegisterModel(ctx, &deployv1.RegisterModelRequest{
		Parent: workspace, ModelId: "ghost",
		Files: []*deployv1.ArtefactFile{{Path: "ghost", Sha256: create.GetSha256(), SizeBytes: create.GetSizeBytes()}},
	})
	if err == nil {
		t.Error("a model of a file that is not there was registered")
	}
}

func fileModel(t *testing.T, i *harness.Installation) {
	content := randomBytes(3, 2*chunk+17)
	dir := writeFiles(t, map[string]string{"weights.bin": string(content)})
	m := &deployv1.ModelVersion{}
	unmarshal(t, i.Run("model", "register", "-n", "single", "-p", filepath.Join(dir, "weights.bin"), "-o", "json"), m)
	if m.GetId() != "single:1" || m.GetSizeBytes() != int64(len(content)) || len(m.GetFiles()) != 1 || m.GetFiles()[0].GetSha256() != digest(content) {
		t.Errorf("the model is %v", m)
	}
	target := t.TempDir()
	i.Run("model", "download", "-i", "single:1", "-t", target)
	got := readTree(t, target)
	if len(got) != 1 || !bytes.Equal([]byte(got["weights.bin"]), content) {
		t.Errorf("downloaded were %d files, or another content", len(got))
	}
}

func folderModel(t *testing.T, i *harness.Installation) {
	files := map[string]string{
		"model/config.json": `{"layers": 2}`, "model/weights/a.bin": string(randomBytes(4, 5000)),
		"model/weights/b.bin": string(randomBytes(5, 5000)), "model/empty": "",
	}
	dir := writeFiles(t, files)
	i.Run("model", "register", "-n", "folder", "-p", filepath.Join(dir, "model"))
	target := t.TempDir()
	i.Run("model", "download", "-i", "folder:1", "-t", target)
	want := map[string]string{}
	for name, content := range files {
		want[name[len("model/"):]] = content
	}
	got := map[string]string{}
	for name, content := range readTree(t, target) {
		if rest, ok := bytes.CutPrefix([]byte(name), []byte("model/")); ok {
			name = string(rest)
		}
		got[name] = content
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the downloaded folder (-want +got):\n%s", diff)
	}
}

// readTree reads all files of a folder.
func readTree(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		found[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
