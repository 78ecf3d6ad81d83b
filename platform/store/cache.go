package store

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// CacheConfig says what a Cache holds.
type CacheConfig[T any] struct {
	// Prefix selects the keys.
	Prefix string
	// Decode turns an entry into what readers want. It is called once per change.
	Decode func(Entry) (T, error)
	Logger *slog.Logger
}

// Item is a decoded entry. Value is shared: do not change it.
type Item[T any] struct {
	Key      string
	Value    T
	Revision Revision
}

// Cache is a local copy of the entries below a prefix. It is filled while Run runs
// and keeps what it has when Run ends.
//
// An entry that can't be decoded is logged and is absent from the cache until it
// changes.
type Cache[T any] struct {
	watcher Watcher
	cfg     CacheConfig[T]

	mu     sync.RWMutex
	items  map[string]Item[T]
	keys   []string // sorted
	synced bool
	seen   Revision
	moved  chan struct{} // closed and replaced when synced or seen changes
	subs   map[*Subscription]struct{}
}

// NewCache makes an empty cache; Run fills it.
func NewCache[T any](w Watcher, cfg CacheConfig[T]) *Cache[T] {
	return &Cache[T]{
		watcher: w,
		cfg:     cfg,
		items:   map[string]Item[T]{},
		moved:   make(chan struct{}),
		subs:    map[*Subscription]struct{}{},
	}
}

// Run fills the cache and keeps it current until ctx ends.
func (c *Cache[T]) Run(ctx context.Context) error {
	for change, err := range c.watcher.Watch(ctx, c.cfg.Prefix) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		c.take(change)
	}
	return nil
}

func (c *Cache[T]) take(change Change) {
	e := change.Entry
	var value T
	var err error
	if change.Kind == ChangePut {
		if value, err = c.cfg.Decode(e); err != nil {
			c.cfg.Logger.Error("an entry can't be decoded and is left out", "key", e.Key, "revision", uint64(e.Revision), "error", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case change.Kind == ChangePut && err == nil:
		c.put(Item[T]{Key: e.Key, Value: value, Revision: e.Revision})
	case change.Kind == ChangePut || change.Kind == ChangeDelete:
		c.remove(e.Key)
	case change.Kind == ChangeSynced:
		// A restored store starts again at a lower revision.
		c.synced, c.seen = true, e.Revision
	}
	c.seen = max(c.seen, e.Revision)
	close(c.moved)
	c.moved = make(chan struct{})
}

func (c *Cache[T]) put(item Item[T]) {
	if _, exists := c.items[item.Key]; !exists {
		i, _ := slices.BinarySearch(c.keys, item.Key)
		c.keys = slices.Insert(c.keys, i, item.Key)
	}
	c.items[item.Key] = item
	c.notify(item.Key)
}

func (c *Cache[T]) remove(key string) {
	if i, ok := slices.BinarySearch(c.keys, key); ok {
		c.keys = slices.Delete(c.keys, i, i+1)
		delete(c.items, key)
		c.notify(key)
	}
}

func (c *Cache[T]) notify(key string) {
	for s := range c.subs {
		s.add(key)
	}
}

// Get gives the item with this key.
func (c *Cache[T]) Get(key string) (Item[T], bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	item, ok := c.items[key]
	return item, ok
}

// List gives the items below prefix, sorted by key. The prefix is a whole one, as
// in Reader.List; the empty prefix gives all that the cache holds.
func (c *Cache[T]) List(prefix string) []Item[T] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	from, start := 0, ""
	if prefix != "" {
		start = prefix + "/"
		from, _ = slices.BinarySearch(c.keys, start)
	}
	var items []Item[T]
	for _, key := range c.keys[from:] {
		if !strings.HasPrefix(key, start) {
			break
		}
		items = append(items, c.items[key])
	}
	return items
}

// HasSynced tells whether the cache once held everything present.
func (c *Cache[T]) HasSynced() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.synced
}

// WaitSynced waits until HasSynced, or until ctx ends.
func (c *Cache[T]) WaitSynced(ctx context.Context) error { return c.WaitFor(ctx, 0) }

// WaitFor waits until the cache has synced and includes every change up to r, or
// until ctx ends.
func (c *Cache[T]) WaitFor(ctx context.Context, r Revision) error {
	for {
		c.mu.RLock()
		done, moved := c.synced && c.seen >= r, c.moved
		c.mu.RUnlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

// Subscribe reports keys that change from now on. Every key present counts as
// changed, so a subscriber that reads each key it takes misses nothing.
func (c *Cache[T]) Subscribe() *Subscription {
	s := &Subscription{ready: make(chan struct{}, 1), pending: map[string]struct{}{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range c.keys {
		s.add(key)
	}
	c.subs[s] = struct{}{}
	s.leave = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subs, s)
	}
	return s
}

// Subscription collects changed keys. It is level-based: a key that changes many
// times before it is taken is reported once.
type Subscription struct {
	leave func()
	ready chan struct{}

	mu      sync.Mutex
	pending map[string]struct{}
	order   []string
}

func (s *Subscription) add(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waiting := s.pending[key]; waiting {
		return
	}
	s.pending[key] = struct{}{}
	s.order = append(s.order, key)
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Ready gives a signal when there is something to Take.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Take gives the changed keys, the longest waiting first, and forgets them.
func (s *Subscription) Take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.order
	s.order = nil
	clear(s.pending)
	return keys
}

// Close ends the reports.
func (s *Subscription) Close() { s.leave() }
