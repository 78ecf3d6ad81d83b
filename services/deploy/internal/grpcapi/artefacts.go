package grpcapi

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/upload"
)

const (
	usualChunk = 1 << 20
	mostChunk  = 2 << 20
)

// Artefacts is the ArtefactService.
type Artefacts struct {
	deployv1.UnsafeArtefactServiceServer
	*server
}

var _ deployv1.ArtefactServiceServer = (*Artefacts)(nil)

// CreateUpload begins an upload, or finds the one under way.
func (s *Artefacts) CreateUpload(ctx context.Context, req *deployv1.CreateUploadRequest) (*deployv1.Upload, error) {
	parent, err := workspacePattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	u, err := s.deps.Uploads.Create(ctx, parent.Get("workspace"), req.GetSha256(), req.GetSizeBytes())
	return uploadTo(u, err)
}

// GetUpload gets an upload, to go on with it.
func (s *Artefacts) GetUpload(ctx context.Context, req *deployv1.GetUploadRequest) (*deployv1.Upload, error) {
	values, err := uploadPattern.Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	u, err := s.deps.Uploads.Get(ctx, values.Get("workspace"), values.Get("upload"))
	return uploadTo(u, err)
}

// WriteUpload writes the next chunk.
func (s *Artefacts) WriteUpload(ctx context.Context, req *deployv1.WriteUploadRequest) (*deployv1.Upload, error) {
	values, err := uploadPattern.Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	u, err := s.deps.Uploads.Write(ctx, values.Get("workspace"), values.Get("upload"), req.GetOffset(), req.GetData())
	return uploadTo(u, err)
}

// ReadArtefact reads a chunk of one file of a model version, or of the sources of
// an endpoint version.
func (s *Artefacts) ReadArtefact(ctx context.Context, req *deployv1.ReadArtefactRequest) (*deployv1.ReadArtefactResponse, error) {
	files, owner, err := s.filesOf(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	file, ok := bundle.Find(files, req.GetPath())
	if !ok {
		return nil, apierr.New(apierr.NotFound, "FILE_NOT_FOUND", "%s has no file %q", owner, req.GetPath())
	}
	limit := min(int64(req.GetLimit()), mostChunk)
	if limit == 0 {
		limit = usualChunk
	}
	data, size, err := s.deps.Contents.ReadAt(ctx, file.SHA256, req.GetOffset(), limit)
	if err != nil && apierr.KindOf(err) == apierr.NotFound {
		return nil, apierr.New(apierr.DataLoss, "CONTENT_LOST", "the content of %s of %s is not in the artefact store any more", file.Path, owner).Because(err)
	}
	if err != nil {
		return nil, err
	}
	return &deployv1.ReadArtefactResponse{Data: data, SizeBytes: size}, nil
}

// filesOf gives the files of what a name stands for, and what that is in words.
func (s *Artefacts) filesOf(ctx context.Context, name string) ([]bundle.File, string, error) {
	values, err := versionPattern.Parse(name)
	if err != nil {
		v, _, err := s.readModel(ctx, "name", name)
		return v.Files, "model " + v.ID(), err
	}
	e, _, err := s.deps.State.Endpoint(ctx, values.Get("workspace"), values.Get("endpoint"))
	if err != nil {
		return nil, "", err
	}
	v, err := e.Find(values.Get("version"))
	return v.Spec.SourceFiles, "version " + v.ID + " of endpoint " + e.ID, err
}

func uploadTo(u upload.Upload, err error) (*deployv1.Upload, error) {
	if err != nil {
		return nil, err
	}
	out := &deployv1.Upload{
		Name:   resourcename.Format("workspaces", u.Workspace, "uploads", u.ID()),
		Sha256: u.SHA256, SizeBytes: u.Size, CommittedBytes: u.Committed, Complete: u.Complete,
	}
	if !u.Expires.IsZero() {
		out.ExpireTime = timestamppb.New(u.Expires)
	}
	return out, nil
}
