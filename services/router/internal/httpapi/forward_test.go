package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
	"github.com/fairlead/fairlead/services/router/internal/tracecontext"
)

// echo answers with what it got.
func echo(got *http.Request, body *string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		*got, *body = *r.Clone(context.Background()), string(content)
		w.Header().Set("Connection", "X-Private")
		w.Header().Set("X-Private", "1")
		w.Header().Set("X-Own", "1")
		w.Header().Set("x-ms-run-function-failed", "False")
		io.WriteString(w, "done")
	}
}

func TestWhatThePartiesSee(t *testing.T) {
	var got http.Request
	var body string
	b := newBed(t, 1<<20)
	b.serve(nil, replica(t, "r", echo(&got, &body)))
	answer := b.do(http.MethodPost, "/api/v1/service/diabetes/score?a=1&b=%20x", header(
		"Connection", "X-Mine", "X-Mine", "1", "Te", "trailers", "Proxy-Authorization", "p", "X-Forwarded-For", "10.0.0.1",
		"X-Client", "1", "x-ms-client-request-id", "C", "Traceparent", "not one", "Tracestate", "s=1",
	), "[[1,2,3]]")
	if answer.status != 200 || answer.body != "done" {
		t.Fatalf("answer = %d %q", answer.status, answer.body)
	}
	if got.Method != "POST" || got.URL.String() != "/score?a=1&b=%20x" || body != "[[1,2,3]]" || got.ContentLength != 9 {
		t.Errorf("the replica got %s %s %q", got.Method, got.URL, body)
	}
	for _, name := range []string{"Authorization", "X-Mine", "Te", "Proxy-Authorization", "Tracestate"} {
		if v, ok := got.Header[name]; ok {
			t.Errorf("the replica got %s: %v", name, v)
		}
	}
	want := map[string]string{"X-Client": "1", "X-Forwarded-For": "10.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "http", "X-Ms-Client-Request-Id": "C"}
	for name, value := range want {
		if v := got.Header.Get(name); v != value {
			t.Errorf("the replica got %s: %q, want %q", name, v, value)
		}
	}
	want = map[string]string{
		"Azureml-Model-Deployment": "v1", "X-Own": "1", "X-Private": "", "X-Ms-Run-Function-Failed": "False",
		"X-Ms-Request-Id": "C", "X-Ms-Client-Request-Id": "C", "X-Request-Id": got.Header.Get("X-Request-Id"),
		"Traceparent": got.Header.Get("Traceparent"),
	}
	for name, value := range want {
		if v := answer.header.Get(name); v != value {
			t.Errorf("the caller got %s: %q, want %q", name, v, value)
		}
	}
	if !tracecontext.Valid(answer.header.Get("Traceparent")) || answer.header.Get("X-Request-Id") == "" {
		t.Errorf("traceparent %q, id %q", answer.header.Get("Traceparent"), answer.header.Get("X-Request-Id"))
	}
}

func TestTraceparentPasses(t *testing.T) {
	var got http.Request
	var body string
	b := newBed(t, 1<<20)
	b.serve(nil, replica(t, "r", echo(&got, &body)))
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	answer := b.score(header("Traceparent", parent, "Tracestate", "s=1"))
	if got.Header.Get("Traceparent") != parent || got.Header.Get("Tracestate") != "s=1" || answer.header.Get("Traceparent") != parent {
		t.Errorf("traceparent %q at the replica, %q in the answer", got.Header.Get("Traceparent"), answer.header.Get("Traceparent"))
	}
}

func TestPathsAndMethods(t *testing.T) {
	b := newBed(t, 1<<20)
	path := replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Method+" "+r.URL.String())
	})
	other := route(version("v1", 10_000))
	other.ID.Workspace = "team"
	b.install(other, map[string][]routetable.Replica{"w-v1": {path}})
	tests := []struct{ method, path, want string }{
		{"POST", "/score", "POST /score"},
		{"GET", "/score?a=1", "GET /score?a=1"},
		{"OPTIONS", "/score", "OPTIONS /score"},
		{"GET", "/", "GET /"},
		{"GET", "/swagger.json?version=3", "GET /swagger.json?version=3"},
		{"OPTIONS", "/swagger.json", "OPTIONS /swagger.json"},
		{"HEAD", "/", ""},
	}
	for _, test := range tests {
		got := b.do(test.method, "/api/v1/workspaces/team/service/diabetes"+test.path, nil, "")
		if got.status != 200 || got.body != test.want {
			t.Errorf("%s %s = %d %q, want %q", test.method, test.path, got.status, got.body, test.want)
		}
	}
	if got := b.do("OPTIONS", "/api/v1/workspaces/team/service/diabetes/score", header("Authorization", "none"), ""); got.status != 200 {
		t.Errorf("OPTIONS without a key = %d, want 200", got.status)
	}
	if got := b.do("GET", "/", nil, ""); got.status != 200 || got.body != "Healthy" {
		t.Errorf("GET / = %d %q, want Healthy", got.status, got.body)
	}
}

func TestContainersStatus(t *testing.T) {
	b := newBed(t, 1<<20)
	b.serve(nil, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		status := map[string]int{"500": 500, "503": 503, "404": 404, "201": 201}[r.URL.RawQuery]
		w.WriteHeader(status)
		io.WriteString(w, "said "+r.URL.RawQuery)
	}))
	for query, want := range map[string]int{"500": 502, "503": 503, "404": 404, "201": 201} {
		got := b.do("POST", "/api/v1/service/diabetes/score?"+query, nil, "x")
		if got.status != want || got.body != "said "+query {
			t.Errorf("a container's %s = %d %q, want %d and its body", query, got.status, got.body, want)
		}
	}
}

