package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Process is a process as the system lists it.
type Process struct {
	PID     int
	Parent  int
	Command string
}

func (p Process) String() string { return fmt.Sprintf("%d %s", p.PID, p.Command) }

// Scorer says whether it is a scorer.
func (p Process) Scorer() bool {
	words := strings.Fields(p.Command)
	return len(words) > 1 && words[1] == "scorer"
}

// Variable is an environment variable of the process; empty when it has ended.
func (p Process) Variable(name string) string {
	environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "environ"))
	if err != nil {
		return ""
	}
	for entry := range strings.SplitSeq(string(environ), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// Lives says whether the process is there and not a zombie.
func (p Process) Lives() bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "stat"))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return len(fields) > 0 && fields[0] != "Z" && fields[0] != "X"
}

// processesOf lists the processes whose command line, environment or working
// folder names dir. Zombies count as ended.
func processesOf(dir string) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := inspect(pid, dir); ok {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b Process) int { return a.PID - b.PID })
	return found, nil
}

// inspect gives a process when it belongs to dir. A process that ends meanwhile
// belongs to nothing.
func inspect(pid int, dir string) (Process, bool) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	command, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	if err != nil {
		return Process{}, false
	}
	environ, _ := os.ReadFile(filepath.Join(folder, "environ"))
	cwd, _ := os.Readlink(filepath.Join(folder, "cwd"))
	if !bytes.Contains(command, []byte(dir)) && !bytes.Contains(environ, []byte(dir)) && !strings.HasPrefix(cwd, dir) {
		return Process{}, false
	}
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return Process{}, false
	}
	// pid (command) state parent …; the command may hold spaces and brackets.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return Process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return Process{}, false
	}
	text := strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))
	return Process{PID: pid, Parent: parent, Command: text}, true
}

// killAll kills processes of an installation that it has left behind.
func killAll(processes []Process) {
	for _, p := range processes {
		_ = syscall.Kill(p.PID, syscall.SIGKILL) // it may have ended meanwhile
	}
}
