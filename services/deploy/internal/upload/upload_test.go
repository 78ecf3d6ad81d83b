package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/artefact"
	"github.com/fairlead/fairlead/platform/store/memory"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
	"github.com/fairlead/fairlead/services/deploy/internal/upload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	dir       string
	artefacts *artefact.Store
	held      state.Contents
	now       time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	store, err := artefact.Open(t.Context(), "file://"+filepath.Join(dir, "artefacts")+"?create_dir=true")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &fixture{dir: dir, artefacts: store, held: state.NewContents(memory.New()), now: time.Now()}
}

// open opens the uploads as a process that has just started does.
func (f *fixture) open(t interface{ Fatal(...any) }) *upload.Uploads {
	u, err := upload.Open(upload.Config{Dir: filepath.Join(f.dir, "uploads"), TTL: time.Hour},
		upload.Deps{Logger: slog.New(slog.DiscardHandler), Contents: f.artefacts, Held: f.held, Clock: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// TestAnyCourseEndsWithTheContent uploads in random chunks, with restarts, with
// wrong offsets and with repeated beginnings in between.
func TestAnyCourseEndsWithTheContent(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")
		uploads := f.open(t)
		u, err := uploads.Create(ctx, "default", digest(data), int64(len(data)))
		for err == nil && !u.Complete {
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				uploads = f.open(t)
				u, err = uploads.Get(ctx, "default", u.ID())
			case 1:
				u, err = uploads.Create(ctx, "default", digest(data), int64(len(data)))
			case 2:
				if _, bad := uploads.Write(ctx, "default", u.ID(), u.Committed+1, nil); apierr.KindOf(bad) != apierr.OutOfRange {
					t.Fatalf("a wrong offset: %v", bad)
				}
			default:
				n := rapid.IntRange(0, len(data)-int(u.Committed)).Draw(t, "chunk")
				u, err = uploads.Write(ctx, "default", u.ID(), u.Committed, data[u.Committed:int(u.Committed)+n])
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := f.read(ctx, t, digest(data)); !bytes.Equal(got, data) || u.Committed != int64(len(data)) {
			t.Fatalf("stored %x, want %x; %+v", got, data, u)
		}
	})
	if left, _ := filepath.Glob(filepath.Join(f.dir, "uploads", "*", "*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

func (f *fixture) read(ctx context.Context, t interface{ Fatal(...any) }, digest string) []byte {
	r, _, err := f.artefacts.Open(ctx, digest)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDamagedContentIsDropped(t *testing.T) {
	f := newFixture(t)
	uploads := f.open(t)
	u, err := uploads.Create(t.Context(), "default", digest([]byte("right")), 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uploads.Write(t.Context(), "default", u.ID(), 0, []byte("wrong")); apierr.KindOf(err) != apierr.DataLoss {
		t.Errorf("got %v, want data loss", err)
	}
	if _, err := uploads.Get(t.Context(), "default", u.ID()); apierr.KindOf(err) != apierr.NotFound {
		t.Errorf("the upload is still there: %v", err)
	}
	if there, _ := f.artefacts.Has(t.Context(), u.SHA256); there {
		t.Error("the damaged content is stored")
	}
}

func TestContentOfTheWorkspaceIsComplete(t *testing.T) {
	f := newFixture(t)
	data := []byte("content")
	uploads := f.open(t)
	f.bring(t, uploads, "default", data)
	u, err := uploads.Create(t.Context(), "default", digest(data), 7)
	if err != nil || !u.Complete || u.Committed != 7 {
		t.Errorf("got %+v, %v", u, err)
	}
}

// bring uploads data as a whole.
func (f *fixture) bring(t *testing.T, uploads *upload.Uploads, workspace string, data []byte) {
	t.Helper()
	u, err := uploads.Create(t.Context(), workspace, digest(data), int64(len(data)))
	if err == nil && !u.Complete {
		u, err = uploads.Write(t.Context(), workspace, u.ID(), 0, data)
	}
	if err != nil || !u.Complete {
		t.Fatalf("%+v, %v", u, err)
	}
}

// A workspace that knows no more than the digest of a content of another one does
// not get it, and cannot tell that it is there.
func TestContentOfAnotherWorkspaceLooksAsIfItWasNotThere(t *testing.T) {
	f := newFixture(t)
	data := []byte("content")
	uploads := f.open(t)
	f.bring(t, uploads, "default", data)
	if _, err := uploads.Get(t.Context(), "other", digest(data)+"-7"); apierr.KindOf(err) != apierr.NotFound {
		t.Errorf("an upload that was never begun: %v", err)
	}
	u, err := uploads.Create(t.Context(), "other", digest(data), 7)
	if err != nil || u.Complete || u.Committed != 0 {
		t.Errorf("begun: %+v, %v", u, err)
	}
	if _, err := uploads.Write(t.Context(), "other", u.ID(), 0, []byte("invente")); apierr.KindOf(err) != apierr.DataLoss {
		t.Errorf("another content under the digest: %v", err)
	}
	if held, err := f.held.Held(t.Context(), "other", digest(data)); held || err != nil {
		t.Errorf("the workspace holds the content: %v, %v", held, err)
	}
	f.bring(t, uploads, "other", data)
	if u, err = uploads.Create(t.Context(), "other", digest(data), 7); err != nil || !u.Complete {
		t.Errorf("after it was brought in: %+v, %v", u, err)
	}
	if got := f.read(t.Context(), t, digest(data)); !bytes.Equal(got, data) {
		t.Errorf("the content is %q", got)
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	uploads := newFixture(t).open(t)
	u, err := uploads.Create(t.Context(), "default", digest([]byte("abc")), 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uploads.Write(t.Context(), "default", u.ID(), 0, []byte("abcd")); apierr.KindOf(err) != apierr.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if u, err = uploads.Get(t.Context(), "default", u.ID()); err != nil || u.Committed != 0 {
		t.Errorf("after the refusal: %+v, %v", u, err)
	}
}

func TestNamesCannotLeaveTheFolder(t *testing.T) {
	uploads := newFixture(t).open(t)
	for _, name := range [][2]string{{"default", "../../etc/passwd"}, {"..", digest(nil) + "-0"}, {"default", digest(nil)}, {"default", digest(nil) + "-99999999999999999999"}} {
		if _, err := uploads.Get(t.Context(), name[0], name[1]); apierr.KindOf(err) != apierr.NotFound {
			t.Errorf("%v: got %v", name, err)
		}
	}
}

func TestExpiredUploadsAreDropped(t *testing.T) {
	f := newFixture(t)
	uploads := f.open(t)
	u, err := uploads.Create(t.Context(), "default", digest([]byte("abc")), 3)
	if err != nil {
		t.Fatal(err)
	}
	uploads.Sweep(t.Context())
	if _, err := uploads.Get(t.Context(), "default", u.ID()); err != nil {
		t.Errorf("dropped before its time: %v", err)
	}
	f.now = f.now.Add(2 * time.Hour)
	uploads.Sweep(t.Context())
	if _, err := uploads.Get(t.Context(), "default", u.ID()); apierr.KindOf(err) != apierr.NotFound {
		t.Errorf("not dropped: %v", err)
	}
}

func TestWritersOfOneUploadTakeTurns(t *testing.T) {
	f := newFixture(t)
	uploads := f.open(t)
	data := bytes.Repeat([]byte("x"), 100)
	u, err := uploads.Create(t.Context(), "default", digest(data), 100)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for at := int64(0); at < 100; {
				now, err := uploads.Write(t.Context(), "default", u.ID(), at, data[at:at+1])
				if err != nil {
					now, err = uploads.Get(t.Context(), "default", u.ID())
				}
				if err != nil {
					t.Error(err)
					return
				}
				at = now.Committed
			}
		})
	}
	group.Wait()
	if got := f.read(t.Context(), t, digest(data)); !bytes.Equal(got, data) {
		t.Errorf("stored %q", got)
	}
}

func TestAFullFileIsFinishedAfterARestart(t *testing.T) {
	f := newFixture(t)
	uploads := f.open(t)
	data := []byte("abc")
	u, err := uploads.Create(t.Context(), "default", digest(data), 3)
	if err != nil {
		t.Fatal(err)
	}
	// The process dies after the last chunk and before the content is moved.
	if err := os.WriteFile(filepath.Join(f.dir, "uploads", "default", u.ID()+".part"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if u, err = f.open(t).Write(t.Context(), "default", u.ID(), 3, nil); err != nil || !u.Complete {
		t.Errorf("got %+v, %v", u, err)
	}
}
