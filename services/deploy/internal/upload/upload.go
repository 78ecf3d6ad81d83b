// Package upload takes in contents chunk by chunk, so that a broken connection
// or a restart costs no more than the chunk under way.
//
// What has arrived of an upload is one file; its size is the committed offset,
// and there is no other state. With the last byte the content moves to the
// artefact store, which checks it against its digest; a content that the workspace
// has brought in before is complete at once. One that others have brought in is
// uploaded all the same: who knows no more than its digest must neither get at it
// nor learn that it is there. Uploads that nobody continues expire. Methods are
// safe for concurrent use; writes to one upload are done one after the other.
// Uploads under way belong to one process and its folder.
package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
)

// contents is where whole contents go.
type contents interface {
	Has(ctx context.Context, digest string) (bool, error)
	// Put fails with an error of kind DataLoss when r is not what was announced.
	Put(ctx context.Context, digest string, size int64, r io.Reader) error
}

// held knows which workspace has brought which content in.
type held interface {
	Held(ctx context.Context, workspace, digest string) (bool, error)
	Hold(ctx context.Context, workspace, digest string) error
}

// Upload is a content on its way in.
type Upload struct {
	Workspace string
	SHA256    string
	Size      int64
	Committed int64
	Complete  bool
	// Expires is zero for a complete upload.
	Expires time.Time
}

// ID identifies an upload within its workspace: two uploads of one content are
// the same upload.
func (u Upload) ID() string { return fmt.Sprintf("%s-%d", u.SHA256, u.Size) }

var (
	idPattern        = regexp.MustCompile(`^([0-9a-f]{64})-(0|[1-9][0-9]{0,17})$`)
	workspacePattern = regexp.MustCompile(`^[a-z0-9][-a-z0-9]{0,62}$`)
)

const partial = ".part"

// Config says where and how long unfinished uploads are kept.
type Config struct {
	Dir string
	TTL time.Duration
}

// Deps is what uploads need.
type Deps struct {
	Logger   *slog.Logger
	Contents contents
	Held     held
	Clock    func() time.Time
}

// Uploads are the uploads of this process. It is a component: Run drops the
// expired ones.
type Uploads struct {
	cfg   Config
	deps  Deps
	locks locks
}

// Open opens the folder of unfinished uploads.
func Open(cfg Config, deps Deps) (*Uploads, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the folder of uploads: %w", err)
	}
	return &Uploads{cfg: cfg, deps: deps, locks: newLocks()}, nil
}

// Create begins an upload, or gives the one that is under way or complete.
func (s *Uploads) Create(ctx context.Context, workspace, sha256 string, size int64) (Upload, error) {
	return s.with(ctx, Upload{Workspace: workspace, SHA256: sha256, Size: size}, func(u Upload, path string) (Upload, error) {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return Upload{}, fmt.Errorf("begin an upload: %w", err)
		}
		if err := file.Close(); err != nil {
			return Upload{}, fmt.Errorf("begin an upload: %w", err)
		}
		return s.finish(ctx, u, path)
	})
}

// Get gives an upload, to go on at what is committed.
func (s *Uploads) Get(ctx context.Context, workspace, id string) (Upload, error) {
	u, err := parse(workspace, id)
	if err != nil {
		return Upload{}, err
	}
	return s.with(ctx, u, func(u Upload, path string) (Upload, error) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return Upload{}, notFound(u)
		}
		return u, nil
	})
}

// Write adds a chunk at the committed offset. The last chunk completes the
// upload; an empty chunk at the end tries that again.
func (s *Uploads) Write(ctx context.Context, workspace, id string, offset int64, data []byte) (Upload, error) {
	u, err := parse(workspace, id)
	if err != nil {
		return Upload{}, err
	}
	return s.with(ctx, u, func(u Upload, path string) (Upload, error) {
		file, err := os.OpenFile(path, os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return Upload{}, notFound(u)
		}
		if err != nil {
			return Upload{}, fmt.Errorf("go on with an upload: %w", err)
		}
		err = appendChunk(file, u, offset, data)
		if err := errors.Join(err, file.Close()); err != nil {
			return Upload{}, err
		}
		u.Committed += int64(len(data))
		u.Expires = s.deps.Clock().Add(s.cfg.TTL)
		return s.finish(ctx, u, path)
	})
}

