package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

const defaultWorkspace = "default"

// target is what a path means.
type target struct {
	id routetable.ID
	// path is the replica's own path.
	path string
	// methods are those allowed beside OPTIONS.
	methods []string
	// scoring is set for requests that walk the split.
	scoring bool
}

func (t target) allows(method string) bool {
	return method == http.MethodOptions && t.path != "" || slices.Contains(t.methods, method)
}

// allow is the value of the Allow header.
func (t target) allow() string {
	methods := strings.Join(t.methods, ", ")
	if t.path != "" {
		methods += ", " + http.MethodOptions
	}
	return methods
}

// parsePath reads
//
//	/api/v1/service/{endpoint}/…
//	/api/v1/workspaces/{workspace}/service/{endpoint}/…
//
// with score, swagger.json or nothing at the end. Names need no escapes, so a
// path with unusual ones is none of ours.
func parsePath(u *url.URL) (target, bool) {
	if u.RawPath != "" {
		return target{}, false
	}
	rest, ok := strings.CutPrefix(u.Path, "/api/v1/")
	if !ok {
		return target{}, false
	}
	id := routetable.ID{Workspace: defaultWorkspace}
	if inWorkspace, ok := strings.CutPrefix(rest, "workspaces/"); ok {
		if id.Workspace, rest, ok = strings.Cut(inWorkspace, "/"); !ok {
			return target{}, false
		}
	}
	if rest, ok = strings.CutPrefix(rest, "service/"); !ok {
		return target{}, false
	}
	if id.Endpoint, rest, ok = strings.Cut(rest, "/"); !ok || id.Endpoint == "" || id.Workspace == "" {
		return target{}, false
	}
	switch rest {
	case "score":
		return target{id: id, path: "/score", methods: []string{http.MethodGet, http.MethodPost}, scoring: true}, true
	case "", "swagger.json":
		return target{id: id, path: "/" + rest, methods: []string{http.MethodGet, http.MethodHead}}, true
	}
	return target{}, false
}
