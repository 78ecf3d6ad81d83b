package jetstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/jetstream"
)

const (
	victimDir     = "FAIRLEAD_KILL_TEST_DIR"
	victimWriters = 4
)

// runVictim is the child process: it writes until it is killed, and prints each
// write only once it was acknowledged.
func runVictim(dir string) int {
	ctx := context.Background()
	b, closeAll, err := open(ctx, dir, jetstream.Config{Service: "test"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer closeAll()
	var wg sync.WaitGroup
	for w := range victimWriters {
		wg.Go(func() {
			for ctx.Err() == nil {
				n, err := step(ctx, b.store, w)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Printf("%d %d\n", w, n)
			}
		})
	}
	wg.Wait()
	return 1
}

// step counts a writer's key up, with an event that carries the same number.
func step(ctx context.Context, s *jetstream.Store, w int) (int, error) {
	key := fmt.Sprintf("counters/%d", w)
	n, op := 1, store.Create(key, []byte("1"))
	e, err := s.Get(ctx, key)
	switch {
	case err == nil:
		if n, err = strconv.Atoi(string(e.Value)); err != nil {
			return 0, err
		}
		n++
		op = store.Update(key, []byte(strconv.Itoa(n)), e.Revision)
	case !errors.Is(err, store.ErrNotFound):
		return 0, err
	}
	_, err = s.Apply(ctx, store.Batch{
		Ops: []store.Op{op, store.Put(key+"/twin", []byte(strconv.Itoa(n)))},
		Events: []events.Event{{
			ID: fmt.Sprintf("%d-%d", w, n), Workspace: "w", Service: "test", Resource: "counter", Verb: "raised",
			Subject: key, Time: time.Now(), Sequence: uint64(n),
		}},
	})
	return n, err
}

// TestKill kills a process that writes, again and again, and then looks for
// anything lost, doubled or out of order, in the state and in the log.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir := t.TempDir()
	acked := make([]int, victimWriters)
	for range 5 {
		killOnce(t, dir, acked)
	}
	b, closeAll, err := open(t.Context(), dir, jetstream.Config{Service: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	written, stored := 0, make([]int, victimWriters)
	for w := range victimWriters {
		key := fmt.Sprintf("counters/%d", w)
		for _, k := range []string{key, key + "/twin"} {
			e, err := b.store.Get(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			n, _ := strconv.Atoi(string(e.Value))
			if k == key {
				stored[w] = n
				written += n
			}
			if n != stored[w] || n < acked[w] || n > acked[w]+5 {
				t.Errorf("%s is %d, want the %d that were acknowledged and at most one more per kill", k, n, acked[w])
			}
		}
	}
	next := make([]uint64, victimWriters)
	all := b.published(t, written)
	for _, e := range all {
		w, _ := strconv.Atoi(strings.TrimPrefix(e.Subject, "counters/"))
		if next[w]++; e.Sequence != next[w] {
			t.Fatalf("writer %d: event %d came when %d was due", w, e.Sequence, next[w])
		}
	}
	if len(all) != written {
		t.Errorf("%d events, want %d", len(all), written)
	}
	t.Logf("%d batches, acknowledged per writer %v, stored %v, %d events", written, acked, stored, len(all))
}

// killOnce lets the victim write for a while; acked gets the highest number that
// each writer had acknowledged.
func killOnce(t *testing.T, dir string, acked []int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	lines := 0
	for scanner := bufio.NewScanner(out); scanner.Scan(); lines++ {
		if timer == nil { // it writes: from now on it may die at any moment
			timer = time.AfterFunc(300*time.Millisecond+rand.N(500*time.Millisecond), func() {
				_ = cmd.Process.Signal(syscall.SIGKILL)
			})
		}
		var w, n int
		if _, err := fmt.Sscanf(scanner.Text(), "%d %d", &w, &n); err == nil {
			acked[w] = max(acked[w], n)
		}
	}
	if err := cmd.Wait(); err == nil || lines == 0 {
		t.Fatalf("the victim wrote %d times and ended with %v, want it killed", lines, err)
	}
}
