package logfile

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// mark says that a file had so many bytes at a time.
type mark struct {
	end  int64
	time time.Time
}

func appendMark(file string, m mark) error {
	f, err := os.OpenFile(file+suffixMarks, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("note the time of a log: %w", err)
	}
	_, err = fmt.Fprintf(f, "%d %d\n", m.end, m.time.UnixMicro())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("note the time of a log: %w", err)
	}
	return nil
}

// readMarks gives the marks of a file in order; lines that are cut off by a
// crash are left out.
func readMarks(file string) []mark {
	data, err := os.ReadFile(file + suffixMarks)
	if err != nil {
		return nil
	}
	var out []mark
	for line := range strings.Lines(string(data)) {
		left, right, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		end, err1 := strconv.ParseInt(left, 10, 64)
		at, err2 := strconv.ParseInt(right, 10, 64)
		if !ok || err1 != nil || err2 != nil {
			continue
		}
		out = append(out, mark{end: end, time: time.UnixMicro(at)})
	}
	return out
}

// clock gives the times of growing offsets.
type clock struct {
	marks []mark
	last  time.Time // for what is beyond the last mark
}

func (c *clock) at(offset int64) time.Time {
	for len(c.marks) > 0 && c.marks[0].end < offset {
		c.marks = c.marks[1:]
	}
	if len(c.marks) == 0 {
		return c.last
	}
	return c.marks[0].time
}
