package timedwriter_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fairlead/fairlead/services/gateway/internal/timedwriter"
)

// server gives a server of both versions of HTTP, and a client of one.
func server(t *testing.T, two bool, h http.HandlerFunc) (url string, c *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	p := new(http.Protocols)
	p.SetHTTP1(!two)
	p.SetUnencryptedHTTP2(two)
	s.Config.Protocols = p
	s.Start()
	transport := &http.Transport{Protocols: p}
	t.Cleanup(func() { transport.CloseIdleConnections(); s.Close() })
	return s.URL, &http.Client{Transport: transport}
}

func get(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestAnAnswerThatNobodyReadsEnds(t *testing.T) {
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			url, c := server(t, two, func(w http.ResponseWriter, _ *http.Request) {
				defer close(ended)
				out := timedwriter.New(w, 50*time.Millisecond)
				for {
					if _, err := out.Write(make([]byte, 1<<20)); err != nil {
						return
					}
				}
			})
			get(t, c, url)
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("the handler still writes to a caller that does not read")
			}
		})
	}
}

func TestAQuietAnswerGoesOn(t *testing.T) {
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			const limit = 30 * time.Millisecond
			url, c := server(t, two, func(w http.ResponseWriter, r *http.Request) {
				out := timedwriter.New(w, limit)
				_, _ = out.Write([]byte("a"))
				out.Flush()
				select { // longer than a write may take
				case <-time.After(4 * limit):
				case <-r.Context().Done():
				}
				_, _ = out.Write([]byte("b"))
			})
			got := make([]byte, 0, 2)
			resp := get(t, c, url)
			for len(got) < 2 {
				var b [2]byte
				n, err := resp.Body.Read(b[:])
				got = append(got, b[:n]...)
				if err != nil && len(got) < 2 {
					t.Fatalf("after %q: %v", got, err)
				}
			}
		})
	}
}
