package loadreport

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// tick is the kernel's unit of processor time towards programs.
const tick = time.Second / 100

// Measure gives what this process and those that it started use, and what they may: by their control group, else by the machine.
func Measure() Usage {
	out := Usage{Processors: float64(runtime.GOMAXPROCS(0)), MemoryLimit: machineMemory()}
	if group, ok := ownGroup(); ok {
		if cpus, ok := parseCPUMax(read(filepath.Join(group, "cpu.max"))); ok {
			out.Processors = cpus
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(read(filepath.Join(group, "memory.max"))), 10, 64); err == nil {
			out.MemoryLimit = limit
		}
	}
	pids := []int{os.Getpid()}
	for i := 0; i < len(pids); i++ {
		cpu, memory, ok := parseStat(read(filepath.Join("/proc", strconv.Itoa(pids[i]), "stat")))
		if !ok {
			continue // it has ended meanwhile
		}
		out.CPUTime += cpu
		out.MemoryBytes += memory
		pids = append(pids, children(pids[i])...)
	}
	return out
}

// ownGroup is the folder of this process's control group.
func ownGroup() (string, bool) {
	for line := range strings.Lines(read("/proc/self/cgroup")) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join("/sys/fs/cgroup", path), true
		}
	}
	return "", false
}

// parseCPUMax reads "quota period"; false when there is no quota.
func parseCPUMax(text string) (float64, bool) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return 0, false
	}
	quota, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0, false // "max"
	}
	period, err := strconv.ParseFloat(fields[1], 64)
	if err != nil || period <= 0 || quota <= 0 {
		return 0, false
	}
	return quota / period, true
}

// Fields of a stat line after the command, which stands in parentheses.
const (
	fieldUser, fieldSystem, fieldResident = 11, 12, 21
)

func parseStat(text string) (cpu time.Duration, memory int64, ok bool) {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) <= fieldResident {
		return 0, 0, false
	}
	user, errUser := strconv.ParseInt(fields[fieldUser], 10, 64)
	system, errSystem := strconv.ParseInt(fields[fieldSystem], 10, 64)
	pages, errPages := strconv.ParseInt(fields[fieldResident], 10, 64)
	if errUser != nil || errSystem != nil || errPages != nil {
		return 0, 0, false
	}
	return time.Duration(user+system) * tick, pages * int64(os.Getpagesize()), true
}

// children gives the processes that a process has started, by any of its threads.
func children(pid int) []int {
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		return nil
	}
	var out []int
	for _, list := range lists {
		for _, word := range strings.Fields(read(list)) {
			if child, err := strconv.Atoi(word); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

func machineMemory() int64 {
	for line := range strings.Lines(read("/proc/meminfo")) {
		if value, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			if kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil {
				return kb << 10
			}
		}
	}
	return 0
}

// read gives a file's text; what can't be read is empty.
func read(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(data)
}
