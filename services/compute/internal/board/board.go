// Package board shows how the workloads are right now, replicas included, to
// those who ask and to those who watch. What it shows is seen, not stored.
//
// A Board is safe for concurrent use. A watcher that is slow gets only the
// newest of what has changed meanwhile.
package board

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/fairlead/fairlead/services/compute/internal/inventory"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/target"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// Entry is a workload with its replicas.
type Entry struct {
	Workload workload.Workload
	Replicas []replica.Replica
}

// Board is the newest state.
type Board struct {
	filled chan struct{}

	mu       sync.Mutex
	entries  map[string]Entry
	watchers map[*Watcher]struct{}
}

// New makes an empty board.
func New() *Board {
	return &Board{filled: make(chan struct{}), entries: map[string]Entry{}, watchers: map[*Watcher]struct{}{}}
}

// Filled is closed when the board has been shown everything for the first time.
func (b *Board) Filled() <-chan struct{} { return b.filled }

// Show replaces everything.
func (b *Board) Show(entries []Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := make(map[string]Entry, len(entries))
	for _, e := range entries {
		name := e.Workload.Name()
		next[name] = e
		if old, ok := b.entries[name]; !ok || !reflect.DeepEqual(old, e) {
			b.notify(name)
		}
	}
	for name := range b.entries {
		if _, ok := next[name]; !ok {
			b.notify(name)
		}
	}
	b.entries = next
	select {
	case <-b.filled:
	default:
		close(b.filled)
	}
}

func (b *Board) notify(name string) {
	for w := range b.watchers {
		w.dirty[name] = true
		select {
		case w.ready <- struct{}{}:
		default:
		}
	}
}

// Get gives the entry of a workload.
func (b *Board) Get(name string) (Entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[name]
	return e, ok
}

// Occupants gives all replicas that take room.
func (b *Board) Occupants() []inventory.Occupant {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []inventory.Occupant
	for name, e := range b.entries {
		for _, r := range e.Replicas {
			out = append(out, inventory.Occupant{Target: target.Name(e.Workload.Workspace, e.Workload.Target), Workload: name, Replica: r})
		}
	}
	return out
}

// Watcher gets what changes. It has one user.
type Watcher struct {
	board *Board
	ready chan struct{}
	dirty map[string]bool // under the board's lock
}

// Watch begins to watch: all that is there counts as changed.
func (b *Board) Watch() *Watcher {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &Watcher{board: b, ready: make(chan struct{}, 1), dirty: map[string]bool{}}
	for name := range b.entries {
		w.dirty[name] = true
	}
	b.watchers[w] = struct{}{}
	return w
}

// Ready is signalled when there is something to take.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Take gives what has changed since the last call, by name: entries as they
// are now, and names of those that are gone.
func (w *Watcher) Take() (changed []Entry, gone []string) {
	w.board.mu.Lock()
	defer w.board.mu.Unlock()
	for name := range w.dirty {
		if e, ok := w.board.entries[name]; ok {
			changed = append(changed, e)
		} else {
			gone = append(gone, name)
		}
	}
	clear(w.dirty)
	slices.SortFunc(changed, func(a, b Entry) int { return strings.Compare(a.Workload.Name(), b.Workload.Name()) })
	slices.Sort(gone)
	return changed, gone
}

// Close ends the watch.
func (w *Watcher) Close() {
	w.board.mu.Lock()
	defer w.board.mu.Unlock()
	delete(w.board.watchers, w)
}
