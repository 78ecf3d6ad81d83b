package jetstream_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/jetstream"
)

// TestCacheFollowsARestore replaces the server's files by an older copy, under a
// cache that stays connected. A plain watch would wait for ever at a position that
// the restored stream has not reached.
func TestCacheFollowsARestore(t *testing.T) {
	dir, backup := filepath.Join(t.TempDir(), "nats"), filepath.Join(t.TempDir(), "backup")
	listen := "127.0.0.1:0"
	var e *bus.Embedded
	restart := func(replace func()) {
		t.Helper()
		if e != nil {
			e.Close()
		}
		replace()
		var err error
		e, err = bus.Start(t.Context(), bus.Config{StoreDir: dir, Listen: listen}, bus.Deps{
			Logger:       quiet(),
			Authenticate: func(context.Context, bus.Credential) (bus.Access, error) { return bus.ServiceAccess(), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		listen = e.Addr()
	}
	restart(func() {})
	defer func() { e.Close() }()
	nc, err := bus.Connect(t.Context(), bus.Target{URL: "nats://" + listen}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s, err := jetstream.Open(t.Context(), jetstream.Config{Service: "test"}, jetstream.Deps{Conn: nc, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	cache := store.NewCache(s, store.CacheConfig[string]{
		Decode: func(e store.Entry) (string, error) { return string(e.Value), nil },
		Logger: quiet(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cache.Run(ctx) }()
	defer func() { cancel(); <-done }()

	put := func(key, value string) {
		t.Helper()
		r, err := s.Apply(t.Context(), store.Batch{Ops: []store.Op{store.Put(key, []byte(value))}})
		if err != nil {
			t.Fatal(err)
		}
		wait, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := cache.WaitFor(wait, r); err != nil {
			t.Fatalf("the cache does not reach revision %d: %v", r, err)
		}
		if got, _ := cache.Get(key); got.Value != value {
			t.Fatalf("%s is %q in the cache, want %q", key, got.Value, value)
		}
	}
	put("kept", "old")
	restart(func() {
		if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	})
	put("kept", "new")
	for range 10 {
		put("lost", "x")
	}
	restart(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
	})
	sub := cache.Subscribe()
	defer sub.Close()
	for deadline := time.After(20 * time.Second); ; {
		kept, _ := cache.Get("kept")
		if _, there := cache.Get("lost"); !there && kept.Value == "old" {
			break
		}
		select {
		case <-sub.Ready():
			sub.Take()
		case <-deadline:
			t.Fatalf("the cache still holds %v", cache.List(""))
		}
	}
	put("kept", "newest")
}
