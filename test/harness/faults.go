package harness

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
)

// WithDetour makes the processes of an installation of services reach a service
// by another address: the one that open gives for the service's own.
func WithDetour(service string, open func(address string) (string, error)) Option {
	return func(i *Installation) { i.detours[service] = open }
}

// WithDiskOf gives the installation a disk of its own for its state, of so many
// bytes, that can be filled. It needs the right to mount: see CanLimitDisk.
func WithDiskOf(bytes int64) Option {
	return func(i *Installation) { i.diskSize = bytes }
}

// CanLimitDisk says why no disk can be mounted here; nil when one can.
func CanLimitDisk() error {
	dir, err := os.MkdirTemp("", "disk")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := mountDisk(dir, 1<<20); err != nil {
		return err
	}
	return unmountDisk(dir)
}

func (i *Installation) limitDisk() {
	i.tb.Helper()
	if i.diskSize == 0 {
		return
	}
	if err := os.MkdirAll(i.DataRoot(), 0o700); err != nil {
		i.tb.Fatal(err)
	}
	if err := mountDisk(i.DataRoot(), i.diskSize); err != nil {
		i.tb.Fatal(err)
	}
	// Registered before the processes' clean-up, and so done after it.
	i.tb.Cleanup(func() {
		if err := unmountDisk(i.DataRoot()); err != nil {
			i.tb.Error(err)
		}
	})
}

func (i *Installation) takeDetours() {
	i.tb.Helper()
	i.reachedAt = maps.Clone(i.addresses)
	for service, open := range i.detours {
		address, err := open(i.addresses[service])
		if err != nil {
			i.tb.Fatal(err)
		}
		i.reachedAt[service] = address
	}
}

// addressFor is where a process finds a service. A service itself is told where
// to listen.
func (i *Installation) addressFor(process, service string) string {
	if process == service {
		return i.addresses[service]
	}
	return i.reachedAt[service]
}

// Launch starts the process of a service, with more arguments, and waits until
// it is ready. It must not run.
func (i *Installation) Launch(ctx context.Context, service string, args ...string) error {
	name := i.Process(service)
	p, err := startProcess(name, filepath.Join(i.logDir(), name+".log"), append(i.arguments(name), args...), environment(i.home()))
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	i.mu.Lock()
	i.processes[name] = p
	i.mu.Unlock()
	return p.awaitReady(ctx)
}

// Signal sends a signal to the process of a service, which may have ended.
func (i *Installation) Signal(_ context.Context, service string, s syscall.Signal) error {
	i.mu.Lock()
	p := i.processes[i.Process(service)]
	i.mu.Unlock()
	if p == nil {
		return fmt.Errorf("there is no process of %s", service)
	}
	return p.signal(s)
}

// Exited is closed when the process of a service that runs now has ended.
func (i *Installation) Exited(service string) <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if p := i.processes[i.Process(service)]; p != nil {
		return p.exited
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}
