package httpapi

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

const defaultWorkspace = "default"

// form is how refusals are written.
type form int

const (
	// formScoring is that of scoring requests.
	formScoring form = iota
	// formInference is that of the Open Inference Protocol over HTTP.
	formInference
	// formGRPC is a status of gRPC.
	formGRPC
)

// own is what the router answers by itself.
type own int

const (
	ownNothing own = iota
	ownMetadata
	ownLive
	ownReady
)

// target is what a path means.
type target struct {
	id routetable.ID
	// path is the replica's own path; escaped is how it is spelled when that is
	// not the usual way.
	path, escaped string
	// prefix is what the caller has before the replica's path.
	prefix string
	// methods are those allowed beside OPTIONS; empty means all.
	methods []string
	// scoring is set for requests that walk the split.
	scoring bool
	// passed is set for what only a custom server answers.
	passed bool
	// version is the one that the path or the message names.
	version string
	form    form
	own     own
}

func (t target) allows(method string) bool {
	if len(t.methods) == 0 {
		return method != http.MethodConnect && method != http.MethodTrace
	}
	return method == http.MethodOptions && t.path != "" || slices.Contains(t.methods, method)
}

// allow is the value of the Allow header.
func (t target) allow() string {
	methods := t.methods
	if len(methods) == 0 {
		methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	}
	allowed := strings.Join(methods, ", ")
	if t.path != "" {
		allowed += ", " + http.MethodOptions
	}
	return allowed
}

func reading() []string { return []string{http.MethodGet, http.MethodHead} }

// parsePath reads
//
//	/api/v1/service/{endpoint}/…
//	/api/v1/workspaces/{workspace}/service/{endpoint}/…
//	/v2…
//	/api/v1/workspaces/{workspace}/v2…
//
// Names need no escapes, so a path with escapes in them is none of ours.
func parsePath(u *url.URL) (target, bool) {
	whole := u.EscapedPath()
	t := target{id: routetable.ID{Workspace: defaultWorkspace}, form: formScoring}
	if rest, ok := strings.CutPrefix(whole, "/v2"); ok {
		t.form = formInference
		return t.inference(rest)
	}
	rest, ok := strings.CutPrefix(whole, "/api/v1/")
	if !ok {
		return t, false
	}
	if inWorkspace, ok := strings.CutPrefix(rest, "workspaces/"); ok {
		if t.id.Workspace, rest, ok = strings.Cut(inWorkspace, "/"); !ok || !isName(t.id.Workspace) {
			return t, false
		}
		if rest, ok := strings.CutPrefix(rest, "v2"); ok {
			t.form = formInference
			return t.inference(rest)
		}
	}
	if rest, ok = strings.CutPrefix(rest, "service/"); !ok {
		return t, false
	}
	if t.id.Endpoint, rest, ok = strings.Cut(rest, "/"); !ok || !isName(t.id.Endpoint) {
		return t, false
	}
	switch rest {
	case "score":
		t.path, t.methods, t.scoring = "/score", []string{http.MethodGet, http.MethodPost}, true
		return t, true
	case "", "swagger.json":
		t.path, t.methods = "/"+rest, reading()
		return t, true
	}
	t.prefix = strings.TrimSuffix(whole, "/"+rest)
	return t.pass("/" + rest)
}

// inference reads what follows /v2.
func (t target) inference(rest string) (target, bool) {
	switch rest {
	case "":
		t.own, t.methods = ownMetadata, reading()
		return t, true
	case "/health/live":
		t.own, t.methods = ownLive, reading()
		return t, true
	case "/health/ready":
		t.own, t.methods = ownReady, reading()
		return t, true
	}
	rest, ok := strings.CutPrefix(rest, "/models/")
	if !ok {
		return t, false
	}
	t.id.Endpoint, rest, _ = strings.Cut(rest, "/")
	if versions, ok := strings.CutPrefix(rest, "versions/"); ok {
		if t.version, rest, _ = strings.Cut(versions, "/"); !isName(t.version) {
			return t, false
		}
	}
	if !isName(t.id.Endpoint) {
		return t, false
	}
	base := "/v2/models/" + t.id.Endpoint
	switch rest {
	case "":
		t.path, t.methods = base, reading()
		return t, true
	case "ready":
		t.path, t.methods = base+"/ready", reading()
		return t, true
	case "infer":
		t.path, t.methods, t.scoring = base+"/infer", []string{http.MethodPost}, true
		return t, true
	}
	return t.pass(base + "/" + rest)
}

// pass is a path that a custom server may answer. Below /-/ scorers have routes
// that are not for callers, and what climbs up could come there.
func (t target) pass(escaped string) (target, bool) {
	plain, err := url.PathUnescape(escaped)
	if err != nil || strings.HasPrefix(path.Clean(plain)+"/", "/-/") {
		return t, false
	}
	for part := range strings.SplitSeq(plain, "/") {
		if part == "." || part == ".." {
			return t, false
		}
	}
	t.path, t.escaped, t.scoring, t.passed = plain, escaped, true, true
	return t, true
}

// isName says whether a part of a path may be a name.
func isName(part string) bool { return part != "" && !strings.Contains(part, "%") }
