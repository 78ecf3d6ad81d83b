package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Downloader brings files from the server to a folder.
type Downloader struct {
	Artefacts deployv1.ArtefactServiceClient
	// Progress hears how many bytes have arrived; it may be nil.
	Progress func(received, total int64)
}

// Download writes all files under folder, which it makes. A file appears under
// its name only when it is whole and checked. Paths cannot lead out of folder.
func (d *Downloader) Download(ctx context.Context, model *deployv1.ModelVersion, folder string, overwrite bool) error {
	return d.Files(ctx, model.GetName(), model.GetFiles(), folder, overwrite)
}

// Files is Download for the files of a model version, or of the sources of an
// endpoint version, by its resource name.
func (d *Downloader) Files(ctx context.Context, owner string, files []*deployv1.ArtefactFile, folder string, overwrite bool) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if !overwrite {
		if err := refuseExisting(root, files, folder); err != nil {
			return err
		}
	}
	var received, total int64
	for _, f := range files {
		total += f.GetSizeBytes()
	}
	for _, f := range files {
		if err := d.one(ctx, root, owner, f, func(n int) {
			received += int64(n)
			if d.Progress != nil {
				d.Progress(received, total)
			}
		}); err != nil {
			return fmt.Errorf("download %s: %w", f.GetPath(), err)
		}
	}
	return nil
}

func refuseExisting(root *os.Root, files []*deployv1.ArtefactFile, folder string) error {
	for _, f := range files {
		_, err := root.Lstat(f.GetPath())
		if err == nil {
			return fmt.Errorf("%s exists in %s; replace it with --overwrite", f.GetPath(), folder)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (d *Downloader) one(ctx context.Context, root *os.Root, owner string, f *deployv1.ArtefactFile, got func(int)) (err error) {
	if dir := path.Dir(f.GetPath()); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	partial := f.GetPath() + ".partial"
	out, err := root.Create(partial)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(partial)
		}
	}()
	digest := sha256.New()
	err = d.copyTo(ctx, out, digest, owner, f, got)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(digest.Sum(nil)); sum != f.GetSha256() {
		return fmt.Errorf("what arrived is damaged: its digest is %s, not %s", sum, f.GetSha256())
	}
	return root.Rename(partial, f.GetPath())
}

func (d *Downloader) copyTo(ctx context.Context, out *os.File, digest hash.Hash, owner string, f *deployv1.ArtefactFile, got func(int)) error {
	attempts := 0
	for offset := int64(0); offset < f.GetSizeBytes(); {
		r, err := d.Artefacts.ReadArtefact(ctx, &deployv1.ReadArtefactRequest{
			Name: owner, Path: f.GetPath(), Offset: offset, Limit: chunkBytes,
		})
		if status.Code(err) == codes.Unavailable && attempts < maxAttempts {
			attempts++
			if err := pause(ctx, firstPause<<min(attempts, 5)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if len(r.GetData()) == 0 {
			return fmt.Errorf("the content ended after %d of %d bytes", offset, f.GetSizeBytes())
		}
		if _, err := out.Write(r.GetData()); err != nil {
			return err
		}
		_, _ = digest.Write(r.GetData()) // never fails
		attempts = 0
		offset += int64(len(r.GetData()))
		got(len(r.GetData()))
	}
	return nil
}
