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

// DefaultTarget is the compute target of an endpoint that names none.
const DefaultTarget = "local"

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
	Notes     []string      // what to know before they are sent
	// Environment is to be registered for the version, under EnvironmentID or a
	// name that the caller chooses; nil when none is.
	Environment   *deployv1.EnvironmentVersion
	EnvironmentID string
	// Planned is what would be registered, once it has been checked.
	Planned *deployv1.EnvironmentVersion
	Ignored []apierr.Violation

	scope          Scope
	needsScript    bool
	runtimeChanged bool // by a flag
	problems       []problem
	flags          *Flags
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
	// NeedsScript refuses what has no entry script; else the server does, where
	// it is needed.
	NeedsScript bool
}

// Make reads files and flags. An error means that it could not be done; what is
// wrong with the input is in the draft.
func (m Maker) Make(ctx context.Context, f *Flags) (*Draft, error) {
	d := &Draft{
		Endpoint: &deployv1.Endpoint{}, Version: &deployv1.EndpointVersion{},
		scope: m.Scope, flags: f, needsScript: m.NeedsScript,
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
	d.checkFlags(f)
	d.applyLabels()
	d.readModels()
	if err := d.collectSource(ctx, source); err != nil {
		return nil, err
	}
	return d, nil
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

// access takes over the flags that say who may score.
func (d *Draft) access(f *Flags) {
	mode, ok := f.AuthMode(d.Endpoint.GetAuthMode())
	if !ok {
		d.addProblem("--token-auth-enabled", nil, "--ae and --token-auth-enabled cannot both be true")
	}
	d.Endpoint.AuthMode = mode
}

// environment takes over the flags that name a registered environment, in place
// of what the inference configuration describes.
func (d *Draft) environment(f *Flags) {
	d.Environment = nil
	d.Version.Environment = f.Environment
	if f.EnvironmentVersion != "" {
		d.Version.Environment += ":" + f.EnvironmentVersion
	}
}

// runtime takes over --runtime; settings of another kind go with it.
func (d *Draft) runtime(f *Flags) {
	plain := strings.NewReplacer("-", "", "_", "")
	for number, name := range deployv1.Runtime_Kind_name {
		kind := deployv1.Runtime_Kind(number)
		if number == 0 || !strings.EqualFold(plain.Replace(strings.TrimPrefix(name, "KIND_")), plain.Replace(f.runtime)) {
			continue
		}
		if d.Version.GetRuntime().GetKind() != kind {
			d.Version.Runtime = &deployv1.Runtime{Kind: kind}
			d.runtimeChanged = true
		}
		return
	}
	d.addProblem("--runtime", []string{"version.runtime", "update_mask"}, "must be script, onnx, scikitLearn or custom, not %q", f.runtime)
}

// scaling takes over --as.
func (d *Draft) scaling(f *Flags) {
	if f.autoscale {
		d.autoscale(f)
		return
	}
	d.Version.Autoscale = nil
}

// autoscale gives the autoscaling, which takes the place of a fixed number that
// is not asked for by a flag.
func (d *Draft) autoscale(f *Flags) *deployv1.Autoscale {
	if !f.Changed("nr") && (f.autoscale || !f.Changed("as")) {
		d.Version.Replicas = 0
	}
	if d.Version.GetAutoscale() == nil {
		d.Version.Autoscale = &deployv1.Autoscale{}
	}
	return d.Version.GetAutoscale()
}

// fixed takes over --nr, which takes the place of autoscaling that is not asked
// for by a flag.
func (d *Draft) fixed(f *Flags) {
	d.Version.Replicas = f.replicas
	if !f.Changed("as") && !f.Changed("mi") && !f.Changed("ma") && !f.Changed("ar") && !f.Changed("at") {
		d.Version.Autoscale = nil
	}
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
