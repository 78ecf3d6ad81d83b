package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const webSocket = "websocket"

// WantsWebSocket says whether a request asks for a WebSocket. No other upgrade
// passes.
func WantsWebSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.Method == http.MethodGet && r.ContentLength == 0 &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], webSocket) && isNamed(r.Header["Connection"], "Upgrade")
}

func askWebSocket(header http.Header) {
	header["Connection"] = []string{"Upgrade"}
	header["Upgrade"] = []string{webSocket}
}

// Upgraded is what has passed on a WebSocket.
type Upgraded struct {
	// Sent is how many bytes the caller got.
	Sent int64
}

// tunnel joins the caller's connection to that of the replica, whose answer
// agreed to a WebSocket. It returns when both are closed.
func (f *Forwarder) tunnel(w http.ResponseWriter, call *Call, response *http.Response) error {
	replica, ok := response.Body.(io.ReadWriteCloser)
	if !ok || !strings.EqualFold(response.Header.Get("Upgrade"), webSocket) {
		return fmt.Errorf("%w: it switched to a protocol that was not asked for", ErrNoReply)
	}
	header := w.Header()
	copyHeader(header, response.Header)
	askWebSocket(header)
	control := http.NewResponseController(w)
	conn, buffered, err := control.Hijack()
	if err != nil {
		return fmt.Errorf("%w: take the caller's connection: %w", ErrAborted, err)
	}
	defer conn.Close()
	// The deadlines were those of a request.
	if err := conn.SetDeadline(time.Now().Add(call.Idle)); err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	if err := writeSwitch(buffered.Writer, header); err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	t := &tunnel{caller: conn, replica: replica, ended: make(chan struct{})}
	if !f.tunnels.add(t) {
		return fmt.Errorf("%w: the router stops", ErrAborted)
	}
	defer f.tunnels.remove(t)
	call.Upgraded = &Upgraded{}
	received := t.join(buffered.Reader, call, &f.buffers)
	call.Body.received.Add(received)
	return nil
}

// writeSwitch writes the head of the answer that switches protocols.
func writeSwitch(w *bufio.Writer, header http.Header) error {
	if _, err := io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return err
	}
	if err := header.Write(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\r\n"); err != nil {
		return err
	}
	return w.Flush()
}

// tunnel is two connections whose bytes go to each other.
type tunnel struct {
	caller  net.Conn
	replica io.ReadWriteCloser
	once    sync.Once
	ended   chan struct{} // closed when it is out of the registry
}

// cut closes both sides.
func (t *tunnel) cut() {
	t.once.Do(func() {
		_ = t.caller.Close()
		_ = t.replica.Close()
	})
}

// join copies both ways until one side ends or nothing passes for too long. It
// gives how much the caller sent.
func (t *tunnel) join(fromCaller io.Reader, call *Call, buffers *bufferPool) (received int64) {
	idle := time.AfterFunc(call.Idle, t.cut)
	defer idle.Stop()
	alive := func() { idle.Reset(call.Idle) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.cut()
		received = pump(t.replica, fromCaller, alive, buffers)
	}()
	call.Upgraded.Sent = pump(t.caller, t.replica, alive, buffers)
	t.cut()
	<-done
	return received
}

// pump copies each piece as it comes and gives how much was written.
func pump(to io.Writer, from io.Reader, alive func(), buffers *bufferPool) (written int64) {
	buffer := buffers.get()
	defer buffers.put(buffer)
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			alive()
			m, wrong := to.Write(buffer[:n])
			written += int64(m)
			err = errors.Join(err, wrong)
		}
		if err != nil {
			return written
		}
	}
}

// tunnels are those that are there.
type tunnels struct {
	mu     sync.Mutex
	all    map[*tunnel]struct{}
	closed bool
}

// add reports false when there may be no more.
func (t *tunnels) add(one *tunnel) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		one.cut()
		return false
	}
	if t.all == nil {
		t.all = map[*tunnel]struct{}{}
	}
	t.all[one] = struct{}{}
	return true
}

func (t *tunnels) remove(one *tunnel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, one)
	close(one.ended)
}

func (t *tunnels) drain(ctx context.Context) {
	t.mu.Lock()
	t.closed = true
	left := make([]*tunnel, 0, len(t.all))
	for one := range t.all {
		left = append(left, one)
	}
	t.mu.Unlock()
	for _, one := range left {
		select {
		case <-one.ended:
		case <-ctx.Done():
			one.cut()
			<-one.ended
		}
	}
}
