// Package environment holds the rules of the environment registry.
//
// An environment has the versions 1, 2, 3, …; a number is never given twice and
// a version never changes. Registering again what the newest version holds
// gives that version. The functions are pure: they return new values and facts,
// or an *apierr.Error with every violation, and change nothing.
package environment

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/platform/resourcename"
)

// Environment is the root of the aggregate: which versions there are. It stays
// when its last version is deleted, so that no number is given twice.
type Environment struct {
	Workspace   string  `json:"workspace"`
	Name        string  `json:"name"`
	LastVersion int64   `json:"lastVersion"`
	Versions    []int64 `json:"versions"` // those that exist, ascending
	// EventSequence counts the events of the environment and its versions.
	EventSequence int64 `json:"eventSequence"`
}

// Newest gives the newest version; false when there is none.
func (e Environment) Newest() (int64, bool) {
	if len(e.Versions) == 0 {
		return 0, false
	}
	return e.Versions[len(e.Versions)-1], true
}

// Content is what an environment is made of.
type Content struct {
	Variables map[string]string `json:"variables,omitempty"`
	Python    Python            `json:"python,omitzero"`
	Docker    Docker            `json:"docker,omitzero"`
	// InferencingStack is the serving stack to add to the image: "" or "latest".
	InferencingStack string `json:"inferencingStack,omitempty"`
}

// Python is the interpreter with its packages.
type Python struct {
	CondaChannels     []string `json:"condaChannels,omitempty"`
	CondaDependencies []string `json:"condaDependencies,omitempty"`
	PipRequirements   []string `json:"pipRequirements,omitempty"` // and options of pip
	InterpreterPath   string   `json:"interpreterPath,omitempty"`
	UserManaged       bool     `json:"userManaged,omitempty"`
}

// Docker is the image that replicas are built on.
type Docker struct {
	BaseImage      string   `json:"baseImage,omitempty"`
	BaseDockerfile string   `json:"baseDockerfile,omitempty"`
	Registry       string   `json:"registry,omitempty"`
	Username       string   `json:"username,omitempty"`
	ShmSize        string   `json:"shmSize,omitempty"`
	Arguments      []string `json:"arguments,omitempty"`
}

// Version is one registered version.
type Version struct {
	Workspace   string            `json:"workspace"`
	Name        string            `json:"name"`
	Number      int64             `json:"number"`
	UID         string            `json:"uid"`
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Content
	Notices    []string  `json:"notices,omitempty"`
	Digest     string    `json:"digest"`
	CreateTime time.Time `json:"createTime"`
	CreatedBy  string    `json:"createdBy,omitempty"`
}

// ID gives the short form: environment:version.
func (v Version) ID() string { return ID(v.Name, v.Number) }

// ResourceName gives the version's resource name.
func (v Version) ResourceName() string { return VersionName(v.Workspace, v.Name, v.Number) }

// ID gives the short form of a version: environment:version.
func ID(name string, number int64) string { return fmt.Sprintf("%s:%d", name, number) }

// VersionName gives the resource name of a version.
func VersionName(workspace, name string, number int64) string {
	return resourcename.Format("workspaces", workspace, "environments", name, "versions", strconv.FormatInt(number, 10))
}

// Fact is one thing that happened to an environment version.
type Fact struct {
	Verb    string
	Version Version
	Message string
}

// Registration is a version to be registered.
type Registration struct {
	Workspace, Name, UID string
	Description          string
	Tags                 map[string]string
	Content
	// CondaFile and RequirementsFile are texts of files; what they ask is added.
	CondaFile, RequirementsFile string
	// HasPassword says that a registry's password was given, which is refused.
	HasPassword bool
	Principal   string
}

// Register adds the next version, unless newest, the newest version, has the
// same content: then it gives that, without a fact. The environment may be the
// zero Environment; it comes into being then.
func (e Environment) Register(r Registration, newest *Version, now time.Time) (Environment, Version, *Fact, error) {
	content, notices, err := r.read()
	if err != nil {
		return Environment{}, Version{}, nil, err
	}
	digest := content.Digest()
	if newest != nil && newest.Digest == digest {
		return e, *newest, nil, nil
	}
	e.Workspace, e.Name = r.Workspace, r.Name
	e.LastVersion++
	e.Versions = append(slices.Clone(e.Versions), e.LastVersion)
	added := Version{
		Workspace: r.Workspace, Name: r.Name, Number: e.LastVersion, UID: r.UID,
		Description: r.Description, Tags: r.Tags, Content: content, Notices: notices,
		Digest: digest, CreateTime: now, CreatedBy: r.Principal,
	}
	return e, added, &Fact{Verb: "registered", Version: added, Message: "environment " + added.ID() + " was registered"}, nil
}

// Delete takes a version out. Its number is not given again.
func (e Environment) Delete(v Version) (Environment, Fact) {
	e.Versions = slices.DeleteFunc(slices.Clone(e.Versions), func(n int64) bool { return n == v.Number })
	return e, Fact{Verb: "deleted", Version: v, Message: "environment " + v.ID() + " was deleted"}
}

// Digest identifies a content: SHA-256 over its stored form.
func (c Content) Digest() string {
	data, err := json.Marshal(c)
	if err != nil { // no field of Content can fail to marshal
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
