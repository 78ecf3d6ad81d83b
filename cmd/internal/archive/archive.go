// Package archive is the folder that `fairlead export` writes and `fairlead
// import` reads: workspaces with their compute targets, models, environments and
// endpoints, as files that people and version control can read.
//
//	export.yaml                                  says that this is an export
//	WORKSPACE/workspace.yaml
//	WORKSPACE/computetargets.yaml
//	WORKSPACE/models/NAME/VERSION/model.yaml     with the digest of each file
//	WORKSPACE/models/NAME/VERSION/files/…
//	WORKSPACE/environments/NAME/VERSION.yaml
//	WORKSPACE/endpoints/NAME.yaml                as `fairlead apply` reads it
//	WORKSPACE/endpoints/NAME/VERSION/…           its sources
//	WORKSPACE/keys.yaml                          only when asked for
//
// What the path says is not in the file. The same state gives the same bytes. A
// folder appears when it is whole. Reading is strict and tells all problems at
// once. Nothing here is safe for concurrent use, or talks to a server.
package archive

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Format is the one that is written and read.
const Format = 1

// Names of files and folders.
const (
	headFile          = "export.yaml"
	workspaceFile     = "workspace.yaml"
	targetsFile       = "computetargets.yaml"
	modelFile         = "model.yaml"
	keysFile          = "keys.yaml"
	modelsFolder      = "models"
	filesFolder       = "files"
	environmentFolder = "environments"
	endpointsFolder   = "endpoints"
)

type head struct {
	Kind   string `yaml:"kind"`
	Format int    `yaml:"format"`
}

const headKind = "FairleadExport"

// Workspace is a workspace with all that is in it.
type Workspace struct {
	ID           string              `yaml:"-"`
	Description  string              `yaml:"description,omitempty"`
	Tags         map[string]string   `yaml:"tags,omitempty"`
	Targets      []Target            `yaml:"-"`
	Models       []Model             `yaml:"-"` // by name, then by number
	Environments []Environment       `yaml:"-"` // by name, then by number
	Endpoints    []manifest.Endpoint `yaml:"-"`
	Keys         map[string]Keys     `yaml:"-"` // by endpoint
}

// Target is a compute target that can be created.
type Target struct {
	Name        string            `yaml:"name"`
	Description string            `yaml:"description,omitempty"`
	Tags        map[string]string `yaml:"tags,omitempty"`
	Purpose     string            `yaml:"purpose"` // FastProd or DevTest
	NodeSize    string            `yaml:"nodeSize"`
	NodeCount   int32             `yaml:"nodeCount"`
}

// DevTest and FastProd are what clusters are for.
const (
	DevTest  = "DevTest"
	FastProd = "FastProd"
)

// TargetOf describes a compute target.
func TargetOf(name string, t *computev1.ComputeTarget) Target {
	purpose := FastProd
	if t.GetPurpose() == computev1.ComputeTarget_PURPOSE_DEV_TEST {
		purpose = DevTest
	}
	return Target{
		Name: name, Description: t.GetDescription(), Tags: t.GetTags(),
		Purpose: purpose, NodeSize: t.GetNodeSize(), NodeCount: t.GetNodeCount(),
	}
}

// Message gives the target as the API wants it.
func (t Target) Message() *computev1.ComputeTarget {
	purpose := computev1.ComputeTarget_PURPOSE_FAST_PROD
	if t.Purpose == DevTest {
		purpose = computev1.ComputeTarget_PURPOSE_DEV_TEST
	}
	return &computev1.ComputeTarget{
		Description: t.Description, Tags: t.Tags, Purpose: purpose, NodeSize: t.NodeSize, NodeCount: t.NodeCount,
	}
}

// Model is a version of a model.
type Model struct {
	Name             string            `yaml:"-"`
	Number           int64             `yaml:"-"`
	Description      string            `yaml:"description,omitempty"`
	Tags             map[string]string `yaml:"tags,omitempty"`
	Properties       map[string]string `yaml:"properties,omitempty"`
	Framework        string            `yaml:"framework,omitempty"`
	FrameworkVersion string            `yaml:"frameworkVersion,omitempty"`
	// Digests are the files' SHA-256, by path.
	Digests map[string]string `yaml:"files"`
	// Files are those on this machine, by path; set by Read.
	Files []upload.File `yaml:"-"`
}

// ModelOf describes a version of a model.
func ModelOf(v *deployv1.ModelVersion) Model {
	m := Model{
		Name: v.GetModel(), Number: v.GetVersion(), Description: v.GetDescription(), Tags: v.GetTags(), Properties: v.GetProperties(),
		Framework: v.GetFramework(), FrameworkVersion: v.GetFrameworkVersion(), Digests: map[string]string{},
	}
	for _, f := range v.GetFiles() {
		m.Digests[f.GetPath()] = f.GetSha256()
	}
	return m
}

