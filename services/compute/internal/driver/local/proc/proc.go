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
)

// Info is a line of the process table.
type Info struct {
	PID, Session int
	Zombie       bool
	RSSBytes     int64
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
	fieldRSS     = 21
)

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
	state := fields[fieldState]
	return Info{PID: pid, Session: session, Zombie: state == "Z" || state == "X", RSSBytes: pages * int64(os.Getpagesize())}, nil
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
