package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/jetstream"
)

const (
	diskSize = 64 << 20
	// patience is for what happens by itself once the disk has room again.
	patience = 30 * time.Second
)

// TestStoreOutlivesAFullDisk fills the disk under a server, and gives it room again.
func TestStoreOutlivesAFullDisk(t *testing.T) {
	dir := mount(t)
	server, err := bus.Start(t.Context(), bus.Config{StoreDir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0"}, bus.Deps{
		Logger:       quiet(),
		Authenticate: func(context.Context, bus.Credential) (bus.Access, error) { return bus.ServiceAccess(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	inBackground(t, server.Run)
	clients := []*client{
		newClient(t, "inside", bus.Target{Embedded: server}),
		newClient(t, "outside", bus.Target{URL: "nats://" + server.Addr()}),
	}
	for n := range 20 {
		for _, c := range clients {
			if err := c.write(t.Context(), fmt.Sprint("before/", n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	filler := fill(t, filepath.Join(dir, "filler"))
	for _, c := range clients {
		if err := c.writeUntilRefused(t); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrFull) {
			t.Errorf("%s: a write on a full disk is refused with: %v", c.name, err)
		}
	}
	eventually(t, "the server says that the disk is full", func() error {
		if !strings.Contains(server.Trouble(), "the disk is full") {
			return fmt.Errorf("it says %q", server.Trouble())
		}
		return nil
	})

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		eventually(t, c.name+" can write again", func() error { return c.write(t.Context(), "after") })
		c.check(t)
	}
	eventually(t, "the server is well", func() error {
		if trouble := server.Trouble(); trouble != "" {
			return errors.New(trouble)
		}
		return nil
	})
}

// client writes, remembers what was acknowledged, and follows by a cache.
type client struct {
	name  string
	store *jetstream.Store
	cache *store.Cache[string]
	log   *events.Log
	acked map[string]store.Revision
}

func newClient(t *testing.T, name string, target bus.Target) *client {
	t.Helper()
	conn, err := bus.Connect(t.Context(), target, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	c := &client{name: name, acked: map[string]store.Revision{}}
	if c.store, err = jetstream.Open(t.Context(), jetstream.Config{Service: "test"}, jetstream.Deps{Conn: conn, Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	js, err := natsjs.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureLog(t.Context(), js, events.LogConfig{}, "test"); err != nil {
		t.Fatal(err)
	}
	c.log = events.OpenLog(js)
	c.cache = store.NewCache(c.store, store.CacheConfig[string]{
		Decode: func(e store.Entry) (string, error) { return string(e.Value), nil }, Logger: quiet(),
	})
	inBackground(t, c.cache.Run)
	return c
}

// write makes a key with an event, in one batch.
func (c *client) write(ctx context.Context, key string) error {
	key = c.name + "/" + key
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := c.store.Apply(ctx, store.Batch{
		Ops:    []store.Op{store.Put(key, []byte(key)), store.Put(c.name+"/last", []byte(key))},
		Events: []events.Event{{ID: key, Service: "test", Workspace: "default", Resource: "thing", Verb: "made", Subject: key, Time: time.Now(), Sequence: 1}},
	})
	if err == nil {
		c.acked[key] = r
	}
	return err
}

func (c *client) writeUntilRefused(t *testing.T) error {
	t.Helper()
	for n := range 10_000 {
		if err := c.write(t.Context(), fmt.Sprint("during/", n)); err != nil {
			return err
		}
	}
	t.Fatalf("%s: the disk does not get full", c.name)
	return nil
}

// check looks for everything that was acknowledged, in the store, in the cache that
// was there all the time, and in the event log.
func (c *client) check(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.cache.WaitFor(ctx, slices.Max(slices.Collect(maps.Values(c.acked)))); err != nil {
		t.Fatalf("%s: the cache does not follow: %v", c.name, err)
	}
	missing := maps.Clone(c.acked)
	for record, err := range c.log.Read(ctx, events.Query{Follow: true}) {
		if err != nil {
			t.Fatalf("%s: %d acknowledged events are not in the log: %v", c.name, len(missing), err)
		}
		if delete(missing, record.Event.ID); len(missing) == 0 {
			break
		}
	}
	for key := range c.acked {
		e, err := c.store.Get(ctx, key)
		if err != nil || string(e.Value) != key {
			t.Errorf("%s: %s was acknowledged and is %+v, %v", c.name, key, e, err)
		}
		if cached, ok := c.cache.Get(key); !ok || cached.Value != key {
			t.Errorf("%s: %s was acknowledged and is %+v in the cache", c.name, key, cached)
		}
	}
}

// mount gives a folder on a small disk of its own.
func mount(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprint("size=", diskSize)); err != nil {
		t.Skipf("no disk can be filled here, for none can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all that is free.
func fill(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	for size := len(block); size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = file.Write(block[:size])
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
			t.Fatal(err)
		}
	}
	return path
}

func inBackground(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
