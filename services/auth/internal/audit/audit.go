// Package audit holds what the audit log keeps of a call, and which entries a
// reader asks for. It is pure.
package audit

import (
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/resourcename"
)

// How much the log keeps.
const (
	MaxAge     = 90 * 24 * time.Hour
	MaxEntries = 50_000
	// MaxRefused of them can be of calls that were refused. Everybody can have
	// calls refused, also without a token: they must not push out of the log what
	// others have done.
	MaxRefused = 20_000
)

// Limits says how many entries are kept.
type Limits struct{ Entries, Refused int }

// Excess gives the places of the entries that are too many. The entries are the
// oldest first; of the refused ones, those beyond their own limit go before any other.
func (l Limits) Excess(entries []Entry) []int {
	refused := 0
	for _, e := range entries {
		if e.Denied {
			refused++
		}
	}
	remove, gone := make([]bool, len(entries)), 0
	for i, e := range entries {
		if e.Denied && refused > l.Refused {
			remove[i], refused, gone = true, refused-1, gone+1
		}
	}
	var out []int
	for i := range entries {
		if !remove[i] && len(entries)-gone > l.Entries {
			remove[i], gone = true, gone+1
		}
		if remove[i] {
			out = append(out, i)
		}
	}
	return out
}

// Entry is one call, or several equal ones that followed each other.
type Entry struct {
	ID            string    `json:"id"`
	Time          time.Time `json:"time"`
	Principal     string    `json:"principal,omitempty"`
	Method        string    `json:"method"`
	Resource      string    `json:"resource,omitempty"`
	Details       string    `json:"details,omitempty"`
	ClientAddress string    `json:"client_address,omitempty"`
	Denied        bool      `json:"denied,omitempty"`
	Code          string    `json:"code"`
	Message       string    `json:"message,omitempty"`
	RequestID     string    `json:"request_id,omitempty"`
	Service       string    `json:"service"`
	Count         int64     `json:"count"`
}

// Workspace gives the id of the workspace that the call was about, "" for none.
func (e Entry) Workspace() string { return resourcename.Workspace(e.Resource) }

// Filter says which entries are asked for; what is empty asks for nothing.
type Filter struct {
	Workspace  string // its id; empty means all entries
	Start, End time.Time
	Principal  string
	Method     string // its end
	Resource   string // and what is below it
	DeniedOnly bool
}

// Matches says whether e is asked for.
func (f Filter) Matches(e Entry) bool {
	switch {
	case f.Workspace != "" && e.Workspace() != f.Workspace,
		!f.Start.IsZero() && e.Time.Before(f.Start),
		!f.End.IsZero() && !e.Time.Before(f.End),
		f.Principal != "" && e.Principal != f.Principal,
		!strings.HasSuffix(e.Method, f.Method),
		f.Resource != "" && e.Resource != f.Resource && !strings.HasPrefix(e.Resource, f.Resource+"/"),
		f.DeniedOnly && !e.Denied:
		return false
	}
	return true
}