// A writer and a reader that take turns through the router: nothing is held back.
func TestStreamsBothWays(t *testing.T) {
	b := newBed(t, 1<<20)
	b.serve(nil, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			io.WriteString(w, "echo "+lines.Text()+"\n")
			control.Flush()
		}
		w.Header().Set(http.TrailerPrefix+"X-Sum", "3")
	}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "POST /api/v1/service/diabetes/score HTTP/1.1\r\nHost: h\r\nAuthorization: bearer "+key+"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(response.Body)
	for _, next := range []string{"2\r\nb\n\r\n", "2\r\nc\n\r\n", "0\r\n\r\n"} {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		io.WriteString(conn, next)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		t.Errorf("rest = %q, %v", rest, err)
	}
	if got := response.Trailer.Get("X-Sum"); got != "3" {
		t.Errorf("trailer = %q, want 3", got)
	}
}

func TestCallerLeaves(t *testing.T) {
	b := newBed(t, 1<<20)
	arrived, left := make(chan struct{}), make(chan struct{})
	b.serve(nil, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
		close(left)
	}))
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.send(ctx, "POST", "/api/v1/service/diabetes/score", nil, strings.NewReader("x"))
		done <- err
	}()
	<-arrived
	leave()
	<-left
	if err := <-done; err == nil {
		t.Error("the caller got an answer")
	}
	v, _ := b.routes.Load().Lookup(diabetes)
	awaitIdle(t, v)
}

func awaitIdle(t *testing.T, e *routetable.Endpoint) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		load, busy := e.Versions[0].Gate.Load(), 0
		for _, n := range load.InFlight {
			busy += n
		}
		if busy+load.Queued == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("load = %+v, want none", load)
		}
	}
}

func TestAnswerThatIsCutOff(t *testing.T) {
	b := newBed(t, 1<<20)
	b.serve(nil, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "only this")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	if got, err := b.send(t.Context(), "POST", "/api/v1/service/diabetes/score", nil, strings.NewReader("x")); err == nil {
		t.Errorf("the caller got %+v as if it were whole", got)
	}
}

func TestReplicaCannotBeReached(t *testing.T) {
	t.Run("another one answers", func(t *testing.T) {
		b := newBed(t, 1<<20)
		b.serve(nil, deadReplica(t, "a"), replica(t, "b", answers("b")), deadReplica(t, "c"))
		failed := 0
		for range 20 {
			if got := b.score(nil); got.status != 200 {
				failed++
			}
		}
		// Only the first request can meet both dead replicas.
		if failed > 1 {
			t.Errorf("%d of 20 requests failed", failed)
		}
	})
	t.Run("a large body is sent to the other one", func(t *testing.T) {
		var size atomic.Int64
		b := newBed(t, 1<<20)
		b.serve(nil, deadReplica(t, "a"), replica(t, "b", func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			size.Store(n)
		}))
		got := b.do("POST", "/api/v1/service/diabetes/score", nil, strings.Repeat("x", 300_000))
		if got.status != 200 || size.Load() != 300_000 {
			t.Errorf("answer = %d, the replica got %d bytes", got.status, size.Load())
		}
	})
	t.Run("there is no other", func(t *testing.T) {
		b := newBed(t, 1<<20)
		b.serve(nil, deadReplica(t, "a"))
		b.score(nil).check(t, 502, "ReplicaFailed", "Replica closed connection before replying")
	})
}

func TestReplicaEndsTheConnection(t *testing.T) {
	var calls atomic.Int32
	b := newBed(t, 1<<20)
	crash := func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}
	b.serve(nil, replica(t, "a", crash), replica(t, "b", crash))
	b.score(nil).check(t, 502, "ReplicaFailed", "Replica closed connection before replying")
	if calls.Load() != 1 {
		t.Errorf("the request was sent %d times, want once", calls.Load())
	}
}

func TestARequestThatMayBeRepeatedIsSentToAnotherReplica(t *testing.T) {
	marked := http.Header{"Idempotency-Key": {"7"}}
	crash := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}
	tests := []struct {
		name   string
		header http.Header
		body   string
		second http.HandlerFunc
		status int
	}{
		{"marked", marked, "{}", answers("b"), 200},
		{"not marked", nil, "{}", answers("b"), 502},
		{"too large to be kept", marked, strings.Repeat("x", 300_000), answers("b"), 502},
		{"once only", marked, "{}", crash, 502},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, 1<<20)
			b.serve(nil, replica(t, "a", crash), replica(t, "b", tt.second))
			if got := b.do("POST", "/api/v1/service/diabetes/score", tt.header, tt.body); got.status != tt.status {
				t.Errorf("answer = %d %s, want %d", got.status, got.body, tt.status)
			}
		})
	}
}

func TestReplicaLeavesBetweenRequests(t *testing.T) {
	b := newBed(t, 1<<20)
	b.serve(nil, replica(t, "a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
	}))
	for range 50 {
		if got := b.score(nil); got.status != 200 {
			t.Fatalf("answer = %d %s", got.status, got.body)
		}
	}
}

func TestLargeBodyPasses(t *testing.T) {
	b := newBed(t, 8<<20)
	b.serve(nil, replica(t, "a", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	}))
	want := strings.Repeat("0123456789", 700_000)
	for _, length := range []string{"known", "chunked"} {
		var body io.Reader = strings.NewReader(want)
		if length == "chunked" {
			body = io.MultiReader(body)
		}
		got, err := b.send(t.Context(), "POST", "/api/v1/service/diabetes/score", nil, body)
		if err != nil || got.status != 200 {
			t.Fatalf("%s length: %v, status %d", length, err, got.status)
		}
		if got.body != want {
			t.Errorf("%s length: %s", length, cmp.Diff(len(want), len(got.body)))
		}
	}
}
