package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const (
	chunkBytes  = 1 << 20
	parallel    = 4
	maxAttempts = 8 // in a row without a byte of progress
	firstPause  = 100 * time.Millisecond
)

// Uploader sends contents.
type Uploader struct {
	Artefacts deployv1.ArtefactServiceClient
	Parent    string // workspaces/{workspace}
	// Progress hears how many bytes of how many are at the server; it may be nil.
	Progress func(sent, total int64)
}

// Upload brings the contents of all files, which must be hashed, to the server.
func (u *Uploader) Upload(ctx context.Context, files []File) error {
	contents := distinct(files)
	count := &counter{total: Size(contents), report: u.Progress}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, f := range contents {
		group.Go(func() error {
			if err := u.one(ctx, f, count); err != nil {
				return fmt.Errorf("upload %s: %w", f.Path, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func distinct(files []File) []File {
	seen := map[string]bool{}
	var out []File
	for _, f := range files {
		if !seen[f.SHA256] {
			seen[f.SHA256] = true
			out = append(out, f)
		}
	}
	return out
}

// counter adds up what all uploads have sent.
type counter struct {
	mu     sync.Mutex
	sent   int64
	total  int64
	report func(sent, total int64)
}

func (c *counter) add(n int64) {
	if c.report == nil || n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent += n
	c.report(c.sent, c.total)
}

// one uploads one content. After an interruption it asks how far the server got.
func (u *Uploader) one(ctx context.Context, f File, count *counter) error {
	content, err := os.Open(f.Local)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	var counted int64
	attempts := 0
	for {
		up, err := u.Artefacts.CreateUpload(ctx, &deployv1.CreateUploadRequest{
			Parent: u.Parent, Sha256: f.SHA256, SizeBytes: f.Size,
		})
		if err == nil {
			err = u.send(ctx, content, up, func(committed int64) {
				if committed > counted {
					count.add(committed - counted)
					counted, attempts = committed, 0
				}
			})
		}
		if err == nil {
			return nil
		}
		attempts++
		if !resumable(err) || attempts >= maxAttempts {
			return err
		}
		if err := pause(ctx, firstPause<<min(attempts, 5)); err != nil {
			return err
		}
	}
}

// send writes chunks until the upload is complete.
func (u *Uploader) send(ctx context.Context, content io.ReaderAt, up *deployv1.Upload, committed func(int64)) error {
	buf := make([]byte, min(chunkBytes, max(1, up.GetSizeBytes())))
	for {
		committed(up.GetCommittedBytes())
		if up.GetComplete() {
			committed(up.GetSizeBytes())
			return nil
		}
		n, err := content.ReadAt(buf, up.GetCommittedBytes())
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 && up.GetSizeBytes() > 0 {
			return errors.New("the file has become shorter while it was read; start again")
		}
		up, err = u.Artefacts.WriteUpload(ctx, &deployv1.WriteUploadRequest{
			Name: up.GetName(), Offset: up.GetCommittedBytes(), Data: buf[:n],
		})
		if status.Code(err) == codes.DataLoss {
			return fmt.Errorf("the file has changed while it was read; start again: %w", err)
		}
		if err != nil {
			return err
		}
	}
}

// resumable says whether to ask for the state of the upload and go on: the
// server was away, or has other bytes than was thought.
func resumable(err error) bool {
	return slices.Contains(
		[]codes.Code{codes.Unavailable, codes.OutOfRange, codes.Aborted, codes.ResourceExhausted}, status.Code(err))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
