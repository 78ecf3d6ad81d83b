package bus

import (
	"context"
	"errors"
	"net"
	"time"
)

var errClosed = errors.New("bus: the server is closed")

// Run watches the server until ctx ends, then closes it. A server that can't write
// any more, as after its disk was full, is started again in place as soon as there
// is room: connections come back to it by themselves.
func (e *Embedded) Run(ctx context.Context) error {
	defer e.Close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var r recovery
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.closed:
			return nil
		case <-tick.C:
		}
		problem := e.current.Load().Healthz(nil).Error
		trouble, action := r.judge(lookAt(e.cfg.StoreDir, problem, time.Now()))
		e.report(trouble)
		if err := e.act(ctx, action); err != nil && ctx.Err() == nil && !errors.Is(err, errClosed) {
			e.deps.Logger.Error("the NATS server does not start, trying again", "error", err)
		}
	}
}

func (e *Embedded) act(ctx context.Context, a action) error {
	switch a {
	case halt:
		return e.current.Load().ShutdownJetStream()
	case renew:
		e.deps.Logger.Warn("starting the NATS server again, for it can't write any more")
		return e.restart(ctx)
	default:
		return nil
	}
}

// Trouble says in plain words what is wrong while changes may be refused, and is
// empty otherwise. Only Run finds out.
func (e *Embedded) Trouble() string {
	if t := e.trouble.Load(); t != nil {
		return *t
	}
	return ""
}

// report logs where trouble begins, changes and ends.
func (e *Embedded) report(trouble string) {
	before := e.Trouble()
	if trouble == before {
		return
	}
	e.trouble.Store(&trouble)
	if trouble == "" {
		e.deps.Logger.Info("the NATS server is well again")
		return
	}
	e.deps.Logger.Error(trouble)
}

// restart replaces the server by one with the same address, store and credentials.
func (e *Embedded) restart(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closed:
		return errClosed
	default:
	}
	stop(e.current.Load())
	opts, err := serverOptions(e.cfg, e.deps, e.gate)
	if err != nil {
		return err
	}
	if err := checkFree(ctx, e.cfg.Listen); err != nil {
		return err
	}
	srv, err := launch(ctx, opts, e.deps.Logger, e.closed)
	if err != nil {
		return err
	}
	e.current.Store(srv)
	return nil
}

// inProcess connects to whichever server there is now.
type inProcess struct{ e *Embedded }

// InProcessConn implements nats.InProcessConnProvider.
func (p inProcess) InProcessConn() (net.Conn, error) { return p.e.current.Load().InProcessConn() }
