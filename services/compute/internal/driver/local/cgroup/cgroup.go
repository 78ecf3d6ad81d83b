// Package cgroup limits the processors and memory of processes with Linux
// control groups, version 2 or 1, whichever the machine has. Groups are made
// below the group that this process is in, so that limits on it go on holding.
//
// A Limiter is immutable and safe for concurrent use; so is a Group.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limiter makes groups.
type Limiter struct {
	version     int    // 0: none can be used
	cpu, memory string // folders in which groups are made; empty where not usable
}

// Limits are upper bounds; zero means none.
type Limits struct {
	MilliCPU    int64
	MemoryBytes int64
}

// Detect finds what the machine has: mount is usually /sys/fs/cgroup, self the
// text of /proc/self/cgroup.
func Detect(mount, self string) *Limiter {
	paths := map[string]string{}
	for line := range strings.Lines(self) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			paths[controller] = parts[2]
		}
	}
	l := &Limiter{}
	if own := filepath.Join(mount, paths[""]); enable(own) {
		l.version, l.cpu, l.memory = 2, own, own
		return l
	}
	if own, ok := paths["cpu"]; ok {
		l.cpu = usable(filepath.Join(mount, "cpu", own), "cpu.cfs_quota_us")
	}
	if own, ok := paths["memory"]; ok {
		l.memory = usable(filepath.Join(mount, "memory", own), "memory.limit_in_bytes")
	}
	if l.cpu != "" || l.memory != "" {
		l.version = 1
	}
	return l
}

// enable turns the controllers of version 2 on for groups below own. The kernel
// allows that only at the root or where no process is in own itself.
func enable(own string) bool {
	if usable(own, "cgroup.subtree_control") == "" {
		return false
	}
	file := filepath.Join(own, "cgroup.subtree_control")
	if err := write(file, "+cpu +memory"); err != nil {
		return false
	}
	now, err := os.ReadFile(file)
	return err == nil && strings.Contains(string(now), "cpu") && strings.Contains(string(now), "memory")
}

// usable gives dir when it is a group of the right kind in which groups can be made.
func usable(dir, file string) string {
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil || unix.Access(dir, unix.W_OK) != nil {
		return ""
	}
	return dir
}

// CPU and Memory say what the limiter can enforce.
func (l *Limiter) CPU() bool { return l.cpu != "" }

// Memory says whether memory can be limited.
func (l *Limiter) Memory() bool { return l.memory != "" }

// Version gives the version of control groups in use, 0 for none.
func (l *Limiter) Version() int { return l.version }

// Group is a set of processes under limits.
type Group struct {
	version int
	folders []string
	memory  string
}

// Create makes a group with what of the limits can be enforced. It gives nil
// when that is nothing.
func (l *Limiter) Create(name string, limits Limits) (*Group, error) {
	g := &Group{version: l.version}
	if limits.MemoryBytes > 0 && l.memory != "" {
		g.memory = filepath.Join(l.memory, name)
		g.folders = append(g.folders, g.memory)
	}
	if dir := filepath.Join(l.cpu, name); limits.MilliCPU > 0 && l.cpu != "" && dir != g.memory {
		g.folders = append(g.folders, dir)
	}
	if len(g.folders) == 0 {
		return nil, nil
	}
	for _, dir := range g.folders {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(fmt.Errorf("make a control group: %w", err), g.Remove())
		}
	}
	if err := l.limit(name, limits); err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	return g, nil
}

const period = 100_000 // microseconds

func (l *Limiter) limit(name string, limits Limits) error {
	quota := strconv.FormatInt(limits.MilliCPU*period/1000, 10)
	bytes := strconv.FormatInt(limits.MemoryBytes, 10)
	var err error
	if limits.MilliCPU > 0 && l.cpu != "" {
		if l.version == 2 {
			err = write(filepath.Join(l.cpu, name, "cpu.max"), quota+" "+strconv.Itoa(period))
		} else {
			err = errors.Join(
				write(filepath.Join(l.cpu, name, "cpu.cfs_period_us"), strconv.Itoa(period)),
				write(filepath.Join(l.cpu, name, "cpu.cfs_quota_us"), quota))
		}
	}
	if limits.MemoryBytes > 0 && l.memory != "" {
		if l.version == 2 {
			err = errors.Join(err, write(filepath.Join(l.memory, name, "memory.max"), bytes))
			// Best effort: without it the machine's swap counts on top of the limit.
			_ = write(filepath.Join(l.memory, name, "memory.swap.max"), "0")
		} else {
			err = errors.Join(err, write(filepath.Join(l.memory, name, "memory.limit_in_bytes"), bytes))
			_ = write(filepath.Join(l.memory, name, "memory.memsw.limit_in_bytes"), bytes)
		}
	}
	return err
}

// Enter puts a process into the group; what it starts from then on is in it too.
func (g *Group) Enter(pid int) error {
	var err error
	for _, dir := range g.folders {
		err = errors.Join(err, write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)))
	}
	return err
}

// LimitsMemory says whether the kernel watches the group's memory.
func (g *Group) LimitsMemory() bool { return g != nil && g.memory != "" }

// OOMKills says how many processes of the group the kernel has ended for want of memory.
func (g *Group) OOMKills() int {
	if g == nil || g.memory == "" {
		return 0
	}
	file := "memory.oom_control"
	if g.version == 2 {
		file = "memory.events"
	}
	data, err := os.ReadFile(filepath.Join(g.memory, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			n, err := strconv.Atoi(value)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// PeakBytes says how much memory the group has used at most; 0 where the kernel
// does not say.
func (g *Group) PeakBytes() int64 {
	if g == nil || g.memory == "" {
		return 0
	}
	file := "memory.max_usage_in_bytes"
	if g.version == 2 {
		file = "memory.peak"
	}
	data, err := os.ReadFile(filepath.Join(g.memory, file))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Remove deletes the group, which must be empty.
func (g *Group) Remove() error {
	if g == nil {
		return nil
	}
	var all error
	for _, dir := range g.folders {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, fmt.Errorf("remove a control group: %w", err))
		}
	}
	return all
}

// RemoveEmpty deletes the groups with this prefix that hold no process.
func (l *Limiter) RemoveEmpty(prefix string) {
	for _, parent := range []string{l.cpu, l.memory} {
		if parent == "" {
			continue
		}
		found, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
		if err != nil {
			continue
		}
		for _, dir := range found {
			_ = os.Remove(dir) // refused by the kernel while a process is in it
		}
	}
}

func write(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("set a control group's limit: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("set a control group's limit in %s: %w", filepath.Base(file), err)
	}
	return nil
}
