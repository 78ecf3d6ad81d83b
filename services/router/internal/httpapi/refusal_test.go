package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

func TestRefusals(t *testing.T) {
	b := newBed(t, 100)
	b.serve(nil, replica(t, "r", answers("ok")))
	const score = "/api/v1/service/diabetes/score"
	long := strings.Repeat("x", 101)
	tests := []struct {
		name, method, path string
		header             http.Header
		body               string
		status             int
		code, text         string
	}{
		{"no key", "POST", score, header("Authorization", ""), "", 401, "Unauthorized", "Unauthorized"},
		{"other scheme", "POST", score, header("Authorization", "Basic "+key), "", 401, "Unauthorized", "Bearer"},
		{"wrong key", "POST", score, header("Authorization", "Bearer "+key+"x"), "", 401, "Unauthorized", "not one of"},
		{"empty key", "POST", score, header("Authorization", "Bearer "), "", 401, "Unauthorized", "Unauthorized"},
		{"two keys", "POST", score, header("Authorization", "Bearer "+key, "Authorization", "Bearer "+key), "", 401, "Unauthorized", "form"},
		{"unknown endpoint", "POST", "/api/v1/service/other/score", nil, "", 404, "EndpointNotFound", "no endpoint other in workspace default"},
		{"unknown workspace", "POST", "/api/v1/workspaces/w/service/diabetes/score", nil, "", 404, "EndpointNotFound", "workspace w"},
		{"unknown version", "POST", score, header("azureml-model-deployment", "v9"), "", 404, "VersionNotFound", "has no version v9; it has: v1."},
		{"other path", "GET", "/metrics", nil, "", 404, "NotFound", "/score"},
		{"path below the endpoint", "POST", score + "/", nil, "", 404, "NotFound", "/score"},
		{"escaped path", "POST", "/api/v1/service/diabetes/%73core", nil, "", 404, "NotFound", "/score"},
		{"dots", "POST", "/api/v1/service/x/../diabetes/score", nil, "", 404, "NotFound", "/score"},
		{"method on score", "PUT", score, nil, "", 405, "MethodNotAllowed", "GET, POST, OPTIONS"},
		{"method on swagger.json", "POST", "/api/v1/service/diabetes/swagger.json", nil, "", 405, "MethodNotAllowed", "GET, HEAD, OPTIONS"},
		{"method on the router", "POST", "/", nil, "", 405, "MethodNotAllowed", "GET, HEAD"},
		{"too large", "POST", score, nil, long, 413, "RequestTooLarge", "100 bytes"},
		{"long x-request-id", "POST", score, header("x-request-id", long), "", 431, "HeaderTooLarge", "x-request-id must not exceed 100 characters"},
		{"long x-ms-request-id", "POST", score, header("x-ms-request-id", long), "", 431, "HeaderTooLarge", "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := b.do(test.method, test.path, test.header, test.body)
			got.check(t, test.status, test.code, test.text)
			if test.status == 401 && got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("WWW-Authenticate = %q", got.header.Get("WWW-Authenticate"))
			}
			if test.status == 405 && got.header.Get("Allow") != test.text {
				t.Errorf("Allow = %q, want %q", got.header.Get("Allow"), test.text)
			}
		})
	}
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER  "} {
		if got := b.score(header("Authorization", scheme+key)); got.status != 200 {
			t.Errorf("scheme %q: %d", scheme, got.status)
		}
	}
}

func TestNoAuthHeader(t *testing.T) {
	b := newBed(t, 100)
	b.serve(nil, replica(t, "r", answers("ok")))
	got := b.score(http.Header{"Authorization": nil})
	got.check(t, 401, "Unauthorized", "Unauthorized, no Auth Header")
}

func TestOpenEndpoint(t *testing.T) {
	b := newBed(t, 100)
	open := route(version("v1", 10_000))
	open.Open = true
	b.install(open, map[string][]routetable.Replica{"w-v1": {replica(t, "r", answers("ok"))}})
	if got := b.score(http.Header{"Authorization": nil}); got.status != 200 {
		t.Errorf("answer = %d, want 200", got.status)
	}
}

func TestStarting(t *testing.T) {
	newBed(t, 100).score(nil).check(t, 503, "Starting", "starting")
}

func TestNoVersions(t *testing.T) {
	b := newBed(t, 100)
	b.install(routetable.Route{ID: diabetes, UID: "u"}, nil)
	b.score(nil).check(t, 503, "NoReadyReplicas", "No ready replicas for service diabetes.")
}

func TestTooLargeWithoutLength(t *testing.T) {
	b := newBed(t, 200_000)
	b.serve(nil, replica(t, "r", answers("ok")))
	got, err := b.send(t.Context(), "POST", "/api/v1/service/diabetes/score", nil, io.MultiReader(strings.NewReader(strings.Repeat("x", 200_001))))
	if err != nil {
		t.Fatal(err)
	}
	got.check(t, 413, "RequestTooLarge", "200000 bytes")
	if got.header.Get("Azureml-Model-Deployment") != "v1" {
		t.Error("the answer does not name the version")
	}
	e, _ := b.routes.Load().Lookup(diabetes)
	awaitIdle(t, e)
}

