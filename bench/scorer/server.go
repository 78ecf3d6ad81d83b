package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = time.Minute
	// ticks is how many a second has in /proc.
	ticks = 100
)

// server is a process under test, and what was measured of it.
type server struct {
	name string
	args []string // its address is appended

	url                  string
	pid                  int
	rates, cpu, p50, p99 []float64
}

// start starts the server and waits until it is healthy. The result ends it.
func (s *server) start(ctx context.Context, script string) (func(), error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(s.args[0], append(s.args[1:], address)...) //nolint:noctx // it ends by a signal to its group
	cmd.Env = append(os.Environ(), "ENTRY_SCRIPT="+script, "PYTHONDONTWRITEBYTECODE=1", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	s.pid, s.url = cmd.Process.Pid, "http://"+address
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	if err := s.healthy(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("%s: %w\n%s", s.name, err, said.String())
	}
	return stop, nil
}

func (s *server) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/", nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("it did not become healthy")
		case <-tick.C:
		}
	}
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// inProcess gives how long run() takes when it is called directly, in microseconds.
func inProcess(ctx context.Context, o options, dir, script string) (float64, error) {
	cmd := exec.CommandContext(ctx, o.python, filepath.Join(dir, "in_process.py"), script)
	cmd.Stdin = strings.NewReader(body)
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("call run() directly: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// cpuTime gives the processor time of a process and its descendants.
func cpuTime(root int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	parents, used := map[int]int{}, map[int]int{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may have blanks.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parents[pid], _ = strconv.Atoi(fields[1])
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		used[pid] = user + system
	}
	total := 0
	for pid := range used {
		for p := pid; p > 1; p = parents[p] {
			if p == root {
				total += used[pid]
				break
			}
		}
	}
	return time.Duration(total) * time.Second / ticks, nil
}
