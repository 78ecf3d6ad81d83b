package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

func custom(v *routetable.RouteVersion) { v.Custom = true }

func TestCustomServerAnswersOnAnyPath(t *testing.T) {
	b := newBed(t, 1000)
	b.serve(custom, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %q", r.Method, r.RequestURI, r.Header.Get("X-Forwarded-Prefix"), content)
	}))
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "/api/v1/service/diabetes/v1/chat/completions?a=1", "{}", `POST /v1/chat/completions?a=1 /api/v1/service/diabetes "{}"`},
		{"PUT", "/api/v1/service/diabetes/a%2Fb/%20c", "", `PUT /a%2Fb/%20c /api/v1/service/diabetes ""`},
		{"DELETE", "/api/v1/workspaces/default/service/diabetes/x", "", `DELETE /x /api/v1/workspaces/default/service/diabetes ""`},
		{"GET", "/api/v1/service/diabetes/docs/", "", `GET /docs/ /api/v1/service/diabetes ""`},
		{"POST", "/v2/models/diabetes/generate", "{}", `POST /v2/models/diabetes/generate  "{}"`},
		{"POST", "/api/v1/service/diabetes/score", "{}", `POST /score  "{}"`},
	} {
		if got := b.do(test.method, test.path, nil, test.body); got.status != 200 || got.body != test.want {
			t.Errorf("%s %s: %+v, want %s", test.method, test.path, got, test.want)
		}
		if q := b.counted.take(t); q.Code != 200 || q.Version != "v1" {
			t.Errorf("%s is counted as %+v", test.path, q)
		}
	}
	b.do("GET", "/api/v1/service/diabetes/docs/", header("Authorization", "Bearer x"), "").check(t, 401, "Unauthorized", "not one of this endpoint's keys")
	b.do("GET", "/api/v1/service/diabetes/-/drain", nil, "").check(t, 404, "NotFound", "nothing at this path")
	b.do("TRACE", "/api/v1/service/diabetes/x", nil, "").check(t, 405, "MethodNotAllowed", "DELETE")
}

func TestOnlyCustomServersGetAnyPath(t *testing.T) {
	b := newBed(t, 1000)
	b.serve(nil, replica(t, "r", answers("no")))
	b.do("GET", "/api/v1/service/diabetes/docs", header("Authorization", "none"), "").check(t, 404, "NotFound", "nothing at this path")
	script, own := version("v1", 10_000), version("v2", 0)
	own.Custom = true
	b.install(route(script, own), map[string][]routetable.Replica{"w-v1": {replica(t, "r1", answers("no"))}, "w-v2": {replica(t, "r2", answers("yes"))}})
	b.do("GET", "/api/v1/service/diabetes/docs", nil, "").check(t, 404, "NotFound", "Version v1 of endpoint diabetes is no custom server")
	if got := b.do("GET", "/api/v1/service/diabetes/docs", header(headerVersion, "v2"), ""); got.status != 200 || got.body != "yes" {
		t.Errorf("got %+v", got)
	}
}

// TestEventsComeAsTheyAreSent: each event reaches the caller before the next one is made.
func TestEventsComeAsTheyAreSent(t *testing.T) {
	b := newBed(t, 1000)
	seen := make(chan struct{})
	b.serve(custom, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-seen:
			case <-r.Context().Done():
				return
			}
		}
	}))
	r, err := http.NewRequestWithContext(t.Context(), "GET", b.url+"/api/v1/service/diabetes/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	response, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
			t.Fatalf("event %d is %q, %v", i, lines.Text(), lines.Err())
		}
		seen <- struct{}{}
	}
}

// upgrading is a server that agrees to a WebSocket and sends back each line in
// capitals; what is in a frame is no affair of a router.
func upgrading(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" || r.URL.Path == "/refuse" {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Accept: %s\r\n\r\nhello\n", r.Header.Get("Sec-Websocket-Key"))
	if rw.Flush() != nil {
		return
	}
	for {
		line, err := rw.ReadString('\n')
		if err != nil || line == "bye\n" {
			return
		}
		if _, err := io.WriteString(conn, strings.ToUpper(line)); err != nil {
			return
		}
	}
}

// socket is a caller's WebSocket.
type socket struct {
	net.Conn
	from   *bufio.Reader
	answer *http.Response
}

