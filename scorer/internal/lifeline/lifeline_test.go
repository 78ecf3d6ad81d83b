package lifeline_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/scorer/internal/lifeline"
)

const holdEnv = "LIFELINE_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		if err := hold(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// hold is a supervisor: it takes the lock, says so, and lives until it is killed or its input ends.
func hold(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	fmt.Println("holding")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return nil
}

// supervise starts a process that holds the lock; the result kills it.
func supervise(t *testing.T, path string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the supervisor said %q: %v", line, err)
	}
	done := false
	kill = func() {
		if !done {
			done = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			stdin.Close()
		}
	}
	t.Cleanup(kill)
	return kill
}

func watch(ctx context.Context, path string, grace time.Duration) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- lifeline.Watch(ctx, path, grace) }()
	return ended
}

func stillWatching(t *testing.T, ended <-chan error, d time.Duration) {
	t.Helper()
	select {
	case err := <-ended:
		t.Fatalf("the watch ended: %v", err)
	case <-time.After(d):
	}
}

func TestSupervisorKilled(t *testing.T) {
	for name, grace := range map[string]time.Duration{"no grace": 0, "some grace": 300 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lock")
			kill := supervise(t, path)
			ended := watch(t.Context(), path, grace)
			stillWatching(t, ended, 100*time.Millisecond)
			killed := time.Now()
			kill()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if took := time.Since(killed); took < grace || took > grace+5*time.Second {
				t.Errorf("ended after %v, the grace is %v", took, grace)
			}
		})
	}
}

func TestNewSupervisorInTime(t *testing.T) {
	for name, remake := range map[string]bool{"same file": false, "new file": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lock")
			kill := supervise(t, path)
			ended := watch(t.Context(), path, 10*time.Second)
			stillWatching(t, ended, 50*time.Millisecond)
			kill()
			if remake {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			killSecond := supervise(t, path)
			stillWatching(t, ended, 400*time.Millisecond)

			// The second supervisor is watched like the first.
			killSecond()
			stillWatching(t, ended, 300*time.Millisecond)
			killThird := supervise(t, path)
			stillWatching(t, ended, 300*time.Millisecond)
			killThird()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	supervise(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	ended := watch(ctx, path, 0)
	stillWatching(t, ended, 50*time.Millisecond)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFileMissing(t *testing.T) {
	if err := lifeline.Watch(t.Context(), filepath.Join(t.TempDir(), "none"), 0); err != nil {
		t.Errorf("got %v, want the supervisor to count as gone", err)
	}
}
