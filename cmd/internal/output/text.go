package output

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text writes the form for people.
type Text struct {
	Paint Paint
	buf   bytes.Buffer
}

// Linef writes one line.
func (t *Text) Linef(format string, args ...any) { fmt.Fprintf(&t.buf, format+"\n", args...) }

// Blank writes an empty line.
func (t *Text) Blank() { t.buf.WriteByte('\n') }

// Fact is a name with a value.
type Fact struct{ Name, Value string }

// Facts writes one fact per line, those without a value left out.
func (t *Text) Facts(facts ...Fact) {
	width := 0
	for _, f := range facts {
		if f.Value != "" {
			width = max(width, utf8.RuneCountInString(f.Name))
		}
	}
	for _, f := range facts {
		if f.Value != "" {
			fmt.Fprintf(&t.buf, "%s  %s\n", t.Paint.Dim(pad(f.Name, width)), t.Paint.State(Clean(f.Value)))
		}
	}
}

// Table writes rows under headers, in columns as wide as they need.
func (t *Text) Table(headers []string, rows [][]string) {
	widths := make([]int, len(headers))
	for i, h := range headers {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = Clean(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	t.row(headers, widths, t.Paint.Dim)
	for _, row := range rows {
		t.row(row, widths, t.Paint.State)
	}
}

func (t *Text) row(cells []string, widths []int, paint func(string) string) {
	for i, cell := range cells {
		if i == len(cells)-1 {
			t.buf.WriteString(paint(cell))
			break
		}
		t.buf.WriteString(paint(cell))
		t.buf.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
	}
	t.trimLine()
	t.buf.WriteByte('\n')
}

func (t *Text) trimLine() {
	t.buf.Truncate(len(bytes.TrimRight(t.buf.Bytes(), " ")))
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// Paint colours words when it is on.
type Paint bool

// Dim is for what is read second.
func (p Paint) Dim(s string) string { return p.with("2", s) }

// Red is for what is wrong.
func (p Paint) Red(s string) string { return p.with("31", s) }

// Green is for what is well.
func (p Paint) Green(s string) string { return p.with("32", s) }

// Yellow is for what needs a look.
func (p Paint) Yellow(s string) string { return p.with("33", s) }

// State colours a word that is a state and leaves every other alone.
func (p Paint) State(s string) string {
	switch s {
	case "Healthy", "Succeeded", "ready":
		return p.Green(s)
	case "Failed", "Unschedulable", "not ready":
		return p.Red(s)
	case "Transitioning", "Unhealthy", "Creating", "Updating", "Deleting", "Running":
		return p.Yellow(s)
	}
	return s
}

func (p Paint) with(code, s string) string {
	if !bool(p) || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
