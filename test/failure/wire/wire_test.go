package wire_test

import (
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/test/failure/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open makes a wire to a server that answers with what it is sent.
func open(t *testing.T) *wire.Wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // until either side ends
			}()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-ended })
	w, err := wire.Open(t.Context(), listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func dial(t *testing.T, w *wire.Wire) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", w.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// say sends a word and wants it back.
func say(c net.Conn, word string) error {
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(word)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len(word)))
	return err
}

func TestPass(t *testing.T) {
	w := open(t)
	c := dial(t, w)
	for range 3 {
		if err := say(c, "hello"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSever(t *testing.T) {
	w := open(t)
	before := dial(t, w)
	if err := say(before, "hello"); err != nil {
		t.Fatal(err)
	}
	w.Set(wire.Sever)
	if err := say(before, "hello"); err == nil {
		t.Error("a connection from before goes on")
	}
	if err := say(dial(t, w), "hello"); err == nil {
		t.Error("a new connection works")
	}
	w.Set(wire.Pass)
	if err := say(dial(t, w), "hello"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// What is sent during a silence comes after it.
func TestSilence(t *testing.T) {
	w := open(t)
	c := dial(t, w)
	if err := say(c, "before"); err != nil {
		t.Fatal(err)
	}
	w.Set(wire.Silence)
	if _, err := c.Write([]byte("during")); err != nil {
		t.Fatal(err)
	}
	late := dial(t, w)
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came through", n)
	}
	w.Set(wire.Pass)
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("during"))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "during" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := say(late, "after"); err != nil {
		t.Errorf("a connection that was made during the silence: %v", err)
	}
}
