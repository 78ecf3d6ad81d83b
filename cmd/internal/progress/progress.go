// Package progress shows how long work goes on: on a terminal as a live tree of
// steps with their times, elsewhere as one line per step.
//
// A Display belongs to one command. Its methods are safe for concurrent use; the
// goroutine that redraws it ends with End.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fairlead/fairlead/cmd/internal/output"
)

// shownSteps is how many steps are redrawn: more than the terminal's rows could
// not be.
const shownSteps = 12

// redrawEvery keeps the spinner and the clock moving.
const redrawEvery = 120 * time.Millisecond

// Config says where and how to show progress.
type Config struct {
	Out   io.Writer
	Live  bool // a terminal that can be redrawn
	Paint output.Paint
	Width func() int
	Now   func() time.Time
}

// Display shows the steps of one piece of work.
type Display struct {
	cfg   Config
	title string
	begin time.Time

	mu     sync.Mutex
	steps  []step
	status string // how the running step is doing; live only
	drawn  int    // lines on the terminal now
	frame  int
	ended  bool

	stop chan struct{}
	done chan struct{}
}

type step struct {
	text       string
	begin, end time.Time
}

// Start begins to show work. The caller must call End.
func Start(cfg Config, title string) *Display {
	d := &Display{cfg: cfg, title: title, begin: cfg.Now(), stop: make(chan struct{}), done: make(chan struct{})}
	if !cfg.Live {
		_, _ = fmt.Fprintln(cfg.Out, title)
		close(d.done)
		return d
	}
	go d.redraw()
	return d
}

// Step says that the work has reached a new step at the given time.
func (d *Display) Step(at time.Time, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finishStep(at)
	d.steps = append(d.steps, step{text: text, begin: at})
	d.status = ""
	if !d.cfg.Live {
		_, _ = fmt.Fprintf(d.cfg.Out, "  %6s  %s\n", output.Elapsed(at.Sub(d.begin)), output.Clean(text))
	}
}

// Status says how the running step is doing. It is shown on a terminal only.
func (d *Display) Status(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = text
}

// End stops showing; the last state stays on the terminal. Later calls do nothing.
func (d *Display) End(ok bool) {
	d.mu.Lock()
	if d.ended {
		d.mu.Unlock()
		return
	}
	d.ended = true
	if ok {
		d.finishStep(d.cfg.Now())
	}
	d.mu.Unlock()
	close(d.stop)
	<-d.done
	if d.cfg.Live {
		d.mu.Lock()
		defer d.mu.Unlock()
		mark := d.cfg.Paint.Green("✓")
		if !ok {
			mark = d.cfg.Paint.Red("✗")
		}
		d.draw(mark)
	}
}

func (d *Display) finishStep(at time.Time) {
	if n := len(d.steps); n > 0 && d.steps[n-1].end.IsZero() {
		d.steps[n-1].end = at
	}
}

func (d *Display) redraw() {
	defer close(d.done)
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	for {
		d.mu.Lock()
		d.draw(d.cfg.Paint.Yellow(spinner(d.frame)))
		d.frame++
		d.mu.Unlock()
		select {
		case <-d.stop:
			return
		case <-ticker.C:
		}
	}
}

func spinner(frame int) string {
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	return string(frames[frame%len(frames)])
}

// draw replaces what was drawn before; mu is held.
func (d *Display) draw(mark string) {
	now := d.cfg.Now()
	lines := []string{d.line(mark+" ", d.title, now.Sub(d.begin))}
	steps := d.steps
	if earlier := len(steps) - shownSteps; earlier > 0 && !d.ended {
		lines = append(lines, d.cfg.Paint.Dim(fmt.Sprintf("  … %d earlier", earlier)))
		steps = steps[earlier:]
	}
	for _, s := range steps {
		if s.end.IsZero() {
			text := s.text
			if d.status != "" {
				text += ": " + d.status
			}
			lines = append(lines, d.line("  "+mark+" ", text, now.Sub(s.begin)))
			continue
		}
		lines = append(lines, d.line("  "+d.cfg.Paint.Green("✓")+" ", s.text, s.end.Sub(s.begin)))
	}
	var b strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", d.drawn)
	}
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	d.drawn = len(lines)
	_, _ = io.WriteString(d.cfg.Out, b.String())
}

// line fits a text between its lead and its time into one row of the terminal:
// a wrapped line could not be redrawn.
func (d *Display) line(lead, text string, elapsed time.Duration) string {
	const margin = 16 // lead, time and spaces
	room := max(10, d.cfg.Width()-margin)
	text = output.Clean(text)
	if utf8.RuneCountInString(text) > room {
		text = string([]rune(text)[:room-1]) + "…"
	}
	return lead + text + "  " + d.cfg.Paint.Dim(output.Elapsed(elapsed))
}