func TestOverload(t *testing.T) {
	b := newBed(t, 100)
	release := make(chan struct{})
	arrived := make(chan struct{}, 1)
	b.serve(func(v *routetable.RouteVersion) { v.MaxConcurrent, v.MaxQueueWait = 1, 20*time.Millisecond },
		replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-release
		}))
	first := make(chan reply, 1)
	go func() {
		got, _ := b.send(context.Background(), "POST", "/api/v1/service/diabetes/score", nil, nil)
		first <- got
	}()
	<-arrived
	got := b.score(nil)
	got.check(t, 503, "TooManyRequests", "Too many requests for service diabetes (overloaded)")
	if got.header.Get("Retry-After") != "1" || got.header.Get("Azureml-Model-Deployment") != "v1" {
		t.Errorf("header = %v", got.header)
	}
	close(release)
	if got := <-first; got.status != 200 {
		t.Errorf("the first request: %d, want 200", got.status)
	}
}

func TestNoReadyReplicas(t *testing.T) {
	b := newBed(t, 100)
	b.serve(func(v *routetable.RouteVersion) { v.MaxQueueWait = 20 * time.Millisecond },
		routetable.Replica{ID: "r", Address: "127.0.0.1:1", State: balancing.Draining})
	got := b.score(nil)
	got.check(t, 503, "NoReadyReplicas", "No ready replicas for service diabetes.")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("header = %v", got.header)
	}
}

func TestScoringTimeout(t *testing.T) {
	hang := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	t.Run("the script", func(t *testing.T) {
		b := newBed(t, 100)
		b.serve(func(v *routetable.RouteVersion) { v.ScoringTimeout = 50 * time.Millisecond }, replica(t, "r", hang))
		got := b.score(nil)
		got.check(t, 504, "ScoringTimeout", "50ms")
		if got.header.Get("Azureml-Model-Deployment") != "v1" {
			t.Error("the answer does not name the version")
		}
	})
	t.Run("the queue", func(t *testing.T) {
		b := newBed(t, 100)
		b.serve(func(v *routetable.RouteVersion) { v.ScoringTimeout = 50 * time.Millisecond })
		b.score(nil).check(t, 504, "ScoringTimeout", "50ms")
	})
	t.Run("a caller that sends slowly", func(t *testing.T) {
		for _, length := range []string{"Content-Length: 90", "Transfer-Encoding: chunked"} {
			b := newBed(t, 100)
			b.serve(func(v *routetable.RouteVersion) { v.ScoringTimeout = 50 * time.Millisecond }, replica(t, "r", hang))
			if got := rawStatus(t, b, "POST /api/v1/service/diabetes/score HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+key+"\r\n"+length+"\r\n\r\n"); got != 504 {
				t.Errorf("%s: status = %d, want 504", length, got)
			}
		}
	})
}

// rawStatus sends bytes and gives the status of the answer.
func rawStatus(t *testing.T, b *bed, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, request)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestMalformed(t *testing.T) {
	b := newBed(t, 1000)
	b.serve(nil, replica(t, "r", answers("ok")))
	const start = "POST /api/v1/service/diabetes/score HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + key + "\r\n"
	tests := []struct {
		name, request string
		status        int
	}{
		{"two lengths", start + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		{"a length that is no number", start + "Content-Length: +1\r\n\r\na", 400},
		{"a chunk that is none", start + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"unknown coding", start + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{"space before the colon", start + "X : 1\r\n\r\n", 400},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := rawStatus(t, b, test.request); got != test.status {
				t.Errorf("status = %d, want %d", got, test.status)
			}
		})
	}
}

// TestPreflightHoldsNoPlace: OPTIONS passes without a key, so a body that never
// ends must not keep a replica from those who have one.
func TestPreflightHoldsNoPlace(t *testing.T) {
	b := newBed(t, 1<<20)
	bodies := make(chan int64, 1)
	b.serve(func(v *routetable.RouteVersion) { v.MaxConcurrent = 1 }, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			bodies <- r.ContentLength
		}
		answers("ok")(w, r)
	}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "OPTIONS /api/v1/service/diabetes/score HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
	if err != nil {
		t.Fatal(err)
	}
	if got := <-bodies; got != 0 {
		t.Errorf("the replica was promised a body of %d bytes", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	got, err := b.send(ctx, http.MethodPost, "/api/v1/service/diabetes/score", nil, strings.NewReader("{}"))
	if err != nil || got.status != http.StatusOK {
		t.Errorf("scoring beside it: %d %v", got.status, err)
	}
}

func TestFaultOfTheRouter(t *testing.T) {
	b := newBed(t, 1000)
	broken := route(version("v1", 10_000))
	b.install(broken, nil)
	e, _ := b.routes.Load().Lookup(diabetes)
	e.Versions[0].Gate = nil // as no table ever is
	b.score(nil).check(t, 500, "InternalError", "router failed")
	e.Versions = nil
}
