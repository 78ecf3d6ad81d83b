package scaling_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
)

var rewrite = flag.Bool("rewrite", false, "write the expected decisions anew")

// A recorded load leads to the decisions that were found right when it was recorded.
func TestRecordedTrace(t *testing.T) {
	s := scaling.Settings{Min: 0, Max: 20, Target: 0.7, Concurrency: 1, Refresh: time.Second, Idle: 20 * time.Second}
	file, err := os.Open("testdata/burst.trace")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var (
		h    scaling.History
		got  strings.Builder
		have = scaling.Replicas{Desired: 1, Changed: start, Began: start}
	)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		var ms int64
		var l scaling.Load
		if _, err := fmt.Sscan(lines.Text(), &ms, &l.Busy, &l.Queued, &l.Waiting, &l.Arrived); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		now := start.Add(time.Duration(ms) * time.Millisecond)
		h = h.Add(l, now)
		if d := scaling.Decide(s, have, h, now); d.Desired != have.Desired {
			fmt.Fprintf(&got, "%5.1f s  %s\n", now.Sub(start).Seconds(), d.Explanation)
			have.Desired, have.Changed = d.Desired, now
		}
	}
	const golden = "testdata/burst.decisions"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}
