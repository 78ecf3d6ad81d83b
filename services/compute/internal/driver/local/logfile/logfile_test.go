package logfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/logfile"
)

func at(second int) time.Time { return time.Unix(int64(1_000_000+second), 0) }

func begin(t *testing.T, l *logfile.Log) *os.File {
	t.Helper()
	f, err := l.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func mark(t *testing.T, l *logfile.Log, now time.Time) {
	t.Helper()
	if err := l.Mark(now); err != nil {
		t.Fatal(err)
	}
}

// plain writes lines as "second text".
func plain(lines []logfile.Line) []string {
	var out []string
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%d %s", l.Time.Unix()-1_000_000, l.Text))
	}
	return out
}

func TestLinesHaveTimes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r")
	l := logfile.New(name, 1<<20)
	f := begin(t, l)
	write(t, f, "one\ntwo\n")
	mark(t, l, at(1))
	mark(t, l, at(2)) // nothing new
	write(t, f, "three\r\nfo")
	mark(t, l, at(3))
	write(t, f, "ur\nunfinished")
	got := plain(logfile.Tail(name, logfile.Part{}, 10, at(9)))
	if diff := cmp.Diff([]string{"1 one", "1 two", "3 three", "9 four", "9 unfinished"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"four", "unfinished"}, logfile.LastWords(name, 2)); diff != "" {
		t.Errorf("last words (-want +got):\n%s", diff)
	}
	again := logfile.New(name, 1<<20)
	again.Resume()
	mark(t, again, at(20))
	if got := plain(logfile.Tail(name, logfile.Part{}, 1, at(30))); got[0] != "20 unfinished" {
		t.Errorf("after a restart of the supervisor: %v", got)
	}
}

func TestLinesThatNobodyMarkedHaveTheTimeOfTheLastWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r")
	write(t, begin(t, logfile.New(name, 1<<20)), "last words\n")
	if err := os.Chtimes(name+".log", at(5), at(5)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"5 last words"}, plain(logfile.Tail(name, logfile.Part{}, 10, at(900)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSizeIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r")
	l := logfile.New(name, 40)
	f := begin(t, l)
	first, follower := logfile.Follow(name, 10, at(0))
	if len(first) != 0 {
		t.Errorf("at first: %v", first)
	}
	var followed []string
	for i := range 20 {
		write(t, f, fmt.Sprintf("line number %02d\n", i))
		followed = append(followed, plain(follower.Next(at(i)))...)
		mark(t, l, at(i))
	}
	followed = append(followed, plain(follower.Next(at(20)))...)
	if len(followed) != 20 || followed[19] != "19 line number 19" {
		t.Errorf("followed: %v", followed)
	}
	kept := plain(logfile.Tail(name, logfile.Part{}, 100, at(30)))
	if n := len(kept); n < 3 || n > 8 || kept[n-1] != "19 line number 19" {
		t.Errorf("kept: %v", kept)
	}
}

func TestPreviousProcessIsKept(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "r")
	l := logfile.New(name, 1<<20)
	write(t, begin(t, l), "first\n")
	mark(t, l, at(1))
	_, follower := logfile.Follow(name, 10, at(1))
	f := begin(t, l)
	write(t, f, "second\n")
	mark(t, l, at(2))
	if diff := cmp.Diff([]string{"1 first", "2 second"}, plain(logfile.Tail(name, logfile.Part{}, 10, at(9)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"2 second"}, plain(follower.Next(at(9)))); diff != "" {
		t.Errorf("followed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"r"}, logfile.Names(dir)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	logfile.Remove(name)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
