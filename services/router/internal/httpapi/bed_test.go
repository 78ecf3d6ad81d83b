package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/proxy"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "0123456789abcdef"

var diabetes = routetable.ID{Workspace: "default", Endpoint: "diabetes"}

// bed is a handler behind a real server, with a table that the test decides.
type bed struct {
	t       testing.TB
	routes  *routetable.Current
	builder *routetable.Builder
	url     string
	client  *http.Client
	counted counted

	forwarder *proxy.Forwarder
}

func newBed(t testing.TB, maxBodyBytes int64) *bed {
	b := &bed{t: t, routes: routetable.NewCurrent(), builder: routetable.NewBuilder(nil)}
	forwarder := proxy.New()
	b.forwarder = forwarder
	server := httptest.NewUnstartedServer(New(Deps{
		Logger: slog.New(slog.DiscardHandler), Routes: b.routes, Forwarder: forwarder, MaxBodyBytes: maxBodyBytes, Count: b.counted.add, Version: "1.2",
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	b.url, b.client = server.URL, &http.Client{Transport: transport, Timeout: 30 * time.Second}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		cut, cancel := context.WithCancel(context.Background())
		cancel()
		forwarder.Drain(cut)
		forwarder.Close()
	})
	return b
}

// install puts a table with one endpoint in force.
func (b *bed) install(route routetable.Route, replicas map[string][]routetable.Replica) {
	sum := sha256.Sum256([]byte(key))
	b.routes.Install(b.builder.Build(routetable.Inputs{
		Complete: true, Routes: []routetable.Route{route}, Replicas: replicas,
		Digests: map[routetable.ID][][]byte{route.ID: {sum[:]}},
	}, b.routes.Load(), time.Now()))
}

// serve puts an endpoint with one version and these replicas in force.
func (b *bed) serve(change func(*routetable.RouteVersion), replicas ...routetable.Replica) {
	v := version("v1", 10_000)
	if change != nil {
		change(&v)
	}
	b.install(route(v), map[string][]routetable.Replica{"w-v1": replicas})
}

func route(versions ...routetable.RouteVersion) routetable.Route {
	return routetable.Route{ID: diabetes, UID: "u", Default: versions[0].Name, Versions: versions}
}

func version(name string, share int32) routetable.RouteVersion {
	return routetable.RouteVersion{
		Name: name, Share: share, Workload: "w-" + name,
		ScoringTimeout: 20 * time.Second, MaxQueueWait: 10 * time.Second, MaxConcurrent: 4,
	}
}

// replica is a real server as a ready replica.
func replica(t testing.TB, id string, handler http.HandlerFunc) routetable.Replica {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	return routetable.Replica{ID: id, Address: server.Listener.Addr().String(), State: balancing.Ready}
}

// deadReplica is one whose address nobody listens at.
func deadReplica(t testing.TB, id string) routetable.Replica {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return routetable.Replica{ID: id, Address: listener.Addr().String(), State: balancing.Ready}
}

func answers(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, text)
	}
}

// reply is an answer as a test looks at it.
type reply struct {
	status int
	header http.Header
	body   string
}

func (b *bed) send(ctx context.Context, method, path string, header http.Header, body io.Reader) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, b.url+path, body)
	if err != nil {
		return reply{}, err
	}
	if _, ok := header["Authorization"]; !ok {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for name, values := range header {
		if values != nil {
			r.Header[name] = values
		}
	}
	response, err := b.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(content)}, err
}

// do sends a request that has to be answered.
func (b *bed) do(method, path string, header http.Header, body string) reply {
	b.t.Helper()
	got, err := b.send(b.t.Context(), method, path, header, strings.NewReader(body))
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

func (b *bed) score(header http.Header) reply {
	b.t.Helper()
	return b.do(http.MethodPost, "/api/v1/service/diabetes/score", header, "[[1,2,3]]")
}

// check wants a refusal with the status, and with text in its message.
func (r reply) check(t testing.TB, status int, code, text string) {
	t.Helper()
	var body errorBody
	if err := json.NewDecoder(bytes.NewReader([]byte(r.body))).Decode(&body); err != nil {
		t.Fatalf("status %d, body %q is not JSON: %v", r.status, r.body, err)
	}
	switch {
	case r.status != status || body.Error.Code != code:
		t.Errorf("answer = %d %s, want %d %s", r.status, body.Error.Code, status, code)
	case !strings.Contains(body.Message, text) || body.Error.Message != body.Message:
		t.Errorf("message = %q and %q, want it to say %q", body.Message, body.Error.Message, text)
	case body.Error.RequestID == "" || body.Error.RequestID != r.header.Get("x-ms-request-id"):
		t.Errorf("request id = %q, in the header %q", body.Error.RequestID, r.header.Get("x-ms-request-id"))
	case r.header.Get("Content-Type") != "application/json":
		t.Errorf("content type = %q", r.header.Get("Content-Type"))
	}
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h[http.CanonicalHeaderKey(pairs[i])] = append(h[http.CanonicalHeaderKey(pairs[i])], pairs[i+1])
	}
	return h
}

// tally counts answers by what they say.
type tally map[string]int

func (c tally) String() string { return fmt.Sprint(map[string]int(c)) }
