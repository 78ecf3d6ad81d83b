package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// BenchmarkHandler compares the whole handler (key, split, admission, ids,
// trace, forward) with the least that net/http can do, and both with no proxy at
// all: the part of the caller and of the replica in the figures.
func BenchmarkHandler(b *testing.B) {
	answer := strings.Repeat("x", 300)
	r := replica(b, "r", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, answer)
	})
	b.Run("direct", func(b *testing.B) { load(b, newClient(b), "http://"+r.Address) })
	b.Run("reverseproxy", func(b *testing.B) {
		transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
		defer transport.CloseIdleConnections()
		target, _ := url.Parse("http://" + r.Address)
		server := httptest.NewServer(&httputil.ReverseProxy{
			Transport:  transport,
			BufferPool: &buffers{},
			Rewrite:    func(p *httputil.ProxyRequest) { p.SetURL(target) },
		})
		defer server.Close()
		load(b, newClient(b), server.URL)
	})
	b.Run("router", func(b *testing.B) {
		bed := newBed(b, 100<<20)
		one, two := version("a", 9_000), version("b", 1_000)
		one.MaxConcurrent, two.MaxConcurrent = 256, 256
		bed.install(route(one, two), map[string][]routetable.Replica{"w-a": {r}, "w-b": {r}})
		load(b, bed.client, bed.url)
	})
}

// buffers spares the other side the buffer per answer that the router does not
// need, either.
type buffers struct{ pool sync.Pool }

func (p *buffers) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *buffers) Put(b []byte) { p.pool.Put(&b) }

func newClient(b *testing.B) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func load(b *testing.B, client *http.Client, address string) {
	body := strings.Repeat("[1,2,3,4]", 110)
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequest(http.MethodPost, address+"/api/v1/service/diabetes/score", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+key)
			r.Header.Set("Content-Type", "application/json")
			response, err := client.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != 200 {
				b.Errorf("status %d", response.StatusCode)
			}
		}
	})
}
