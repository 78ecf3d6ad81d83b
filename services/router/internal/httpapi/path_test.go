package httpapi

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

func TestParsePath(t *testing.T) {
	id := func(workspace, endpoint string) routetable.ID {
		return routetable.ID{Workspace: workspace, Endpoint: endpoint}
	}
	get, post, both := []string{"GET", "HEAD"}, []string{"POST"}, []string{"GET", "POST"}
	for in, want := range map[string]target{
		"/api/v1/service/e/score":              {id: id("default", "e"), path: "/score", methods: both, scoring: true},
		"/api/v1/workspaces/w/service/e/score": {id: id("w", "e"), path: "/score", methods: both, scoring: true},
		"/api/v1/service/e/":                   {id: id("default", "e"), path: "/", methods: get},
		"/api/v1/service/e/swagger.json":       {id: id("default", "e"), path: "/swagger.json", methods: get},
		"/api/v1/service/e/v1/chat/completions": {
			id: id("default", "e"), path: "/v1/chat/completions", escaped: "/v1/chat/completions", prefix: "/api/v1/service/e", scoring: true, passed: true,
		},
		"/api/v1/workspaces/w/service/e/a%2Fb/": {
			id: id("w", "e"), path: "/a/b/", escaped: "/a%2Fb/", prefix: "/api/v1/workspaces/w/service/e", scoring: true, passed: true,
		},
		"/v2":                                  {id: id("default", ""), methods: get, form: formInference, own: ownMetadata},
		"/v2/health/live":                      {id: id("default", ""), methods: get, form: formInference, own: ownLive},
		"/v2/health/ready":                     {id: id("default", ""), methods: get, form: formInference, own: ownReady},
		"/api/v1/workspaces/w/v2":              {id: id("w", ""), methods: get, form: formInference, own: ownMetadata},
		"/v2/models/e":                         {id: id("default", "e"), path: "/v2/models/e", methods: get, form: formInference},
		"/v2/models/e/ready":                   {id: id("default", "e"), path: "/v2/models/e/ready", methods: get, form: formInference},
		"/v2/models/e/infer":                   {id: id("default", "e"), path: "/v2/models/e/infer", methods: post, scoring: true, form: formInference},
		"/v2/models/e/versions/v1":             {id: id("default", "e"), path: "/v2/models/e", methods: get, version: "v1", form: formInference},
		"/v2/models/e/versions/v1/infer":       {id: id("default", "e"), path: "/v2/models/e/infer", methods: post, scoring: true, version: "v1", form: formInference},
		"/api/v1/workspaces/w/v2/models/e":     {id: id("w", "e"), path: "/v2/models/e", methods: get, form: formInference},
		"/v2/models/e/versions/v1/generate":    {id: id("default", "e"), path: "/v2/models/e/generate", escaped: "/v2/models/e/generate", scoring: true, passed: true, version: "v1", form: formInference},
		"/api/v1/workspaces/w/service/e/-x/-/": {id: id("w", "e"), path: "/-x/-/", escaped: "/-x/-/", prefix: "/api/v1/workspaces/w/service/e", scoring: true, passed: true},
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parsePath(u)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{})); !ok || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", in, ok, diff)
		}
	}
	for _, in := range []string{
		"", "/score", "/api/v1/service/e", "/api/v1/service//score", "/api/v1/workspaces//service/e/score", "/api/v1/workspaces/w/e/score",
		"/api/v1/service/%65/score", "/api/v1/workspaces/%77/service/e/score",
		"/api/v1/service/e/-/drain", "/api/v1/service/e/%2D/drain", "/api/v1/service/e/-%2Fdrain", "/api/v1/service/e/-", "/api/v1/service/e//-/drain",
		"/api/v1/service/e/x/../-/drain", "/api/v1/service/e/%2e%2e/x", "/api/v1/service/e/./x", "/api/v1/service/e/x%2F..%2F-/drain",
		"/v2x", "/v2/", "/v2/models", "/v2/models/", "/v2/models//infer", "/v2/models/e/versions/", "/v2/models/e/versions//infer", "/v2/health",
		"/v2/models/%65", "/v2/models/e/../x",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parsePath(u); ok {
			t.Errorf("%q is %+v", in, got)
		}
	}
}

// FuzzParsePath: no path reaches what scorers have below /-/, and what is passed on is spelled as it came.
func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{
		"/api/v1/service/e/score", "/api/v1/workspaces/w/service/e/a%2Fb", "/v2/models/e/versions/v1/infer", "/api/v1/service/e/%2e%2e/-/drain",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		u, err := url.ParseRequestURI(in)
		if err != nil || !strings.HasPrefix(in, "/") {
			return
		}
		got, ok := parsePath(u)
		if !ok {
			return
		}
		if clean := path.Clean(got.path); got.path != "" && (!strings.HasPrefix(got.path, "/") || strings.HasPrefix(clean+"/", "/-/")) {
			t.Errorf("%q goes to %q", in, got.path)
		}
		if got.own == ownNothing && (got.id.Endpoint == "" || got.id.Workspace == "") {
			t.Errorf("%q names no endpoint: %+v", in, got)
		}
		if got.passed && !strings.HasSuffix(u.EscapedPath(), strings.TrimPrefix(got.escaped, "/v2/models/"+got.id.Endpoint)) {
			t.Errorf("%q is passed on as %q", in, got.escaped)
		}
	})
}
