// Package fact holds what the domain says has happened, before it is made an
// event. It is pure.
package fact

import "time"

// Fact is one change of one resource, in the past tense.
type Fact struct {
	Resource   string // the kind of the resource: "workspace", "endpointkey"
	Verb       string // "created", "regenerated", …
	Workspace  string // the id of the workspace that it is in
	Subject    string // the full name of the resource
	UID        string
	Generation int64
	Sequence   int64 // counts the facts of one resource from 1, without gaps
	Time       time.Time
	Message    string            // for people
	Details    map[string]string // for programs; never secret
}
