package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/frame"
)

// lane is a socket of a worker, on which requests come one at a time.
type lane struct {
	process *process
	conn    *frame.Conn
	inDoubt func()        // says that the process may have to be replaced
	turn    chan struct{} // holds a token during an exchange: the socket has one user, and is closed only between two
}

func newLane(p *process, conn *frame.Conn) *lane {
	return &lane{process: p, conn: conn, turn: make(chan struct{}, 1)}
}

// load is how many requests the lane's process holds.
func (l *lane) load() int64 { return l.process.serving.Load() }

func (l *lane) take()  { l.turn <- struct{}{} }
func (l *lane) leave() { <-l.turn }

// takeUnless takes the lane, waiting until one of the channels closes. It reports false when the first closed.
func (l *lane) takeUnless(stop, ended <-chan struct{}) bool {
	select {
	case l.turn <- struct{}{}:
		return true
	default:
	}
	select {
	case l.turn <- struct{}{}:
		return true
	case <-ended:
		l.take()
		return true
	case <-stop:
		return false
	}
}

// score runs one request. After an error other than that of a bad request the process is gone or about to be.
func (l *lane) score(ctx context.Context, cfg Config, req Request) (*Reply, error) {
	p := l.process
	header, err := req.header(p.facts)
	if err != nil {
		return nil, err
	}
	release := l.begin(ctx, cfg)
	select {
	case <-p.ended:
		release()
		return nil, errNotSent
	default:
	}
	p.serving.Add(1)
	reply, fields, err := l.exchange(header, req)
	if err != nil {
		release()
		if errors.Is(err, errNotSent) {
			p.serving.Add(-1)
		}
		return nil, l.failure(ctx, cfg, err)
	}
	if reply.Outcome == exited {
		release()
		p.retire()
		return nil, ErrExited
	}
	p.answered.Add(1)
	if !fields.Stream {
		p.serving.Add(-1)
		release()
		return reply, nil
	}
	reply.stream = &stream{lane: l, release: release, fail: func(err error) error { return l.failure(ctx, cfg, err) }}
	return reply, nil
}

// begin starts an exchange and bounds it by the script's time limit and, once the caller is gone, by the grace. The result must be
// called when the exchange is over.
func (l *lane) begin(ctx context.Context, cfg Config) (release func()) {
	l.take()
	limit := time.Now().Add(cfg.Timeout)
	_ = l.conn.SetDeadline(limit)
	if ctx.Done() == nil {
		return l.leave
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		l.inDoubt()
		if grace := time.Now().Add(cfg.CancelGrace); grace.Before(limit) {
			_ = l.conn.SetDeadline(grace)
		}
	})
	return func() {
		if !stop() {
			<-fired
		}
		l.leave()
	}
}

// exchange sends a request and reads the reply to it.
func (l *lane) exchange(header []byte, req Request) (*Reply, replyFields, error) {
	var none replyFields
	if err := l.send(header, req); err != nil {
		// A worker that got some of the request may have ended because of it; the next one would, too.
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, frame.ErrCutOff) {
			return nil, none, err
		}
		return nil, none, fmt.Errorf("%w: %w", errNotSent, err)
	}
	f, err := l.conn.Receive()
	switch {
	case errors.Is(err, syscall.ECONNRESET) && len(req.Body) <= frame.JoinLimit:
		// The kernel says so when the other end was closed with the request unread.
		return nil, none, fmt.Errorf("%w: %w", errNotSent, err)
	case err != nil:
		return nil, none, err
	}
	k, _, err := kindOf(f.Header)
	if err == nil && k != kindReply {
		err = fmt.Errorf("it answered a request with a frame of kind %d", k)
	}
	if err != nil {
		closeFile(f.File)
		return nil, none, err
	}
	reply, fields, err := parseReply(f.Header)
	if err != nil {
		closeFile(f.File)
		return nil, none, err
	}
	reply.Body, reply.file, reply.size = f.Body, f.File, int64(f.Size)
	return reply, fields, nil
}

func (l *lane) send(header []byte, req Request) error {
	if req.Large != nil && len(req.Body) > 0 {
		return l.conn.SendDetached(header, req.Large.file, uint32(len(req.Body)))
	}
	return l.conn.Send(header, req.Body)
}

// failure sees to the end of the process and says why the exchange failed.
func (l *lane) failure(ctx context.Context, cfg Config, err error) error {
	p := l.process
	l.inDoubt()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	select {
	case <-p.ended:
		late = false
	default:
	}
	switch {
	case errors.Is(err, errNotSent):
		p.kill()
		return errNotSent
	case late && ctx.Err() != nil:
		p.abandon("run() went on after its caller was gone")
		return ctx.Err()
	case late:
		p.abandon(fmt.Sprintf("run() did not end within %v", cfg.Timeout))
		return &TimeoutError{Limit: cfg.Timeout}
	}
	// It is ending by itself; a signal now would hide how.
	p.awaitEnd()
	p.kill()
	<-p.ended
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, os.ErrDeadlineExceeded, frame.ErrCutOff} {
		if errors.Is(err, gone) {
			return &CrashError{Cause: p.exit}
		}
	}
	return &CrashError{Cause: "it broke the protocol: " + err.Error()}
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}
