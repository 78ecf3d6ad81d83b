// Package proc reads the kernel's process table and ends groups of processes.
// Its functions keep no state and are safe for concurrent use.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Info is a line of the process table.
type Info struct {
	PID, Session int
	Zombie       bool
	RSSBytes     int64
	// CPUTime is what it and those of its children that were waited for have used.
	CPUTime time.Duration
}

// List gives all processes that can be seen.
func List() []Info {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []Info
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if info, err := Stat(pid); err == nil {
			out = append(out, info)
		}
	}
	return out
}

// Stat gives one process.
func Stat(pid int) (Info, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Info{}, err
	}
	return parse(pid, string(data))
}

// Fields of /proc/<pid>/stat after the command, which may hold anything but is
// the only one in parentheses.
const (
	fieldState   = 0
	fieldSession = 3
	fieldUser    = 11 // then the system's time, and both of children
	fieldRSS     = 21
)

// tick is the kernel's unit of processor time towards programs, on every
// architecture that Go runs on.
const tick = time.Second / 100

func parse(pid int, stat string) (Info, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= fieldRSS {
		return Info{}, fmt.Errorf("process %d: its stat line has %d fields", pid, len(fields))
	}
	session, err := strconv.Atoi(fields[fieldSession])
	if err != nil {
		return Info{}, fmt.Errorf("process %d: session %q: %w", pid, fields[fieldSession], err)
	}
	pages, err := strconv.ParseInt(fields[fieldRSS], 10, 64)
	if err != nil {
		return Info{}, fmt.Errorf("process %d: resident pages %q: %w", pid, fields[fieldRSS], err)
	}
	var ticks int64
	for _, field := range fields[fieldUser : fieldUser+4] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return Info{}, fmt.Errorf("process %d: processor time %q: %w", pid, field, err)
		}
		ticks += n
	}
	state := fields[fieldState]
	return Info{
		PID: pid, Session: session, Zombie: state == "Z" || state == "X",
		RSSBytes: pages * int64(os.Getpagesize()), CPUTime: time.Duration(ticks) * tick,
	}, nil
}

// Variable gives a variable of the environment that a process was started with.
func Variable(pid int, name string) string {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return ""
	}
	prefix := []byte(name + "=")
	for _, entry := range bytes.Split(data, []byte{0}) {
		if value, ok := bytes.CutPrefix(entry, prefix); ok {
			return string(value)
		}
	}
	return ""
}

// SessionRSS gives the resident memory of all processes of a session.
func SessionRSS(session int) int64 {
	var sum int64
	for _, p := range List() {
		if p.Session == session {
			sum += p.RSSBytes
		}
	}
	return sum
}

// Usage is what the processes of a session use.
type Usage struct {
	RSSBytes int64
	CPUTime  time.Duration
}

// Sessions gives what each session uses.
func Sessions() map[int]Usage {
	out := map[int]Usage{}
	for _, p := range List() {
		u := out[p.Session]
		u.RSSBytes += p.RSSBytes
		u.CPUTime += p.CPUTime
		out[p.Session] = u
	}
	return out
}

// Kill ends all processes for which match holds, and those that they start
// meanwhile; it returns when none is left, or after so many rounds.
func Kill(match func(Info) bool) {
	const rounds = 20
	for range rounds {
		found := false
		for _, p := range List() {
			if !p.Zombie && p.PID != os.Getpid() && match(p) {
				found = true
				_ = syscall.Kill(p.PID, syscall.SIGKILL)
			}
		}
		if !found {
			return
		}
	}
}
