package arrival_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/services/router/internal/arrival"
)

// oneConn is a listener with one connection, which is there.
type oneConn struct{ net.Conn }

func (l oneConn) Accept() (net.Conn, error) { return l.Conn, nil }
func (l oneConn) Close() error              { return nil }
func (l oneConn) Addr() net.Addr            { return l.LocalAddr() }

func TestArrivalIsTheLastRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, near := net.Pipe()
		defer far.Close()
		defer near.Close()
		c, err := arrival.Listener{Listener: oneConn{near}}.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ctx := arrival.Context(context.Background(), c)
		go func() {
			time.Sleep(time.Second)
			far.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		}()
		if _, err := c.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		want := time.Now()
		time.Sleep(time.Minute) // parsing, as it were
		if got := arrival.Of(ctx); !got.Equal(want) {
			t.Errorf("the request came at %v, want %v", got, want)
		}
	})
}

func TestWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := arrival.Of(t.Context()); !got.Equal(time.Now()) {
			t.Errorf("the request came at %v, want now", got)
		}
	})
}

func TestEachRequestOfAServerHasItsTime(t *testing.T) {
	times := make(chan time.Time, 2)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { times <- arrival.Of(r.Context()) }))
	server.Listener = arrival.Listener{Listener: server.Listener}
	server.Config.ConnContext = arrival.Context
	server.Start()
	defer server.Close()
	for range 2 {
		begin := time.Now()
		resp, err := server.Client().Post(server.URL, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := <-times; got.Before(begin) || got.After(time.Now()) {
			t.Errorf("the request came at %v, not between %v and now", got, begin)
		}
	}
}
