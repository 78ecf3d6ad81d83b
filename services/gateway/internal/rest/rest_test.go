package rest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func TestUnknownFieldsAreFoundAtEveryDepth(t *testing.T) {
	body := `{
	  "endpoint": {"displayNme": 1, "tags": {"free": "key"}},
	  "version": {"resource": {}, "resources": {"cpus": 2}, "conditions": [{"type": "x"}, {"kind": "y"}]},
	  "version_id": "v", "versionID": "w"
	}`
	got := unknownFields((&deployv1.CreateEndpointRequest{}).ProtoReflect().Descriptor(), []byte(body), "")
	want := []string{"endpoint.displayNme", "version.conditions[1].kind", "version.resource", "version.resources.cpus", "versionID"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unknown fields (-want +got):\n%s", diff)
	}
}

func TestDecode(t *testing.T) {
	c := newJSONCodec()
	for name, tt := range map[string]struct {
		body string
		want string // the description read
		err  string
	}{
		"message":          {`{"description":"d"}`, "d", ""},
		"spaces around":    {" \n{\"description\":\"d\"}\n ", "d", ""},
		"unknown field":    {`{"x":1}`, "", `the body has unknown fields: ["x"]`},
		"more than one":    {`{}{}`, "", "there is more after"},
		"cut off":          {`{"description":"d`, "", "the body is not what is expected"},
		"no object":        {`[]`, "", "the body is not what is expected"},
		"unknown in error": {`{"y":1,"description":3}`, "", `the body has unknown fields: ["y"]`},
	} {
		t.Run(name, func(t *testing.T) {
			var direct authv1.Workspace
			var pointer *authv1.Workspace
			for form, v := range map[string]any{"message": &direct, "pointer to pointer": &pointer} {
				err := c.NewDecoder(strings.NewReader(tt.body)).Decode(v)
				if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
					t.Errorf("%s: err = %v, want %q", form, err, tt.err)
				}
			}
			if tt.err == "" && (direct.GetDescription() != tt.want || pointer.GetDescription() != tt.want) {
				t.Errorf("read %q and %q, want %q", direct.GetDescription(), pointer.GetDescription(), tt.want)
			}
		})
	}
	if err := c.NewDecoder(strings.NewReader(" ")).Decode(&authv1.Workspace{}); !errors.Is(err, io.EOF) {
		t.Errorf("an empty body gives %v, want EOF", err)
	}
	if err := c.NewDecoder(iotest.ErrReader(io.ErrUnexpectedEOF)).Decode(&authv1.Workspace{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a failing body gives %v", err)
	}
}

func TestFieldPath(t *testing.T) {
	d := (&deployv1.CreateEndpointRequest{}).ProtoReflect().Descriptor()
	for path, want := range map[string]bool{
		"parent": true, "endpointId": true, "endpoint_id": true, "validateOnly": true, "version.resources.cpu": true,
		"endpoint.tags[a]": true, "endpoint.tags[a.b]": true, "endpoint.display": false, "nothing": false,
		"": false, ".": false, "parent.x": false, "parent[x]": false, "version.": false, "endpoint.tags[": false,
	} {
		if _, got := fieldPath(d, path); got != want {
			t.Errorf("fieldPath(%q) = %v, want %v", path, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"x":[{"y":1}]}`, `{"version":{"conditions":[{}]}}`, `{"endpoint":{"tags":{"a":"b"}}}`, `[`, ``} {
		f.Add([]byte(seed))
	}
	c := newJSONCodec()
	f.Fuzz(func(t *testing.T, body []byte) {
		var v deployv1.CreateEndpointRequest
		if err := c.NewDecoder(bytes.NewReader(body)).Decode(&v); err != nil {
			if e, ok := unknownIn(err.Error()); ok && len(e.names) == 0 {
				t.Fatalf("no names in %q", err)
			}
			return
		}
		if _, err := c.Marshal(&v); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

func TestStreamErrorsLoseTheirEnvelopeOnlyAtTheStart(t *testing.T) {
	for name, tt := range map[string]struct {
		status     int
		body, want string
	}{
		"at the start":   {404, `{"error":{"code":5,"message":"}"}}`, `{"code":5,"message":"}"}`},
		"in the middle":  {200, `{"error":{"code":5}}`, `{"error":{"code":5}}`},
		"other error":    {404, `{"code":5}`, `{"code":5}`},
		"after an error": {404, "\n", "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			withPlainStreamErrors(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				if n, err := w.Write([]byte(tt.body)); n != len(tt.body) || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
			})).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
			if diff := cmp.Diff(tt.want, rec.Body.String()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

// Every method that a contract binds has a handler, once its service is connected.
func TestEveryBindingIsRouted(t *testing.T) {
	conns := map[string]*grpc.ClientConn{}
	for service := range bindings() {
		conn, err := grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[service] = conn
	}
	a, err := newAPI(t.Context(), conns, longrunningpb.NewOperationsClient(conns["deploy"]))
	if err != nil {
		t.Fatal(err)
	}
	routed := 0
	for key, bound := range a.contract {
		method, template, _ := strings.Cut(key, " ")
		if !strings.HasPrefix(string(bound.input.FullName()), "fairlead.") || strings.HasPrefix(string(bound.input.FullName()), "fairlead.events.") {
			continue // google's own paths; events are not by generated code
		}
		path := regexp.MustCompile(`\{[^=]*=([^}]*)\}`).ReplaceAllString(template, "$1")
		r := httptest.NewRequest(method, strings.ReplaceAll(path, "*", "x"), nil)
		if got, ok := a.find(r, method); !ok || got.input != bound.input {
			t.Errorf("%s is not routed to its method: %v", key, ok)
		}
		routed++
	}
	if routed < 30 {
		t.Errorf("only %d bindings were read", routed)
	}
}
