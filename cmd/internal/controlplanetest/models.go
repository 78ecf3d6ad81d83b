package controlplanetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

type modelService struct {
	deployv1.UnimplementedModelServiceServer
	s *Server
}

func (m modelService) RegisterModel(_ context.Context, req *deployv1.RegisterModelRequest) (*deployv1.ModelVersion, error) {
	if strings.HasPrefix(req.GetModelId(), "-") {
		return nil, apierr.Invalid(apierr.Violation{Field: "model_id", Description: "must start with a letter or digit"})
	}
	for i, f := range req.GetFiles() {
		if _, ok := m.s.contents[f.GetSha256()]; !ok {
			return nil, apierr.Invalid(apierr.Violation{Field: fmt.Sprintf("files[%d]", i), Description: "its content has not been uploaded"})
		}
	}
	v := req.GetModelVersion()
	number := int64(len(m.s.models[req.GetModelId()]) + 1)
	v.Name = fmt.Sprintf("%s/models/%s/versions/%d", Parent, req.GetModelId(), number)
	v.Id = fmt.Sprintf("%s:%d", req.GetModelId(), number)
	v.Model, v.Version, v.Files, v.Etag = req.GetModelId(), number, req.GetFiles(), "m1"
	v.CreateTime, v.CreatedBy = timestamppb.New(Now()), "admin"
	for _, f := range v.GetFiles() {
		v.SizeBytes += f.GetSizeBytes()
	}
	if !req.GetValidateOnly() {
		m.s.models[v.GetModel()] = append(m.s.models[v.GetModel()], v)
	}
	return v, nil
}

func (m modelService) ListModels(context.Context, *deployv1.ListModelsRequest) (*deployv1.ListModelsResponse, error) {
	r := &deployv1.ListModelsResponse{}
	for _, versions := range m.s.models {
		r.Models = append(r.Models, versions[len(versions)-1])
	}
	slices.SortFunc(r.GetModels(), func(a, b *deployv1.ModelVersion) int { return strings.Compare(a.GetName(), b.GetName()) })
	return r, nil
}

func (m modelService) ListModelVersions(_ context.Context, req *deployv1.ListModelVersionsRequest) (*deployv1.ListModelVersionsResponse, error) {
	versions := slices.Clone(m.s.models[strings.TrimPrefix(req.GetParent(), Parent+"/models/")])
	slices.Reverse(versions)
	return &deployv1.ListModelVersionsResponse{ModelVersions: versions}, nil
}

func (m modelService) GetModelVersion(_ context.Context, req *deployv1.GetModelVersionRequest) (*deployv1.ModelVersion, error) {
	parts := strings.Split(req.GetName(), "/")
	if v := m.s.model(parts[3], parts[5]); v != nil {
		return v, nil
	}
	return nil, notFound("model", parts[3]+":"+parts[5])
}

// model gives a version of a model; nil when there is none.
func (s *Server) model(name, version string) *deployv1.ModelVersion {
	versions := s.models[name]
	if version == "latest" || version == "" {
		version = strconv.Itoa(len(versions))
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 1 || n > len(versions) {
		return nil
	}
	return versions[n-1]
}

func (m modelService) UpdateModelVersion(_ context.Context, req *deployv1.UpdateModelVersionRequest) (*deployv1.ModelVersion, error) {
	parts := strings.Split(req.GetModelVersion().GetName(), "/")
	v := m.s.model(parts[3], parts[5])
	if v.GetEtag() == "m1" { // somebody else is faster, once
		v.Etag = "m2"
		return nil, apierr.New(apierr.Conflict, "ETAG_MISMATCH", "the resource has changed since it was read")
	}
	for _, p := range req.GetUpdateMask().GetPaths() {
		switch p {
		case "tags":
			v.Tags = req.GetModelVersion().GetTags()
		case "properties":
			v.Properties = req.GetModelVersion().GetProperties()
		case "description":
			v.Description = req.GetModelVersion().GetDescription()
		}
	}
	return v, nil
}

func (m modelService) DeleteModelVersion(_ context.Context, req *deployv1.DeleteModelVersionRequest) (*deployv1.DeleteModelVersionResponse, error) {
	return nil, apierr.New(apierr.FailedPrecondition, "MODEL_IN_USE", "%s is used by endpoint diabetes", req.GetName())
}

type artefactService struct {
	deployv1.UnimplementedArtefactServiceServer
	s *Server
}

func (a artefactService) CreateUpload(_ context.Context, req *deployv1.CreateUploadRequest) (*deployv1.Upload, error) {
	up := &deployv1.Upload{Name: Parent + "/uploads/" + req.GetSha256()[:12], Sha256: req.GetSha256(), SizeBytes: req.GetSizeBytes()}
	if _, ok := a.s.contents[req.GetSha256()]; ok {
		up.CommittedBytes, up.Complete = req.GetSizeBytes(), true
		return up, nil
	}
	if old, ok := a.s.uploads[up.GetName()]; ok {
		return old, nil
	}
	a.s.uploads[up.GetName()] = up
	return up, nil
}

func (a artefactService) WriteUpload(_ context.Context, req *deployv1.WriteUploadRequest) (*deployv1.Upload, error) {
	up := a.s.uploads[req.GetName()]
	if req.GetOffset() != up.GetCommittedBytes() {
		return nil, apierr.New(apierr.OutOfRange, "OFFSET", "the offset must be %d", up.GetCommittedBytes())
	}
	a.s.writes++
	data := req.GetData()
	broken := a.s.failWrites[a.s.writes]
	if broken {
		data = data[:len(data)/2]
	}
	a.s.partial[req.GetName()] = append(a.s.partial[req.GetName()], data...)
	up.CommittedBytes += int64(len(data))
	if broken {
		return nil, apierr.New(apierr.Unavailable, "AWAY", "the server is away")
	}
	if up.GetCommittedBytes() < up.GetSizeBytes() {
		return up, nil
	}
	content := a.s.partial[req.GetName()]
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != up.GetSha256() {
		delete(a.s.uploads, req.GetName())
		return nil, apierr.New(apierr.DataLoss, "DIGEST", "the content does not have the digest")
	}
	a.s.contents[up.GetSha256()] = content
	up.Complete = true
	return up, nil
}

func (a artefactService) ReadArtefact(_ context.Context, req *deployv1.ReadArtefactRequest) (*deployv1.ReadArtefactResponse, error) {
	parts := strings.Split(req.GetName(), "/")
	for _, f := range a.s.model(parts[3], parts[5]).GetFiles() {
		if f.GetPath() == req.GetPath() {
			content := a.s.contents[f.GetSha256()]
			from := min(req.GetOffset(), int64(len(content)))
			to := min(from+int64(req.GetLimit()), int64(len(content)))
			return &deployv1.ReadArtefactResponse{Data: content[from:to], SizeBytes: int64(len(content))}, nil
		}
	}
	return nil, notFound("file", req.GetPath())
}
