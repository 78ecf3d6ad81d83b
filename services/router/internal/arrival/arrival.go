// Package arrival says when a request came: when its first bytes were read, which
// is before its head is parsed and its handler starts. What is counted of a
// request begins there, as for its caller.
//
// A time belongs to one connection. In HTTP/1.1 its requests come one after the
// other. In HTTP/2 they overlap: there it is when the connection was last read
// before the handler asked, which is at most the time to start the handler late.
package arrival

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// Listener notes when its connections read.
type Listener struct{ net.Listener }

// Accept waits for the next connection.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, epoch: time.Now()}, nil
}

// conn keeps the time of its last read that gave something, as the time since
// epoch: net/http reads from two goroutines.
type conn struct {
	net.Conn
	epoch time.Time
	last  atomic.Int64
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.last.Store(int64(time.Since(c.epoch)))
	}
	return n, err
}

type key struct{}

// Context makes the times of a connection of a Listener known to its requests.
func Context(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*conn); ok {
		return context.WithValue(ctx, key{}, c)
	}
	return ctx
}

// Of says when the request came whose head has just been read: now, without a
// connection of a Listener.
func Of(ctx context.Context) time.Time {
	if c, ok := ctx.Value(key{}).(*conn); ok {
		return c.epoch.Add(time.Duration(c.last.Load()))
	}
	return time.Now()
}
