//go:build unix

package frame_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/frame"
)

// pair gives both ends of a connection.
func pair(t *testing.T) (a, b *frame.Conn) {
	t.Helper()
	a, other, err := frame.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	socket, err := net.FileConn(other)
	if err != nil {
		t.Fatal(err)
	}
	b = frame.NewConn(socket.(*net.UnixConn))
	t.Cleanup(func() { a.Close(); b.Close() })
	for _, c := range []*frame.Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func TestDetachedBody(t *testing.T) {
	a, b := pair(t)
	path := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(path, []byte("in a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	body, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	// What lies in the buffer already must not mix up whose descriptor it is.
	for _, send := range []error{a.Send([]byte("1"), []byte("in the frame")), a.SendDetached([]byte("2"), body, 9), a.Send([]byte("3"), nil)} {
		if send != nil {
			t.Fatal(send)
		}
	}
	for _, want := range []struct{ header, body string }{{"1", "in the frame"}, {"2", "in a file"}, {"3", ""}} {
		f, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		got := f.Body
		if f.File != nil {
			got, err = io.ReadAll(f.File)
			f.File.Close()
		}
		if err != nil || string(f.Header) != want.header || string(got) != want.body || f.Detached != (want.header == "2") {
			t.Errorf("got %q %q (detached: %v, %v), want %+v", f.Header, got, f.Detached, err, want)
		}
	}
}

func TestDetachedBodyWithoutDescriptor(t *testing.T) {
	a, b := pair(t)
	if err := a.SendFiles([]byte{0x80, 0, 0, 0}); err != nil { // any frame
		t.Fatal(err)
	}
	if _, err := b.Receive(); err != nil {
		t.Fatal(err)
	}
	raw, other, err := frame.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	defer other.Close()
	if _, err := other.Write([]byte("\x80\x00\x00\x01\x00\x00\x00\x05{")); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Receive(); !errors.Is(err, frame.ErrNoDescriptor) {
		t.Errorf("got %v, want ErrNoDescriptor", err)
	}
}

func TestConnCarriesLongBodies(t *testing.T) {
	a, b := pair(t)
	body := bytes.Repeat([]byte("x"), 3<<20)
	sent := make(chan error, 1)
	go func() { sent <- a.Send([]byte("h"), body) }()
	f, err := b.Receive()
	if err != nil || !bytes.Equal(f.Body, body) {
		t.Errorf("got %d bytes, %v", len(f.Body), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
