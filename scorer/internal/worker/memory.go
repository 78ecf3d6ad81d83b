package worker

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// memoryCheck is how often a worker's memory is looked at.
const memoryCheck = time.Second

// residentMemory gives how much memory a process holds, in bytes; what it shares with others counts. It reports false where the
// system does not say.
func residentMemory(pid int) (int64, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, false
	}
	return parseResident(string(text))
}

func parseResident(statm string) (int64, bool) {
	fields := strings.Fields(statm)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || pages < 0 {
		return 0, false
	}
	return pages * int64(os.Getpagesize()), true
}

// checkMemory has a worker replaced that has grown past the limit.
func (p *process) checkMemory(limit int64) {
	if used, ok := residentMemory(p.pid); ok && used > limit {
		p.dismiss(fmt.Sprintf("it used %d MB of memory, more than the %d MB that a worker may use", used>>20, limit>>20))
	}
}
