package deployment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// maxConfigBytes is the most that the server reads of a configuration file.
const maxConfigBytes = 1 << 20

// converter is the part of the endpoint service that reads the old files.
type converter interface {
	ConvertConfig(context.Context, *deployv1.ConvertConfigRequest, ...grpc.CallOption) (*deployv1.ConvertConfigResponse, error)
}

// Scope says what the draft is for.
type Scope int

// The scopes.
const (
	NewEndpoint Scope = iota // an endpoint with its first version
	NewVersion
	VersionChange
)

// Draft is a request in the making.
type Draft struct {
	Endpoint  *deployv1.Endpoint
	VersionID string
	Version   *deployv1.EndpointVersion
	Keys      *deployv1.InitialKeys
	Files     []upload.File // the source files, hashed
	Ignored   []apierr.Violation

	scope    Scope
	problems []problem
	flags    *Flags
}

// problem is a violation that was found before the server was asked to create
// anything.
type problem struct {
	apierr.Violation
	covers []string // paths of the request that are wrong only because of it
}

// Maker makes drafts.
type Maker struct {
	Endpoints converter
	Parent    string // workspaces/{workspace}
	Scope     Scope
	Base      *deployv1.EndpointVersion // the version to change, as it is; else nil
}

// Make reads files and flags. An error means that it could not be done; what is
// wrong with the input is in the draft.
func (m Maker) Make(ctx context.Context, f *Flags) (*Draft, error) {
	d := &Draft{
		Endpoint: &deployv1.Endpoint{}, Version: &deployv1.EndpointVersion{},
		scope: m.Scope, flags: f,
	}
	proto.Merge(d.Version, m.Base)
	source, err := d.readFiles(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, s := range settings() {
		if s.apply != nil && f.Changed(s.flag) {
			s.apply(f, d)
		}
	}
	d.applyLabels()
	d.readModels()
	if err := d.collectSource(ctx, source); err != nil {
		return nil, err
	}
	return d, nil
}

// readFiles reads both configuration files and takes over what they say.
func (d *Draft) readFiles(ctx context.Context, m Maker) (source, error) {
	src := source{script: d.flags.EntryScript, folder: d.flags.SourceDirectory, config: d.flags.InferenceConfig}
	inference := d.readFile("--ic", d.flags.InferenceConfig, "version.entry_script", "version.source_files")
	deployment := d.readFile("--dc", d.flags.DeploymentConfig)
	src.unreadable = d.flags.InferenceConfig != "" && inference == nil
	if len(inference)+len(deployment) == 0 {
		return src, nil
	}
	r, err := m.Endpoints.ConvertConfig(ctx, &deployv1.ConvertConfigRequest{
		Parent: m.Parent, DeploymentConfig: deployment, InferenceConfig: inference,
	})
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

// refused takes over the violations of a conversion that was refused as a whole.
func (d *Draft) refused(err error) error {
	e := apierr.FromStatus(err)
	if len(e.Violations) == 0 {
		return err
	}
	for _, v := range e.Violations {
		d.problems = append(d.problems, problem{Violation: v})
	}
	return nil
}

func (d *Draft) readFile(flag, name string, covers ...string) []byte {
	if name == "" {
		return nil
	}
	content, err := readConfig(name)
	switch {
	case err == nil && len(content) > 0:
		return content
	case err == nil:
		d.addProblem(flag, covers, "%s is empty", name)
	case errors.Is(err, fs.ErrNotExist):
		d.addProblem(flag, covers, "there is no file %s", absolute(name))
	default:
		d.addProblem(flag, covers, "%v", err)
	}
	return nil
}

func readConfig(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxConfigBytes+1))
	if err == nil && len(content) > maxConfigBytes {
		err = fmt.Errorf("%s is larger than 1 MiB", name)
	}
	return content, err
}