// appendChunk writes all of data or nothing.
func appendChunk(file *os.File, u Upload, offset int64, data []byte) error {
	if offset != u.Committed {
		return apierr.New(apierr.OutOfRange, "WRONG_OFFSET", "offset is %d, but %d bytes have arrived: go on there", offset, u.Committed).
			With("committed_bytes", strconv.FormatInt(u.Committed, 10))
	}
	if offset+int64(len(data)) > u.Size {
		return apierr.Invalid(apierr.Violation{Field: "data", Description: fmt.Sprintf("goes %d bytes beyond the announced size of %d", offset+int64(len(data))-u.Size, u.Size)})
	}
	if _, err := file.WriteAt(data, offset); err != nil {
		return fmt.Errorf("write a chunk: %w", errors.Join(err, file.Truncate(offset)))
	}
	return nil
}

// with runs fn for one upload alone, with what is known of it. A content that the
// workspace has already needs no fn.
func (s *Uploads) with(ctx context.Context, u Upload, fn func(Upload, string) (Upload, error)) (Upload, error) {
	if !workspacePattern.MatchString(u.Workspace) {
		return Upload{}, apierr.New(apierr.NotFound, "UPLOAD_NOT_FOUND", "there is no workspace %q", u.Workspace)
	}
	dir := filepath.Join(s.cfg.Dir, u.Workspace)
	path := filepath.Join(dir, u.ID()+partial)
	unlock, err := s.locks.lock(ctx, path)
	if err != nil {
		return Upload{}, err
	}
	defer unlock()
	whole, err := s.deps.Held.Held(ctx, u.Workspace, u.SHA256)
	if err == nil && whole {
		whole, err = s.deps.Contents.Has(ctx, u.SHA256)
	}
	if err != nil {
		return Upload{}, err
	}
	if whole {
		return s.completed(u, path)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Upload{}, fmt.Errorf("open the folder of uploads: %w", err)
	}
	u.Expires = s.deps.Clock().Add(s.cfg.TTL)
	if info, err := os.Stat(path); err == nil {
		u.Committed, u.Expires = info.Size(), info.ModTime().Add(s.cfg.TTL)
	}
	return fn(u, path)
}

// finish moves a content of which everything has arrived to the artefact store.
func (s *Uploads) finish(ctx context.Context, u Upload, path string) (Upload, error) {
	if u.Committed < u.Size {
		return u, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return Upload{}, fmt.Errorf("finish an upload: %w", err)
	}
	err = s.deps.Contents.Put(ctx, u.SHA256, u.Size, file)
	err = errors.Join(err, file.Close())
	if apierr.KindOf(err) == apierr.DataLoss {
		return Upload{}, errors.Join(err, os.Remove(path))
	}
	if err == nil {
		err = s.deps.Held.Hold(ctx, u.Workspace, u.SHA256)
	}
	if err != nil {
		return Upload{}, err
	}
	return s.completed(u, path)
}

func (s *Uploads) completed(u Upload, path string) (Upload, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.deps.Logger.Warn("a finished upload's file could not be removed", "path", path, "error", err)
	}
	u.Committed, u.Complete, u.Expires = u.Size, true, time.Time{}
	return u, nil
}

// Run drops expired uploads until ctx ends.
func (s *Uploads) Run(ctx context.Context) error {
	every := time.NewTicker(min(max(s.cfg.TTL/4, time.Second), time.Hour))
	defer every.Stop()
	for {
		s.Sweep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// Sweep drops the uploads that have expired.
func (s *Uploads) Sweep(ctx context.Context) {
	files, _ := filepath.Glob(filepath.Join(s.cfg.Dir, "*", "*"+partial))
	for _, path := range files {
		unlock, err := s.locks.lock(ctx, path)
		if err != nil {
			return
		}
		info, err := os.Stat(path)
		if err == nil && s.deps.Clock().After(info.ModTime().Add(s.cfg.TTL)) {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.deps.Logger.Warn("an expired upload could not be dropped", "path", path, "error", err)
		}
		unlock()
	}
}

func parse(workspace, id string) (Upload, error) {
	m := idPattern.FindStringSubmatch(id)
	if m == nil {
		return Upload{}, notFound(Upload{Workspace: workspace, SHA256: strings.ToValidUTF8(id, "?")})
	}
	size, err := strconv.ParseInt(m[2], 10, 64)
	if err != nil {
		return Upload{}, notFound(Upload{Workspace: workspace, SHA256: m[1]})
	}
	return Upload{Workspace: workspace, SHA256: m[1], Size: size}, nil
}

func notFound(u Upload) error {
	return apierr.New(apierr.NotFound, "UPLOAD_NOT_FOUND", "there is no upload of %s: it was never begun, has expired, or failed its check; begin again", u.SHA256)
}
