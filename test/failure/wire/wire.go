// Package wire is a network that can fail: a TCP relay between clients and a
// server, which passes everything on, resets everything, or holds everything back.
//
// What is held back is passed on, in order and whole, when the silence ends. All
// methods may be called from anywhere. Close ends all that Open began.
package wire

import (
	"context"
	"net"
	"sync"
)

// Mode is what a wire does with connections.
type Mode int

// The modes.
const (
	// Pass relays.
	Pass Mode = iota
	// Sever resets every connection, and new ones at once.
	Sever
	// Silence takes connections and what is sent on them, and passes nothing on.
	Silence
)

// Wire is one relay.
type Wire struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu      sync.Mutex
	mode    Mode
	closed  bool
	changed chan struct{} // closed when the mode changes
	conns   map[net.Conn]bool
}

// Open makes a wire to a server, on a loopback port that the system chooses.
func Open(ctx context.Context, target string) (*Wire, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Wire{listener: listener, target: target, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	w.done.Go(w.accept)
	return w, nil
}

// Address is where clients connect.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Set changes the mode.
func (w *Wire) Set(mode Mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = mode
	close(w.changed)
	w.changed = make(chan struct{})
	if mode == Sever {
		w.reset()
	}
}

// Close ends all connections and waits until nothing is left.
func (w *Wire) Close() {
	w.mu.Lock()
	w.closed = true
	close(w.changed)
	w.changed = make(chan struct{})
	w.reset()
	w.mu.Unlock()
	_ = w.listener.Close()
	w.done.Wait()
}

// reset is called with mu held.
func (w *Wire) reset() {
	for c := range w.conns {
		abort(c)
	}
	clear(w.conns)
}

// abort ends a connection by a reset, as a cut cable does in the end.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (w *Wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.done.Go(func() { w.relay(client) })
	}
}

// relay joins a client with the server until one of them leaves.
func (w *Wire) relay(client net.Conn) {
	if !w.keep(client) {
		return
	}
	defer w.drop(client)
	if !w.await() {
		return
	}
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", w.target)
	if err != nil || !w.keep(server) {
		return
	}
	defer w.drop(server)
	var half sync.WaitGroup
	half.Go(func() { w.pump(client, server) })
	w.pump(server, client)
	half.Wait()
}

// pump passes bytes on in one direction. Its end ends the other direction.
func (w *Wire) pump(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !w.await() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// await waits for the end of a silence. It says whether the wire is whole.
func (w *Wire) await() bool {
	for {
		w.mu.Lock()
		mode, closed, changed := w.mode, w.closed, w.changed
		w.mu.Unlock()
		if closed || mode != Silence {
			return !closed && mode == Pass
		}
		<-changed
	}
}

// keep remembers a connection, or ends it when nobody may have one.
func (w *Wire) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.mode == Sever {
		abort(c)
		return false
	}
	w.conns[c] = true
	return true
}

func (w *Wire) drop(c net.Conn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
	_ = c.Close()
}