// take takes over what the old files say.
func (d *Draft) take(r *deployv1.ConvertConfigResponse) {
	if v := r.GetVersion(); v != nil {
		v.EntryScript = "" // collectSource finds it
		if len(v.GetEnvironmentVariables()) > 0 {
			d.Version.EnvironmentVariables = nil // replaced, not merged
		}
		proto.Merge(d.Version, v)
	}
	if r.GetEndpoint() != nil {
		d.Endpoint = r.GetEndpoint()
	}
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
	if r.GetEndpoint().GetAuthMode() == deployv1.Endpoint_AUTH_MODE_NONE {
		note("authEnabled")
	}
	if r.GetKeys().GetPrimaryKey() != "" || r.GetKeys().GetSecondaryKey() != "" {
		note("keys")
	}
	if r.GetComputeTargetId() != "" {
		note("computeTargetName")
	}
}

// overridden says whether a flag replaces what a key of the old files says.
func (d *Draft) overridden(key string) bool {
	return slices.ContainsFunc(settings(), func(s setting) bool {
		return strings.EqualFold(s.key, key) && d.flags.Changed(s.flag)
	})
}

// place says what a key of the old files is called here, and which fields of
// the request are wrong only because it is.
func place(key string) (field string, covers []string) {
	switch key {
	case "inference_config": // the file as a whole
		return "--ic", scriptPaths()
	case "deployment_config":
		return "--dc", nil
	}
	for _, s := range settings() {
		if s.key != "" && strings.EqualFold(s.key, key) {
			return key, []string{s.path}
		}
	}
	return key, nil
}

func (d *Draft) applyLabels() {
	tags, properties := d.pairs("--tag", d.flags.Tags), d.pairs("--property", d.flags.Properties)
	switch d.scope {
	case VersionChange: // labels are added and removed one by one
		return
	case NewVersion:
		d.Version.Tags, d.Version.Properties = tags, properties
		return
	case NewEndpoint:
	}
	d.Endpoint.Tags, d.Endpoint.Properties = tags, properties
	if d.flags.Changed("description") {
		d.Endpoint.Description, d.Version.Description = d.flags.Description, ""
	}
}

func (d *Draft) pairs(flag string, words []string) map[string]string {
	if len(words) == 0 {
		return nil
	}
	pairs := map[string]string{}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			d.addProblem(flag, nil, "%q must be KEY=VALUE", w)
			continue
		}
		pairs[key] = value
	}
	return pairs
}

func (d *Draft) readModels() {
	if len(d.flags.Models)+len(d.flags.ModelFiles) > 0 {
		d.Version.Models = nil // of the version before the change
	}
	d.Version.Models = append(d.Version.Models, d.flags.Models...)
	for _, name := range d.flags.ModelFiles {
		content := d.readFile("-f", name)
		if content == nil {
			continue
		}
		var model struct {
			ModelID string `json:"modelId"`
			ID      string `json:"id"`
		}
		if err := json.Unmarshal(content, &model); err != nil || model.ModelID == "" && model.ID == "" {
			d.addProblem("-f", nil, "%s is not a file that `fairlead model register -t` wrote: it has no modelId", name)
			continue
		}
		if model.ModelID == "" {
			model.ModelID = model.ID
		}
		d.Version.Models = append(d.Version.Models, model.ModelID)
	}
}

func (d *Draft) addProblem(field string, covers []string, format string, args ...any) {
	d.problems = append(d.problems, problem{
		Violation: apierr.Violation{Field: field, Description: fmt.Sprintf(format, args...)}, covers: covers,
	})
}

func (d *Draft) resources() *deployv1.ReplicaResources {
	if d.Version.GetResources() == nil {
		d.Version.Resources = &deployv1.ReplicaResources{}
	}
	return d.Version.GetResources()
}

func (d *Draft) requests() *deployv1.RequestSettings {
	if d.Version.GetRequestSettings() == nil {
		d.Version.RequestSettings = &deployv1.RequestSettings{}
	}
	return d.Version.GetRequestSettings()
}

func (d *Draft) probe() *deployv1.Probe {
	if d.Version.GetLivenessProbe() == nil {
		d.Version.LivenessProbe = &deployv1.Probe{}
	}
	return d.Version.GetLivenessProbe()
}

func (d *Draft) keys() *deployv1.InitialKeys {
	if d.Keys == nil {
		d.Keys = &deployv1.InitialKeys{}
	}
	return d.Keys
}
