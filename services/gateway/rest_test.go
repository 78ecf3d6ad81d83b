package gateway_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// withoutRequestID takes the one detail away that differs from call to call.
func withoutRequestID(t *testing.T, st *spb.Status) *spb.Status {
	t.Helper()
	kept := st.GetDetails()[:0]
	had := false
	for _, d := range st.GetDetails() {
		if d.MessageIs(&errdetails.RequestInfo{}) {
			had = true
			continue
		}
		kept = append(kept, d)
	}
	if !had {
		t.Error("the error does not tell the request's id")
	}
	st.Details = kept
	return st
}

func errorIn(t *testing.T, a answer) *spb.Status {
	t.Helper()
	var st spb.Status
	if err := protojson.Unmarshal([]byte(a.body), &st); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type of an error = %q", got)
	}
	return &st
}

func TestRESTAndGRPCGiveTheSameErrors(t *testing.T) {
	b := start(t)
	workspaces := authv1.NewWorkspaceServiceClient(b.conn)
	for name, tt := range map[string]struct {
		method, path, body string
		token              string
		status             int
		call               func(ctx context.Context) error
	}{
		"not found": {"GET", "/v1/workspaces/missing", "", token, 404, func(ctx context.Context) error {
			_, err := workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: "workspaces/missing"})
			return err
		}},
		"workspace not found": {"GET", "/v1/workspaces/nowhere", "", token, 404, func(ctx context.Context) error {
			_, err := workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: "workspaces/nowhere"})
			return err
		}},
		"unknown token": {"GET", "/v1/workspaces/default", "", "wrong", 401, func(ctx context.Context) error {
			_, err := workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: "workspaces/default"})
			return err
		}},
		"internal": {"GET", "/v1/workspaces/other", "", token, 500, func(ctx context.Context) error {
			_, err := workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: "workspaces/other"})
			return err
		}},
		"exists": {"POST", "/v1/workspaces?workspaceId=taken", "{}", token, 409, func(ctx context.Context) error {
			_, err := workspaces.CreateWorkspace(ctx, &authv1.CreateWorkspaceRequest{WorkspaceId: "taken", Workspace: &authv1.Workspace{}})
			return err
		}},
		"all violations at once": {"POST", "/v1/workspaces?workspaceId=A&requestId=x", `{"description":"` + strings.Repeat("x", 1001) + `"}`, token, 400,
			func(ctx context.Context) error {
				_, err := workspaces.CreateWorkspace(ctx, &authv1.CreateWorkspaceRequest{
					WorkspaceId: "A", RequestId: "x", Workspace: &authv1.Workspace{Description: strings.Repeat("x", 1001)},
				})
				return err
			}},
		"conflict": {"PATCH", "/v1/workspaces/default", `{"etag":"stale","description":"d"}`, token, 409, func(ctx context.Context) error {
			_, err := workspaces.UpdateWorkspace(ctx, &authv1.UpdateWorkspaceRequest{Workspace: &authv1.Workspace{Name: "workspaces/default", Etag: "stale", Description: "d"}})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.do(t, func() *http.Request {
				r := b.request(t, tt.method, tt.path, tt.body)
				r.Header.Set("Authorization", "Bearer "+tt.token)
				return r
			}())
			if a.status != tt.status {
				t.Errorf("HTTP status %d, want %d", a.status, tt.status)
			}
			want := status.Convert(tt.call(as(t, tt.token))).Proto()
			if diff := cmp.Diff(withoutRequestID(t, want), withoutRequestID(t, errorIn(t, a)), protocmp.Transform()); diff != "" {
				t.Errorf("REST differs from gRPC (-gRPC +REST):\n%s", diff)
			}
			if a.header.Get("X-Request-Id") == "" {
				t.Error("the answer has no x-request-id")
			}
			if tt.status == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("WWW-Authenticate = %q", a.header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestRESTAnswers(t *testing.T) {
	b := start(t)
	workspace := func(name, description string) string {
		return `{"name":"` + name + `","uid":"","description":"` + description + `","tags":{},"etag":""}`
	}
	for name, tt := range map[string]struct{ method, path, body, want string }{
		"get":             {"GET", "/v1/workspaces/default", "", `{"name":"workspaces/default","uid":"","description":"","tags":{},"etag":"\"e\""}`},
		"empty list":      {"GET", "/v1/workspaces?pageToken=end", "", `{"workspaces":[],"nextPageToken":""}`},
		"snake case also": {"GET", "/v1/workspaces?page_token=end", "", `{"workspaces":[],"nextPageToken":""}`},
		"create":          {"POST", "/v1/workspaces?workspaceId=abc", `{"description":"d"}`, workspace("workspaces/abc", "d")},
		"create, no body": {"POST", "/v1/workspaces?workspaceId=abc", "", workspace("workspaces/abc", "")},
		"mask from body":  {"PATCH", "/v1/workspaces/default", `{"description":"d","tags":{"a":"b"}}`, workspace("workspaces/default", "description,tags")},
		"mask given":      {"PATCH", "/v1/workspaces/default?updateMask=tags", `{"description":"d"}`, workspace("workspaces/default", "tags")},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.call(t, tt.method, tt.path, tt.body)
			if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("status %d, headers %v", a.status, a.header)
			}
			sorted := func(s string) string {
				var v any
				if err := json.Unmarshal([]byte(s), &v); err != nil {
					t.Fatalf("%q: %v", s, err)
				}
				out, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				return string(out)
			}
			mask := func(s string) string { // the order of paths in a mask is free
				return strings.ReplaceAll(s, "tags,description", "description,tags")
			}
			if diff := cmp.Diff(sorted(tt.want), mask(sorted(a.body))); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRESTRefusesWhatMeansNothing(t *testing.T) {
	b := start(t)
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		fields             []string
		says               string
	}{
		"unknown fields":       {"POST", "/v1/workspaces?workspaceId=abc", `{"descripton":"x","tags":{},"labels":1}`, 400, []string{"descripton", "labels"}, "descripton"},
		"unknown field, patch": {"PATCH", "/v1/workspaces/default", `{"colour":"red"}`, 400, []string{"colour"}, "colour"},
		"nested unknown field": {"POST", "/v1/workspaces/default/endpoints:convertConfig", `{"nothing":{"a":1}}`, 400, []string{"nothing"}, "nothing"},
		"unknown parameters":   {"GET", "/v1/workspaces?limit=3&offset=1", "", 400, []string{"limit", "offset"}, "limit"},
		"known elsewhere":      {"GET", "/v1/workspaces/default?pageSize=3&nothing=1", "", 400, []string{"nothing", "pageSize"}, "pageSize"},
		"path field as query":  {"GET", "/v1/workspaces/default?name=workspaces/other", "", 400, []string{"name"}, "in the path"},
		"query, all in path":   {"DELETE", "/v1/workspaces/default/models/m/versions/1?pageSize=1", "", 400, []string{"pageSize"}, "pageSize"},
		"query, all in body":   {"POST", "/v1/workspaces/default/endpoints:convertConfig?validateOnly=true&parent=x", "{}", 400, []string{"parent", "validateOnly"}, ""},
		"body field as query":  {"POST", "/v1/workspaces?workspaceId=abc&workspace.description=d", "{}", 400, []string{"workspace.description"}, "in the body"},
		"operation, query":     {"GET", "/v1/workspaces/default/operations/deploy-a?timeout=3s", "", 400, []string{"timeout"}, "timeout"},
		"wait, query":          {"POST", "/v1/workspaces/default/operations/deploy-a:wait?timeout=3s", "{}", 400, []string{"timeout"}, "in the body"},
		"cancel, query":        {"POST", "/v1/workspaces/default/operations/deploy-a:cancel?name=x", "{}", 400, []string{"name"}, "in the path"},
		"malformed query":      {"GET", "/v1/workspaces/default?a=%zz", "", 400, []string{"query"}, "malformed"},
		"empty segment":        {"GET", "/v1//workspaces", "", 404, nil, "/openapi.json"},
		"dots":                 {"GET", "/v1/workspaces/../nothing", "", 404, nil, "/openapi.json"},
		"no path below v1":     {"GET", "/v1", "", 404, nil, "/openapi.json"},
		"wrong type":           {"POST", "/v1/workspaces?workspaceId=abc", `{"description":5}`, 400, nil, "description"},
		"no JSON":              {"POST", "/v1/workspaces?workspaceId=abc", `{"description":`, 400, nil, "body"},
		"two documents":        {"POST", "/v1/workspaces?workspaceId=abc", `{} {}`, 400, nil, "body"},
		"bad parameter":        {"GET", "/v1/workspaces?pageSize=many", "", 400, nil, "many"},
		"unknown path":         {"GET", "/v1/nothing", "", 404, nil, "/openapi.json"},
		"unknown root path":    {"GET", "/nothing", "", 404, nil, "/openapi.json"},
		"wrong method":         {"DELETE", "/v1/workspaces/default", "", 405, nil, "/openapi.json"},
		"router is not here":   {"GET", "/v1/router/routeTable", "", 404, nil, "/openapi.json"},
		"service-only method":  {"POST", "/v1/fairlead.auth.v1.AccessService/CheckAccess", "{}", 404, nil, ""},
		"body too large":       {"POST", "/v1/workspaces?workspaceId=abc", `{"description":"` + strings.Repeat("x", 6<<20) + `"}`, 413, nil, "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.call(t, tt.method, tt.path, tt.body)
			st := errorIn(t, a)
			if a.status != tt.status || !strings.Contains(st.GetMessage(), tt.says) || st.GetCode() == 0 {
				t.Errorf("%d %s, want %d saying %q", a.status, a.body, tt.status, tt.says)
			}
			var fields []string
			for _, d := range status.FromProto(st).Details() {
				if bad, ok := d.(*errdetails.BadRequest); ok {
					for _, v := range bad.GetFieldViolations() {
						fields = append(fields, v.GetField())
					}
				}
			}
			if diff := cmp.Diff(tt.fields, fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRESTNamesTheMethodsOfAPath(t *testing.T) {
	b := start(t)
	for _, tt := range []struct{ method, path, allow string }{
		{"DELETE", "/v1/workspaces/default", "GET, HEAD, PATCH"},
		{"OPTIONS", "/v1/workspaces", "GET, HEAD, POST"},
		{"GET", "/v1/workspaces/default/endpoints:convertConfig", "POST"},
		{"HEAD", "/v1/workspaces/default/endpoints:convertConfig", "POST"},
		{"HEAD", "/v1/workspaces/default/endpoints/e/logs", "GET"},
		{"PUT", "/v1/workspaces/default/operations/deploy-a", "GET, HEAD"},
	} {
		a := b.call(t, tt.method, tt.path, "")
		if got := a.header.Get("Allow"); a.status != 405 || got != tt.allow {
			t.Errorf("%s %s: %d, Allow %q, want %q", tt.method, tt.path, a.status, got, tt.allow)
		}
	}
}

func TestRESTHeadIsGetWithoutABody(t *testing.T) {
	b := start(t)
	for _, path := range []string{"/v1/workspaces/default", "/v1/workspaces/missing", "/v1/workspaces/default?nothing=1", "/v1/nothing"} {
		get, head := b.call(t, "GET", path, ""), b.call(t, "HEAD", path, "")
		if head.status != get.status || head.body != "" || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %q %v, GET has %d", path, head.status, head.body, head.header, get.status)
		}
	}
}

func TestRESTWithoutATokenIsUnauthenticatedWhateverTheBody(t *testing.T) {
	b := start(t)
	r := b.request(t, "POST", "/v1/workspaces?workspaceId=abc", `{"nonsense`)
	r.Header.Del("Authorization")
	a := b.do(t, r)
	if a.status != 401 || errorIn(t, a).GetCode() != 16 {
		t.Errorf("%d %s, want 401", a.status, a.body)
	}
}

func TestRESTPassesOnlyKnownHeadersOn(t *testing.T) {
	b := start(t)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	a := b.call(t, "GET", "/v1/workspaces/default", "", "X-Request-Id", "mine", "Traceparent", parent,
		"Grpc-Metadata-X-Fairlead-Peer", "deploy", "X-Fairlead-Peer", "deploy", "Grpc-Metadata-Authorization", "Bearer other", "X-Mine", "1")
	md := b.auth.metadata()
	if a.header.Get("X-Request-Id") != "mine" || !cmp.Equal(md.Get("x-request-id"), []string{"mine"}) {
		t.Errorf("request id: answer %q, service %q", a.header.Get("X-Request-Id"), md.Get("x-request-id"))
	}
	if diff := cmp.Diff([]string{"Bearer " + token}, md.Get("authorization")); diff != "" {
		t.Errorf("authorization (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{parent}, md.Get("traceparent")); diff != "" {
		t.Errorf("traceparent (-want +got):\n%s", diff)
	}
	for _, name := range []string{"x-fairlead-peer", "x-mine"} {
		if md.Get(name) != nil {
			t.Errorf("%s reached the service", name)
		}
	}
	odd := b.call(t, "GET", "/v1/workspaces/default", "", "X-Request-Id", "with space")
	if got := odd.header.Get("X-Request-Id"); got == "" || got == "with space" {
		t.Errorf("an odd request id became %q", got)
	}
}

func TestRESTTakesLargeChunks(t *testing.T) {
	b := start(t)
	chunk := base64.StdEncoding.EncodeToString(make([]byte, 2<<20))
	a := b.call(t, "POST", "/v1/workspaces/default/uploads/u:write", `{"offset":"0","data":"`+chunk+`"}`)
	if a.status != 200 || !strings.Contains(a.body, `"committedBytes":"2097152"`) {
		t.Errorf("%d %.200s", a.status, a.body)
	}
}

func TestRESTStreamsLinesAsTheyCome(t *testing.T) {
	b := start(t)
	resp, err := b.client.Do(b.request(t, "GET", "/v1/workspaces/default/endpoints/e/logs", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("content type %q", got)
	}
	lines := bufio.NewScanner(resp.Body)
	for i, want := range []string{"first", "second"} {
		if i == 1 {
			close(b.deploy.more) // only now, when the first line has arrived
		}
		if !lines.Scan() {
			t.Fatalf("the stream ended before %q: %v", want, lines.Err())
		}
		var doc struct {
			Result struct{ Lines []struct{ Text string } }
		}
		if err := json.Unmarshal(lines.Bytes(), &doc); err != nil || len(doc.Result.Lines) != 1 || doc.Result.Lines[0].Text != want {
			t.Errorf("line %q (%v), want %q", lines.Text(), err, want)
		}
	}
	if lines.Scan() {
		t.Errorf("more than was sent: %q", lines.Text())
	}
}

func TestRESTCallerThatLeavesEndsTheStream(t *testing.T) {
	b := start(t)
	ctx, leave := context.WithCancel(t.Context())
	resp, err := b.client.Do(b.request(t, "GET", "/v1/workspaces/default/endpoints/e/logs", "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	leave()
	<-b.deploy.ended
}

func TestRESTStreamThatFailsAtOnce(t *testing.T) {
	b := start(t)
	a := b.call(t, "GET", "/v1/workspaces/default/endpoints/none/logs", "")
	if a.status != 404 || errorIn(t, a).GetMessage() != "there is none" {
		t.Errorf("%d %s, want 404", a.status, a.body)
	}
}

func TestPagesOfTheEdge(t *testing.T) {
	b := start(t)
	for path, want := range map[string]string{
		"/":             "Fairlead control plane",
		"/healthz":      "alive",
		"/readyz":       "ready",
		"/v1/version":   "v1.2.3",
		"/openapi.json": `{"swagger":"2.0"}`,
	} {
		r := b.request(t, "GET", path, "")
		r.Header.Del("Authorization")
		a := b.do(t, r)
		if a.status != 200 || !strings.Contains(a.body, want) || !json.Valid([]byte(a.body)) {
			t.Errorf("%s: %d %s, want %q", path, a.status, a.body, want)
		}
	}
}

func TestPagesOfTheEdgeAreRead(t *testing.T) {
	b := start(t)
	for _, path := range []string{"/healthz", "/readyz", "/v1/version", "/openapi.json", "/v1/workspaces/default/events:watch"} {
		resp, err := b.client.Do(b.request(t, "POST", path, "{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Allow"); resp.StatusCode != http.StatusMethodNotAllowed || got != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %q", path, resp.StatusCode, got)
		}
	}
}

func TestUpdateMaskOverGRPC(t *testing.T) {
	b := start(t)
	got, err := authv1.NewWorkspaceServiceClient(b.conn).UpdateWorkspace(as(t, token), &authv1.UpdateWorkspaceRequest{
		Workspace: &authv1.Workspace{Name: "workspaces/default"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"tags"}},
	})
	if err != nil || got.GetDescription() != "tags" {
		t.Errorf("%v, %v", got, err)
	}
}
