// Package model holds the rules of the model registry.
//
// A model has the versions 1, 2, 3, …; a number is never given twice, and the
// files of a version never change. Tags and the description can change;
// properties can only be added. The functions are pure: they return new values
// and facts, or an *apierr.Error with every violation, and change nothing.
package model

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/reference"
)

// Model is the root of the aggregate: which versions there are. It stays when
// its last version is deleted, so that no number is given twice.
type Model struct {
	Workspace   string  `json:"workspace"`
	Name        string  `json:"name"`
	LastVersion int64   `json:"lastVersion"`
	Versions    []int64 `json:"versions"` // those that exist, ascending
	// EventSequence counts the events of the model and its versions.
	EventSequence int64 `json:"eventSequence"`
}

// Newest gives the newest version; false when there is none.
func (m Model) Newest() (int64, bool) {
	if len(m.Versions) == 0 {
		return 0, false
	}
	return m.Versions[len(m.Versions)-1], true
}

// Version is one registered version.
type Version struct {
	Workspace        string            `json:"workspace"`
	Model            string            `json:"model"`
	Number           int64             `json:"number"`
	UID              string            `json:"uid"`
	Description      string            `json:"description,omitempty"`
	Tags             map[string]string `json:"tags,omitempty"`
	Properties       map[string]string `json:"properties,omitempty"`
	Framework        string            `json:"framework,omitempty"`
	FrameworkVersion string            `json:"frameworkVersion,omitempty"`
	Files            []bundle.File     `json:"files"` // by path
	Digest           string            `json:"digest"`
	Size             int64             `json:"size"`
	CreateTime       time.Time         `json:"createTime"`
	UpdateTime       time.Time         `json:"updateTime"`
	CreatedBy        string            `json:"createdBy,omitempty"`
	Generation       int64             `json:"generation"` // grows with every change
}

// ID gives the short form: model:version.
func (v Version) ID() string { return ID(v.Model, v.Number) }

// ResourceName gives the version's resource name.
func (v Version) ResourceName() string { return VersionName(v.Workspace, v.Model, v.Number) }

// ID gives the short form of a version: model:version.
func ID(model string, number int64) string { return fmt.Sprintf("%s:%d", model, number) }

// VersionName gives the resource name of a version.
func VersionName(workspace, model string, number int64) string {
	return resourcename.Format("workspaces", workspace, "models", model, "versions", strconv.FormatInt(number, 10))
}

// Fact is one thing that happened to a model version.
type Fact struct {
	Verb    string
	Version Version
	Message string
}

// Registration is a version to be registered.
type Registration struct {
	Workspace, Name, UID        string
	Description                 string
	Tags, Properties            map[string]string
	Framework, FrameworkVersion string
	Files                       []bundle.File
	Principal                   string
}

// Register adds the next version. The model may be the zero Model: then it comes
// into being.
func (m Model) Register(r Registration, now time.Time) (Model, Version, Fact, error) {
	var v apierr.Violations
	if !reference.ValidName(r.Name) {
		v.Add("model_id", "must start with a letter or digit, hold only letters, digits, \"-\", \".\" and \"_\", and be 1 to 255 characters long")
	}
	if len(r.Files) == 0 {
		v.Add("files", "must have at least one file")
	}
	bundle.Check("files", r.Files, &v)
	if err := v.Err(); err != nil {
		return Model{}, Version{}, Fact{}, err
	}
	m.Workspace, m.Name = r.Workspace, r.Name
	m.LastVersion++
	m.Versions = append(slices.Clone(m.Versions), m.LastVersion)
	files := slices.SortedFunc(slices.Values(r.Files), func(a, b bundle.File) int { return cmp.Compare(a.Path, b.Path) })
	added := Version{
		Workspace: r.Workspace, Model: r.Name, Number: m.LastVersion, UID: r.UID,
		Description: r.Description, Tags: r.Tags, Properties: r.Properties,
		Framework: r.Framework, FrameworkVersion: r.FrameworkVersion,
		Files: files, Digest: Digest(files), CreateTime: now, UpdateTime: now, CreatedBy: r.Principal, Generation: 1,
	}
	for _, f := range files {
		added.Size += f.Size
	}
	return m, added, Fact{Verb: "registered", Version: added, Message: "model " + added.ID() + " was registered"}, nil
}

// Update gives the version with another description and tags and more properties.
func (v Version) Update(description string, tags, properties map[string]string, now time.Time) (Version, Fact, error) {
	var bad apierr.Violations
	merged := maps.Clone(v.Properties)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		old, ok := v.Properties[key]
		if ok && old != properties[key] {
			bad.Add("model_version.properties."+key, "cannot be changed, it is %q: properties can only be added", old)
			continue
		}
		if merged == nil {
			merged = map[string]string{}
		}
		merged[key] = properties[key]
	}
	if err := bad.Err(); err != nil {
		return Version{}, Fact{}, err
	}
	v.Description, v.Tags, v.Properties, v.UpdateTime = description, tags, merged, now
	v.Generation++
	return v, Fact{Verb: "updated", Version: v, Message: "model " + v.ID() + " was changed"}, nil
}

// Delete takes a version out. Its number is not given again.
func (m Model) Delete(v Version) (Model, Fact) {
	m.Versions = slices.DeleteFunc(slices.Clone(m.Versions), func(n int64) bool { return n == v.Number })
	return m, Fact{Verb: "deleted", Version: v, Message: "model " + v.ID() + " was deleted"}
}

// Digest is the SHA-256 over one line "path:sha256" for each file, sorted by path.
func Digest(files []bundle.File) string {
	lines := make([]string, len(files))
	for i, f := range files {
		lines[i] = f.Path + ":" + f.SHA256 + "\n"
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:])
}
