// Package logfile keeps the output of a process in files that the process
// writes itself, so that it goes on when the supervisor is gone.
//
// The process has the file open for appending. Whoever supervises it calls Mark
// now and then: that notes how long the file is at this time, from which a line
// gets its time (exact to the pause between two marks; what was written while
// nobody supervised gets the time of the next mark, and without one that of the
// last write), and keeps the size in
// bounds: a full file is copied aside and emptied. Lines written in that very
// moment can be lost.
//
// Ready notes where the output of the start ends, so that it can be read alone.
//
// A name stands for up to three files: name.previous.log of the process before,
// name.1.log what was moved aside, name.log what is written now. A Log has one
// user at a time; reading is safe beside it.
package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// Suffixes of the files of a name; marks are beside each.
const (
	suffixNow      = ".log"
	suffixAside    = ".1.log"
	suffixPrevious = ".previous.log"
	suffixMarks    = ".times"
	suffixReady    = ".ready"
)

// besides are the suffixes of what lies beside a file of output.
func besides() []string { return []string{"", suffixMarks, suffixReady} }

// Log is the output of one process.
type Log struct {
	name string
	most int64
	seen int64
}

// New gives the log of that name, with at most so many bytes per file.
func New(name string, most int64) *Log { return &Log{name: name, most: most} }

// Begin keeps the output so far as that of the previous process and gives the
// file for the next one, to be closed by the caller.
func (l *Log) Begin() (*os.File, error) {
	for _, suffix := range besides() {
		err := os.Rename(l.name+suffixNow+suffix, l.name+suffixPrevious+suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			_ = os.Remove(l.name + suffixPrevious + suffix)
		case err != nil:
			return nil, fmt.Errorf("keep the previous log: %w", err)
		}
		_ = os.Remove(l.name + suffixAside + suffix)
	}
	l.seen = 0
	f, err := os.OpenFile(l.name+suffixNow, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}

// Resume goes on with the output of a process that was running already.
func (l *Log) Resume() {
	if marks := readMarks(l.name + suffixNow); len(marks) > 0 {
		l.seen = marks[len(marks)-1].end
	}
}

// Mark notes how much has been written by now.
func (l *Log) Mark(now time.Time) error {
	info, err := os.Stat(l.name + suffixNow)
	if err != nil || info.Size() == l.seen {
		return nil //nolint:nilerr // nothing has been written yet
	}
	if err := appendMark(l.name+suffixNow, mark{end: info.Size(), time: now}); err != nil {
		return err
	}
	l.seen = info.Size()
	if info.Size() < l.most {
		return nil
	}
	return l.putAside()
}

// Ready notes that what is written from now on is no more of the start.
func (l *Log) Ready() error {
	info, err := os.Stat(l.name + suffixNow)
	if err != nil {
		return nil //nolint:nilerr // nothing has been written yet
	}
	err = os.WriteFile(l.name+suffixNow+suffixReady, []byte(strconv.FormatInt(info.Size(), 10)+"\n"), 0o644)
	if err != nil {
		return fmt.Errorf("note the end of the start in a log: %w", err)
	}
	return nil
}

func (l *Log) putAside() error {
	from, to := l.name+suffixNow, l.name+suffixAside
	if err := errors.Join(copyOver(from, to), copyOver(from+suffixMarks, to+suffixMarks)); err != nil {
		return fmt.Errorf("put a full log aside: %w", err)
	}
	// Where the start ends is in the first file that was put aside, and later in none.
	_ = os.Remove(to + suffixReady)
	if err := os.Rename(from+suffixReady, to+suffixReady); err == nil {
		_ = os.WriteFile(from+suffixReady, []byte("0\n"), 0o644)
	}
	l.seen = 0
	if err := errors.Join(os.Truncate(from, 0), os.Truncate(from+suffixMarks, 0)); err != nil {
		return fmt.Errorf("empty a full log: %w", err)
	}
	return nil
}

func copyOver(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Remove deletes all files of a name.
func Remove(name string) {
	for _, suffix := range []string{suffixNow, suffixAside, suffixPrevious} {
		for _, beside := range besides() {
			_ = os.Remove(name + suffix + beside)
		}
	}
}

// Names gives the names that have a log in dir.
func Names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffixNow)
		if ok && !strings.Contains(name, ".") {
			out = append(out, name)
		}
	}
	return out
}
