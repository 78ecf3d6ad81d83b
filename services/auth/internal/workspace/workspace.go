// Package workspace holds the rules of workspaces: their names, what may be
// changed and what each change is called. It is pure.
package workspace

import (
	"maps"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/etag"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
)

// DefaultID is the workspace that exists from the start.
const DefaultID = "default"

const (
	minIDLength          = 3
	maxIDLength          = 32
	maxDescriptionLength = 1000
	maxTags              = 64
)

var idForm = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// Workspace is the room in which models, compute targets and endpoints live.
type Workspace struct {
	ID            string            `json:"id"`
	UID           string            `json:"uid"`
	Description   string            `json:"description,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
	Generation    int64             `json:"generation"`
	EventSequence int64             `json:"event_sequence"`
	CreateTime    time.Time         `json:"create_time"`
	UpdateTime    time.Time         `json:"update_time"`
}

// Attributes are what a user decides about a workspace.
type Attributes struct {
	Description string
	Tags        map[string]string
}

// Name gives the resource name.
func (w Workspace) Name() string { return "workspaces/" + w.ID }

// ETag differs after every change.
func (w Workspace) ETag() string { return etag.Of(w.UID, w.Generation) }

// New makes a workspace. The error lists all that is wrong.
func New(id, uid string, a Attributes, now time.Time) (Workspace, fact.Fact, error) {
	var bad apierr.Violations
	if !ValidID(id) {
		bad.Add("workspace_id", "must start with a lower-case letter, hold only lower-case letters, digits and dashes, "+
			"end with a letter or digit, and be %d to %d characters long", minIDLength, maxIDLength)
	}
	a.check(&bad)
	if err := bad.Err(); err != nil {
		return Workspace{}, fact.Fact{}, err
	}
	w := Workspace{ID: id, UID: uid, Description: a.Description, Tags: maps.Clone(a.Tags), CreateTime: now}
	w, f := w.changed("created", "the workspace was created", now)
	return w, f, nil
}

// ValidID says whether id can be the last part of a workspace's name.
func ValidID(id string) bool {
	return len(id) >= minIDLength && len(id) <= maxIDLength && idForm.MatchString(id)
}

// Change says which attributes an update sets; nil leaves one as it is.
type Change struct {
	Description *string
	Tags        *map[string]string
}

// Update applies c. When c changes nothing the workspace comes back as it is,
// with ok false and no fact.
func (w Workspace) Update(c Change, now time.Time) (updated Workspace, f fact.Fact, ok bool, err error) {
	a := Attributes{Description: w.Description, Tags: w.Tags}
	if c.Description != nil {
		a.Description = *c.Description
	}
	if c.Tags != nil {
		a.Tags = *c.Tags
	}
	var bad apierr.Violations
	a.check(&bad)
	if err := bad.Err(); err != nil {
		return w, fact.Fact{}, false, err
	}
	if a.Description == w.Description && maps.Equal(a.Tags, w.Tags) {
		return w, fact.Fact{}, false, nil
	}
	w.Description, w.Tags = a.Description, maps.Clone(a.Tags)
	w, f = w.changed("updated", "the workspace was updated", now)
	return w, f, true, nil
}

func (a Attributes) check(bad *apierr.Violations) {
	if n := utf8.RuneCountInString(a.Description); n > maxDescriptionLength {
		bad.Add("workspace.description", "must be at most %d characters long, not %d", maxDescriptionLength, n)
	}
	if len(a.Tags) > maxTags {
		bad.Add("workspace.tags", "must be at most %d, not %d", maxTags, len(a.Tags))
	}
}

func (w Workspace) changed(verb, message string, now time.Time) (Workspace, fact.Fact) {
	w.Generation++
	w.EventSequence++
	w.UpdateTime = now
	return w, fact.Fact{
		Resource: "workspace", Verb: verb, Workspace: w.ID, Subject: w.Name(), UID: w.UID,
		Generation: w.Generation, Sequence: w.EventSequence, Time: now, Message: message,
	}
}
