package deployment

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// readFiles reads both configuration files and takes over what they say.
func (d *Draft) readFiles(ctx context.Context, m Maker) (source, error) {
	src := source{script: d.flags.EntryScript, folder: d.flags.SourceDirectory, config: d.flags.InferenceConfig}
	inference := d.readFile("--ic", d.flags.InferenceConfig, "version.entry_script", "version.source_files")
	deployment := d.readFile("--dc", d.flags.DeploymentConfig)
	src.unreadable = d.flags.InferenceConfig != "" && inference == nil
	if len(inference)+len(deployment) == 0 {
		return src, nil
	}
	req := &deployv1.ConvertConfigRequest{Parent: m.Parent, DeploymentConfig: deployment, InferenceConfig: inference}
	r, err := m.Endpoints.ConvertConfig(ctx, req)
	if err == nil && len(r.GetMissingFiles()) > 0 {
		d.addNamed(req, r, src)
		r, err = m.Endpoints.ConvertConfig(ctx, req)
	}
	if err != nil {
		return src, d.refused(err)
	}
	if src.script == "" {
		src.script = r.GetVersion().GetEntryScript()
	}
	d.take(r)
	if src.folder == "" && d.flags.EntryScript == "" {
		src.folder, src.folderFromFile = r.GetSourceDirectory(), r.GetSourceDirectory() != ""
	}
	return src, nil
}

// addNamed adds the files that the inference configuration names, relative to the
// source directory, to that configuration or to the current folder.
func (d *Draft) addNamed(req *deployv1.ConvertConfigRequest, r *deployv1.ConvertConfigResponse, src source) {
	req.Files = map[string][]byte{}
	if src.folder == "" {
		src.folder, src.folderFromFile = r.GetSourceDirectory(), true
	}
	for _, name := range r.GetMissingFiles() {
		content, err := readNamed(src, name)
		switch {
		case err == nil:
			req.Files[name] = content
			continue
		case !errors.Is(err, fs.ErrNotExist):
			d.addProblem("--ic", nil, "%v", err)
		}
		req.AbsentFiles = append(req.AbsentFiles, name)
	}
}

func readNamed(src source, name string) ([]byte, error) {
	if filepath.IsAbs(name) {
		return readConfig(name)
	}
	var folders []string
	for _, start := range starts(src) {
		folders = append(folders, resolve(start, src.folder), start)
	}
	for _, folder := range folders {
		content, err := readConfig(filepath.Join(folder, filepath.FromSlash(name)))
		if !errors.Is(err, fs.ErrNotExist) {
			return content, err
		}
	}
	return nil, fs.ErrNotExist
}

// take takes over what the old files say.
func (d *Draft) take(r *deployv1.ConvertConfigResponse) {
	if v := r.GetVersion(); v != nil {
		v.EntryScript = "" // collectSource finds it
		if len(v.GetEnvironmentVariables()) > 0 {
			d.Version.EnvironmentVariables = nil // replaced, not merged
		}
		if v.GetReplicas() != 0 || v.GetAutoscale() != nil {
			d.Version.Replicas, d.Version.Autoscale = 0, nil // one of them, as the file says
		}
		proto.Merge(d.Version, v)
	}
	if r.GetEndpoint() != nil {
		d.Endpoint = r.GetEndpoint()
	}
	d.Environment, d.EnvironmentID = r.GetEnvironment(), r.GetEnvironmentId()
	d.VersionID, d.Keys = r.GetVersionId(), r.GetKeys()
	if d.Endpoint.GetComputeTarget() == "" {
		d.Endpoint.ComputeTarget = r.GetComputeTargetId()
	}
	for _, v := range r.GetViolations() {
		if !d.overridden(v.GetField()) {
			field, covers := place(v.GetField())
			d.addProblem(field, covers, "%s", v.GetDescription())
		}
	}
	for _, v := range r.GetIgnored() {
		d.Ignored = append(d.Ignored, apierr.Violation{Field: v.GetField(), Description: v.GetDescription()})
	}
	d.noteEndpointSettings(r)
}

// noteEndpointSettings says what in a deployment configuration a version does not have.
func (d *Draft) noteEndpointSettings(r *deployv1.ConvertConfigResponse) {
	if d.scope == NewEndpoint {
		return
	}
	note := func(field string) {
		d.Ignored = append(d.Ignored, apierr.Violation{Field: field, Description: "belongs to the endpoint, not to a version"})
	}
	switch r.GetEndpoint().GetAuthMode() {
	case deployv1.Endpoint_AUTH_MODE_NONE:
		note("authEnabled")
	case deployv1.Endpoint_AUTH_MODE_TOKEN:
		note("tokenAuthEnabled")
	case deployv1.Endpoint_AUTH_MODE_KEY, deployv1.Endpoint_AUTH_MODE_UNSPECIFIED:
	}
	if r.GetEndpoint().GetTelemetryEnabled() {
		note("appInsightsEnabled")
	}
	if r.GetKeys().GetPrimaryKey() != "" || r.GetKeys().GetSecondaryKey() != "" {
		note("keys")
	}
	if r.GetComputeTargetId() != "" {
		note("computeTargetName")
	}
}
