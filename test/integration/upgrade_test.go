package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/test/harness"
	"github.com/fairlead/fairlead/test/repository"
)

// revisionVariable names the revision to upgrade from; without it that is the
// newest release, or the commit before this one.
const revisionVariable = "FAIRLEAD_UPGRADE_FROM"

// TestUpgrade starts this program on the data of an older one, which was stopped or
// killed: all that it made is there, serves, and can be changed.
func TestUpgrade(t *testing.T) {
	older := olderProgram(t)
	for name, end := range map[string]syscall.Signal{"stopped": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			i := harness.Start(t, harness.AllInOne, harness.WithProgram(older))
			registerModel(t, i)
			keys := map[string]string{}
			for _, endpoint := range []string{"shop-a", "shop-b"} {
				keys[endpoint] = deploy(t, i, endpoint, steadyScript, nil)
			}
			i.Run("endpoint", "create-version", "-n", "shop-b", "--vn", "second", "-m", modelID, "--tp", "30", "--ic", inferenceConfig(t, steadyScript))
			i.Run("workspace", "create", "-n", "other")
			want := mustScore(t, i, "shop-a", keys["shop-a"], nil)
			before := eventPlaces(t, i)

			i.Kill("up", end)
			i.UseProgram(harness.Binary(t))
			i.Restart("up")
			for endpoint, key := range keys {
				if got := keysOf(t, i, endpoint).GetPrimaryKey(); got != key {
					t.Errorf("the key of %s is another", endpoint)
				}
				eventuallyScores(t, i, endpoint, key)
			}
			if got := mustScore(t, i, "shop-a", keys["shop-a"], nil); string(got.Body) != string(want.Body) {
				t.Errorf("the answer is %v, it was %v", got, want)
			}
			i.Run("workspace", "show", "-n", "other")
			if got := percentileOf(t, i, "shop-b", "second"); got != 30 {
				t.Errorf("the second version is asked for %v percent of the traffic, want 30", got)
			}
			after := eventPlaces(t, i)
			if diff := cmp.Diff(before, after[:min(len(before), len(after))]); diff != "" {
				t.Errorf("events (-before +after the upgrade):\n%s", diff)
			}

			i.Run("endpoint", "update-version", "-n", "shop-b", "--vn", "second", "--tp", "40")
			i.Run("endpoint", "create-version", "-n", "shop-a", "--vn", "third", "-m", modelID, "--ic", inferenceConfig(t, steadyScript))
			eventuallyScores(t, i, "shop-a", keys["shop-a"])
			wantContiguous(t, watchEvents(t, i, &eventsv1.WatchEventsRequest{Parent: "workspaces/-", FromStart: true}))
		})
	}
}

// eventPlaces are the events with their cursors.
func eventPlaces(t *testing.T, i *harness.Installation) []string {
	t.Helper()
	var places []string
	for _, e := range watchEvents(t, i, &eventsv1.WatchEventsRequest{Parent: "workspaces/-", FromStart: true}) {
		places = append(places, e.cursor+" "+e.ID)
	}
	return places
}

func percentileOf(t *testing.T, i *harness.Installation, endpoint, version string) float64 {
	t.Helper()
	for _, v := range showEndpoint(t, i, endpoint).GetVersions() {
		if v.GetName() == versionName(endpoint, version) {
			return v.GetTrafficPercentile()
		}
	}
	t.Fatalf("%s has no version %s", endpoint, version)
	return 0
}

// olderProgram builds the program of an older revision, once for each.
func olderProgram(t *testing.T) string {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	revision, err := olderRevision(root)
	if err != nil {
		t.Skipf("there is no older revision to upgrade from: %v", err)
	}
	program := filepath.Join(root, ".build", "test", "fairlead-"+revision[:12])
	if _, err := os.Stat(program); err == nil {
		return program
	}
	source := t.TempDir()
	unpack := exec.Command("tar", "-x", "-C", source)
	pack := exec.Command("git", "-C", root, "archive", revision)
	if unpack.Stdin, err = pack.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unpack.Start(), pack.Run(), unpack.Wait()); err != nil {
		t.Fatalf("take revision %s out of git: %v", revision, err)
	}
	// Trimmed paths let the build cache be used again, from whatever folder.
	fresh := filepath.Join(source, "fairlead-program")
	build := exec.Command("go", "build", "-trimpath", "-o", fresh, "./cmd/fairlead")
	build.Dir = source
	begin := time.Now()
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build revision %s: %v\n%s", revision, err, output)
	}
	t.Logf("built revision %s in %v", revision[:12], time.Since(begin).Round(time.Second))
	if err := keep(fresh, program); err != nil {
		t.Fatal(err)
	}
	return program
}

// keep puts a program in its place whole.
func keep(fresh, program string) error {
	content, err := os.ReadFile(fresh)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return err
	}
	half := fmt.Sprintf("%s.%d", program, os.Getpid())
	if err := os.WriteFile(half, content, 0o755); err != nil { //nolint:gosec // a program
		return err
	}
	return os.Rename(half, program)
}

// olderRevision is the revision to upgrade from: what is asked for, the newest
// release, the last commit where there are changes since, or the one before it.
func olderRevision(root string) (string, error) {
	git := func(args ...string) (string, error) {
		output, err := exec.Command("git", append([]string{"-C", root}, args...)...).Output()
		return strings.TrimSpace(string(output)), err
	}
	wish := os.Getenv(revisionVariable)
	if wish == "" {
		if release, err := git("describe", "--tags", "--abbrev=0", "HEAD^"); err == nil {
			wish = release
		} else if changes, err := git("status", "--porcelain", "--untracked-files=no"); err == nil && changes != "" {
			wish = "HEAD"
		} else {
			wish = "HEAD^"
		}
	}
	revision, err := git("rev-parse", "--verify", "--quiet", wish+"^{commit}")
	if err != nil {
		return "", err
	}
	if _, err := git("cat-file", "-e", revision+":cmd/fairlead"); err != nil {
		return "", fmt.Errorf("%s has no program", revision)
	}
	return revision, nil
}
