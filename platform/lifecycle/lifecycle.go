// Package lifecycle runs the parts of a process.
//
// A Component is one method, Run, that blocks until its context ends or it
// fails. A Group runs components in the given order: each is started when the
// one before it is ready, and when one ends or fails, or the context ends, all
// are stopped in reverse order, each after those that were started later have
// ended. Nothing outlives Run.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
)

// Component does its work until ctx ends, then returns nil, or until it fails.
type Component interface {
	Run(ctx context.Context) error
}

// Readier is a Component that others wait for.
type Readier interface {
	// Ready is closed when the component can serve.
	Ready() <-chan struct{}
}

// Func is a function as a Component.
type Func func(ctx context.Context) error

// Run calls f.
func (f Func) Run(ctx context.Context) error { return f(ctx) }

// Member is a component of a group with the name that its errors carry.
type Member struct {
	Name      string
	Component Component
}

// Group runs its members in order; see the package comment.
type Group struct {
	members []Member
	ready   chan struct{}
}

// NewGroup makes a group that starts its members in this order.
func NewGroup(members ...Member) *Group {
	return &Group{members: members, ready: make(chan struct{})}
}

// Ready is closed when every member is ready.
func (g *Group) Ready() <-chan struct{} { return g.ready }

// started is a member that runs.
type started struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// Run starts the members and blocks until all have ended. It returns what the
// members failed with, nil when the context's end was the cause.
func (g *Group) Run(ctx context.Context) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	var running []started
	failures := make(chan error, len(g.members))
	for _, m := range g.members {
		s := g.start(inner, stop, m, failures)
		running = append(running, s)
		if !awaitReady(inner, m.Component) {
			break
		}
	}
	if inner.Err() == nil {
		close(g.ready)
	}
	<-inner.Done()
	for i := len(running) - 1; i >= 0; i-- {
		running[i].cancel()
		<-running[i].done
	}
	close(failures)
	var all []error
	for err := range failures {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// start runs m under a context of its own, so that the group decides the order
// of the end; its own end ends the group.
func (g *Group) start(ctx context.Context, stop context.CancelFunc, m Member, failures chan<- error) started {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := started{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer stop()
		err := m.Component.Run(own)
		if err != nil && !(own.Err() != nil && errors.Is(err, context.Canceled)) {
			failures <- fmt.Errorf("%s: %w", m.Name, err)
		} else if own.Err() == nil && ctx.Err() == nil {
			failures <- fmt.Errorf("%s ended by itself", m.Name)
		}
	}()
	return s
}

// awaitReady says whether c became ready before ctx ended.
func awaitReady(ctx context.Context, c Component) bool {
	r, ok := c.(Readier)
	if !ok {
		return ctx.Err() == nil
	}
	select {
	case <-r.Ready():
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
