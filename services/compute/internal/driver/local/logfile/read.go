package logfile

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// longestLine is where a line is cut.
const longestLine = 64 << 10

// Line is one line of output.
type Line struct {
	Time time.Time
	Text string
	end  int64 // the offset after it
}

// Part says which part of a name's output is wanted.
type Part struct {
	// Previous is the output of the process before, instead of all there is.
	Previous bool
	// Start is only what was written before the process was ready.
	Start bool
}

// Tail gives the last lines of a name, over all of its files.
func Tail(name string, part Part, most int, now time.Time) []Line {
	var out []Line
	suffixes := []string{suffixPrevious, suffixAside, suffixNow}
	switch {
	case part.Previous:
		suffixes = suffixes[:1]
	case part.Start: // of one process
		suffixes = suffixes[1:]
	}
	for _, suffix := range suffixes {
		lines, _ := readFile(name+suffix, 0, now, withUnfinished)
		if part.Start {
			lines = beforeReady(name+suffix, lines)
		}
		out = append(out, lines...)
		if len(out) > most {
			out = append([]Line(nil), out[len(out)-most:]...)
		}
	}
	return out
}

// beforeReady leaves out the lines after the start; all are of it while nothing
// says where it ends.
func beforeReady(file string, lines []Line) []Line {
	data, err := os.ReadFile(file + suffixReady)
	if err != nil {
		return lines
	}
	end, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return lines
	}
	for i, l := range lines {
		if l.end > end {
			return lines[:i]
		}
	}
	return lines
}

// LastWords gives the last lines of the present process.
func LastWords(name string, most int) []string {
	lines, _ := readFile(name+suffixNow, 0, time.Time{}, withUnfinished)
	var out []string
	for _, l := range lines[max(0, len(lines)-most):] {
		out = append(out, l.Text)
	}
	return out
}

// Follower gives what is written after it was made. It has one user.
type Follower struct {
	name   string
	offset int64
	ident  os.FileInfo
}

// Follow gives the last lines of a name and what follows them.
func Follow(name string, most int, now time.Time) ([]Line, *Follower) {
	f := &Follower{name: name}
	info, err := os.Stat(name + suffixNow)
	if err == nil {
		f.ident = info
	}
	var out []Line
	for _, suffix := range []string{suffixPrevious, suffixAside} {
		lines, _ := readFile(name+suffix, 0, now, withUnfinished)
		out = append(out, lines...)
	}
	lines, end := readFile(name+suffixNow, 0, now, wholeLines)
	f.offset = end
	out = append(out, lines...)
	return out[max(0, len(out)-most):], f
}

// Next gives the whole lines that were written since the last call.
func (f *Follower) Next(now time.Time) []Line {
	info, err := os.Stat(f.name + suffixNow)
	if err != nil {
		return nil
	}
	var out []Line
	switch {
	case f.ident != nil && !os.SameFile(f.ident, info): // another process has begun
		out, _ = readFile(f.name+suffixPrevious, f.offset, now, withUnfinished)
		f.offset = 0
	case info.Size() < f.offset: // it was put aside
		out, _ = readFile(f.name+suffixAside, f.offset, now, withUnfinished)
		f.offset = 0
	}
	f.ident = info
	lines, end := readFile(f.name+suffixNow, f.offset, now, wholeLines)
	f.offset = end
	return append(out, lines...)
}

// lastWrite says when the lines after the last mark were written at the latest.
func lastWrite(f *os.File, now time.Time) time.Time {
	if info, err := f.Stat(); err == nil && info.ModTime().Before(now) {
		return info.ModTime()
	}
	return now
}

// ending says what to do with a last line that has no end yet.
type ending int

const (
	withUnfinished ending = iota
	wholeLines
)

// readFile gives the lines of a file from an offset on, and where the last one ends.
func readFile(file string, from int64, now time.Time, last ending) ([]Line, int64) {
	f, err := os.Open(file)
	if err != nil {
		return nil, from
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, from
	}
	times := clock{marks: readMarks(file), last: lastWrite(f, now)}
	r := bufio.NewReaderSize(f, longestLine)
	var out []Line
	offset := from
	for {
		chunk, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) && (len(chunk) == 0 || last == wholeLines) {
			return out, offset
		}
		offset += int64(len(chunk))
		out = append(out, Line{Time: times.at(offset), end: offset, Text: strings.ToValidUTF8(strings.TrimRight(string(chunk), "\r\n"), "\uFFFD")})
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return out, offset
		}
	}
}
