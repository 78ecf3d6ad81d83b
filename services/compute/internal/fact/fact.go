// Package fact describes what has happened to a resource, before it is
// published as an event. It is pure.
package fact

// Fact is one thing that happened to a resource.
type Fact struct {
	Resource string // "computetarget", "workload", "replica"
	Verb     string // past tense: "created", "state-changed"
	// Subject is the full name of the resource.
	Subject    string
	UID        string
	Generation int64
	// Sequence counts the events of one aggregate from 1.
	Sequence int64
	State    string
	Message  string
	// Principal is who caused it; empty for the system.
	Principal string
	Details   map[string]any
}