func (b *bed) upgrade(t *testing.T, path, protocol string) *socket {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Key: k\r\n\r\n", path, key, protocol)
	s := &socket{Conn: conn, from: bufio.NewReader(conn)}
	if s.answer, err = http.ReadResponse(s.from, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *socket) hears(t *testing.T, want string) {
	t.Helper()
	if line, err := s.from.ReadString('\n'); err != nil || line != want+"\n" {
		t.Fatalf("heard %q, %v, want %q", line, err, want)
	}
}

func (s *socket) says(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(s, text+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (s *socket) ends(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(s.from); err != nil || len(rest) > 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

const socketPath = "/api/v1/service/diabetes/ws"

func TestWebSocket(t *testing.T) {
	b := newBed(t, 1000)
	b.serve(func(v *routetable.RouteVersion) {
		v.Custom, v.MaxConcurrent, v.MaxQueueWait = true, 1, time.Millisecond
	}, replica(t, "r", upgrading))
	s := b.upgrade(t, socketPath, "websocket")
	if s.answer.StatusCode != 101 || s.answer.Header.Get("Sec-Websocket-Accept") != "k" || s.answer.Header.Get("Azureml-Model-Deployment") != "v1" || s.answer.Header.Get("X-Request-Id") == "" {
		t.Fatalf("answer %+v", s.answer)
	}
	s.hears(t, "hello")
	for _, word := range []string{"one", "two"} {
		s.says(t, word)
		s.hears(t, strings.ToUpper(word))
	}
	b.do("GET", "/api/v1/service/diabetes/x", nil, "").check(t, 503, "TooManyRequests", "overloaded")
	b.counted.take(t)
	s.says(t, "bye")
	s.ends(t)
	if q := b.counted.take(t); q.Code != 101 || q.RequestBytes != 12 || q.ResponseBytes != 14 || q.Replica != "r" {
		t.Errorf("counted %+v", q)
	}
	if got := b.do("GET", "/api/v1/service/diabetes/x", nil, ""); got.status != http.StatusUpgradeRequired {
		t.Errorf("the place is not free: %+v", got)
	}
}

func TestWebSocketEndsWithItsCaller(t *testing.T) {
	b := newBed(t, 1000)
	left := make(chan struct{})
	b.serve(custom, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		upgrading(w, r)
		close(left)
	}))
	s := b.upgrade(t, socketPath, "websocket")
	s.hears(t, "hello")
	s.Close()
	<-left
	if q := b.counted.take(t); q.Code != 101 {
		t.Errorf("counted %+v", q)
	}
}

// TestIdleWebSocketEnds: the scoring timeout is how long nothing may pass.
func TestIdleWebSocketEnds(t *testing.T) {
	b := newBed(t, 1000)
	b.serve(func(v *routetable.RouteVersion) { v.Custom, v.ScoringTimeout = true, 300*time.Millisecond }, replica(t, "r", upgrading))
	s := b.upgrade(t, socketPath, "websocket")
	s.hears(t, "hello")
	s.ends(t)
}

func TestWebSocketsAreCutAtTheEnd(t *testing.T) {
	b := newBed(t, 1000)
	b.serve(custom, replica(t, "r", upgrading))
	s := b.upgrade(t, socketPath, "websocket")
	s.hears(t, "hello")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.forwarder.Drain(ctx)
	s.ends(t)
}

func TestNoOtherUpgradePasses(t *testing.T) {
	for name, test := range map[string]struct {
		path, protocol string
		custom         bool
		want           int
	}{
		"refused by the server": {"/api/v1/service/diabetes/refuse", "websocket", true, http.StatusUpgradeRequired},
		"another protocol":      {socketPath, "h2c", true, http.StatusUpgradeRequired},
		"score":                 {"/api/v1/service/diabetes/score", "websocket", true, http.StatusUpgradeRequired},
		"a script":              {socketPath, "websocket", false, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1000)
			b.serve(func(v *routetable.RouteVersion) { v.Custom = test.custom }, replica(t, "r", upgrading))
			if s := b.upgrade(t, test.path, test.protocol); s.answer.StatusCode != test.want {
				t.Errorf("answer %+v", s.answer)
			}
		})
	}
}
