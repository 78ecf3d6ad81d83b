package progress_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/cmd/internal/progress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWithoutTerminalEachStepIsOneLine(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	d := progress.Start(progress.Config{Out: &out, Now: func() time.Time { return now }}, "Deploying")
	d.Step(now, "uploading")
	d.Status("1 of 2")
	d.Step(now.Add(1500*time.Millisecond), "starting\x1b[2J")
	d.End(true)
	d.End(false)
	want := "Deploying\n    0.0s  uploading\n    1.5s  starting\uFFFD[2J\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOnATerminalTheTreeIsRedrawnInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := progress.Start(progress.Config{
			Out: &out, Live: true, Now: time.Now, Width: func() int { return 40 },
		}, "Deploying")
		d.Step(time.Now(), "a first step whose text is longer than the terminal is wide")
		time.Sleep(time.Second)
		d.Step(time.Now(), "second")
		d.Status("half done")
		time.Sleep(time.Second)
		d.End(false)

		frames := strings.Split(out.String(), "\x1b[J")
		want := "✗ Deploying  2.0s\n  ✓ a first step whose text…  1.0s\n  ✗ second: half done  1.0s\n"
		if diff := cmp.Diff(want, frames[len(frames)-1]); diff != "" {
			t.Error(diff)
		}
		if !strings.HasSuffix(frames[len(frames)-2], "\x1b[3A") {
			t.Errorf("the last frame does not replace the three lines before it: %q", frames[len(frames)-2])
		}
	})
}

func TestOnlyTheLastStepsAreRedrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := progress.Start(progress.Config{Out: &out, Live: true, Now: time.Now, Width: func() int { return 40 }}, "Deploying")
		for i := range 40 {
			d.Step(time.Now(), fmt.Sprint("step ", i))
		}
		time.Sleep(time.Second)
		d.End(true)
		frames := strings.Split(out.String(), "\x1b[J")
		if n := strings.Count(frames[len(frames)-2], "\n"); n != 14 {
			t.Errorf("a frame has %d lines, want title, remark and 12 steps", n)
		}
		if !strings.Contains(frames[len(frames)-1], "✓ step 0 ") {
			t.Error("the last frame does not show all steps")
		}
	})
}