// Message gives the model as the API wants it.
func (m Model) Message() *deployv1.ModelVersion {
	return &deployv1.ModelVersion{
		Description: m.Description, Tags: m.Tags, Properties: m.Properties, Framework: m.Framework, FrameworkVersion: m.FrameworkVersion,
	}
}

// Environment is a version of an environment.
type Environment struct {
	Name                    string            `yaml:"-"`
	Number                  int64             `yaml:"-"`
	Description             string            `yaml:"description,omitempty"`
	Tags                    map[string]string `yaml:"tags,omitempty"`
	EnvironmentVariables    map[string]string `yaml:"environmentVariables,omitempty"`
	Python                  Python            `yaml:"python,omitempty"`
	Docker                  Docker            `yaml:"docker,omitempty"`
	InferencingStackVersion string            `yaml:"inferencingStackVersion,omitempty"`
}

// Python is the interpreter of an environment with its packages.
type Python struct {
	CondaChannels     []string `yaml:"condaChannels,omitempty"`
	CondaDependencies []string `yaml:"condaDependencies,omitempty"`
	PipRequirements   []string `yaml:"pipRequirements,omitempty"`
	InterpreterPath   string   `yaml:"interpreterPath,omitempty"`
	UserManaged       bool     `yaml:"userManaged,omitempty"`
}

// Docker is the image of an environment.
type Docker struct {
	BaseImage       string   `yaml:"baseImage,omitempty"`
	BaseDockerfile  string   `yaml:"baseDockerfile,omitempty"`
	RegistryAddress string   `yaml:"registryAddress,omitempty"`
	RegistryUser    string   `yaml:"registryUser,omitempty"`
	ShmSize         string   `yaml:"shmSize,omitempty"`
	Arguments       []string `yaml:"arguments,omitempty"`
}

// EnvironmentOf describes a version of an environment.
func EnvironmentOf(v *deployv1.EnvironmentVersion) Environment {
	python, docker := v.GetPython(), v.GetDocker()
	return Environment{
		Name: v.GetEnvironment(), Number: v.GetVersion(), Description: v.GetDescription(), Tags: v.GetTags(),
		EnvironmentVariables: v.GetEnvironmentVariables(), InferencingStackVersion: v.GetInferencingStackVersion(),
		Python: Python{
			CondaChannels: python.GetCondaChannels(), CondaDependencies: python.GetCondaDependencies(),
			PipRequirements: python.GetPipRequirements(), InterpreterPath: python.GetInterpreterPath(), UserManaged: python.GetUserManaged(),
		},
		Docker: Docker{
			BaseImage: docker.GetBaseImage(), BaseDockerfile: docker.GetBaseDockerfile(), ShmSize: docker.GetShmSize(), Arguments: docker.GetArguments(),
			RegistryAddress: docker.GetRegistry().GetAddress(), RegistryUser: docker.GetRegistry().GetUsername(),
		},
	}
}

// Message gives the environment as the API wants it.
func (e Environment) Message() *deployv1.EnvironmentVersion {
	out := &deployv1.EnvironmentVersion{
		Description: e.Description, Tags: e.Tags, EnvironmentVariables: e.EnvironmentVariables, InferencingStackVersion: e.InferencingStackVersion,
		Python: &deployv1.EnvironmentPython{
			CondaChannels: e.Python.CondaChannels, CondaDependencies: e.Python.CondaDependencies, PipRequirements: e.Python.PipRequirements,
			InterpreterPath: e.Python.InterpreterPath, UserManaged: e.Python.UserManaged,
		},
		Docker: &deployv1.EnvironmentDocker{
			BaseImage: e.Docker.BaseImage, BaseDockerfile: e.Docker.BaseDockerfile, ShmSize: e.Docker.ShmSize, Arguments: e.Docker.Arguments,
		},
	}
	if e.Docker.RegistryAddress+e.Docker.RegistryUser != "" {
		out.Docker.Registry = &deployv1.ImageRegistry{Address: e.Docker.RegistryAddress, Username: e.Docker.RegistryUser}
	}
	return out
}

// SameContent tells whether two versions of an environment ask for the same:
// whatever people call and tag them.
func (e Environment) SameContent(other Environment) bool {
	content := func(e Environment) proto.Message {
		m := e.Message()
		m.Description, m.Tags = "", nil
		return m
	}
	return proto.Equal(content(e), content(other))
}

// Keys are the keys of an endpoint.
type Keys struct {
	Primary   string `yaml:"primary"`
	Secondary string `yaml:"secondary"`
}

// byNumber orders versions by name, then by number.
func byNumber(name, other string, number, than int64) int {
	return cmp.Or(cmp.Compare(name, other), cmp.Compare(number, than))
}
