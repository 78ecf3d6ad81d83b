package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// steadyScript answers the same wherever it runs.
const steadyScript = `
import json
import os


def init():
    global weights
    folder = os.environ["AZUREML_MODEL_DIR"]
    names = [os.path.join(at, n) for at, _, files in os.walk(folder) for n in files]
    weights = sorted(open(n).read() for n in names)


def run(raw):
    return {"weights": weights, "echo": json.loads(raw)}
`

// TestBackup backs an installation up while clients change everything, restores it
// elsewhere, and compares: what was acknowledged before the backup began is there.
func TestBackup(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		keys := map[string]string{}
		for _, endpoint := range []string{"shop-a", "shop-b"} {
			keys[endpoint] = deploy(t, i, endpoint, script, nil)
		}
		keys["steady"] = deploy(t, i, "steady", steadyScript, map[string]any{"numReplicas": 2})
		want := mustScore(t, i, "steady", keys["steady"], nil)

		file := filepath.Join(t.TempDir(), "backup.zip")
		clients := newLoad(t, i, 1)
		var before *load
		clients.run(t, 500*time.Millisecond, func() {
			before = clients.sofar()
			i.Backup(file)
		})
		i.Run("backup", "verify", file)
		original := watchEvents(t, i, &eventsv1.WatchEventsRequest{Parent: "workspaces/-", FromStart: true})

		// The first installation goes on: neither touches what is the other's.
		restored := harness.Start(t, i.Assembly, harness.WithBackup(file))
		if restored.Token != i.Token {
			t.Error("the administrator's token is another")
		}
		for endpoint, key := range keys {
			if got := keysOf(t, restored, endpoint).GetPrimaryKey(); got != key {
				t.Errorf("the key of %s is another", endpoint)
			}
			eventuallyScores(t, restored, endpoint, key)
		}
		if got := mustScore(t, restored, "steady", keys["steady"], nil); string(got.Body) != string(want.Body) || got.Version() != want.Version() {
			t.Errorf("the answer is %v, it was %v", got, want)
		}
		before.i = restored
		before.check(t)
		wantSameLog(t, original, restored, lastSequence(t, i, file))
		wantNothingTwice(t, restored)
		mustScore(t, i, "steady", keys["steady"], nil)

		// Life goes on, also after a crash.
		restored.Run("endpoint", "update", "-n", "steady", "--add-tag", "after=restore")
		restored.Kill("deploy", syscall.SIGKILL)
		restored.Restart("deploy")
		wantContiguous(t, watchEvents(t, restored, &eventsv1.WatchEventsRequest{Parent: "workspaces/-", FromStart: true}))
		eventuallyScores(t, restored, "steady", keys["steady"])
	})
}

// sofar is a copy of what is acknowledged now. What was tried later may be there.
func (l *load) sofar() *load {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &load{
		i: l.i, models: maps.Clone(l.models), rooms: slices.Clone(l.rooms), targets: slices.Clone(l.targets),
		marks: maps.Clone(l.marks), marked: maps.Clone(l.marked), versions: slices.Clone(l.versions), acks: l.acks,
		tried: l.tried,
	}
}

// lastSequence is where the events of a backup end.
func lastSequence(t *testing.T, i *harness.Installation, file string) uint64 {
	t.Helper()
	var shown struct {
		Online, Apart bool
		Streams       []struct {
			Name string
			Last uint64 `json:"last_sequence"`
		}
	}
	if err := json.Unmarshal([]byte(i.Run("backup", "show", file, "-o", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	if !shown.Online {
		t.Error("the backup was taken of an installation that is stopped")
	}
	t.Logf("the streams of the backup are apart: %v", shown.Apart) // the clients may not leave an instant of rest
	for _, s := range shown.Streams {
		if s.Name == "EVENTS" {
			return s.Last
		}
	}
	t.Fatal("the backup has no events")
	return 0
}

// wantSameLog wants the same events at the same cursors, as far as the backup goes.
func wantSameLog(t *testing.T, original []event, restored *harness.Installation, last uint64) {
	t.Helper()
	upTo := func(all []event) (places []string) {
		for _, e := range all {
			if at, err := strconv.ParseUint(e.cursor, 10, 64); err != nil {
				t.Fatal(err)
			} else if at <= last {
				places = append(places, e.cursor+" "+e.ID)
			}
		}
		return places
	}
	got := watchEvents(t, restored, &eventsv1.WatchEventsRequest{Parent: "workspaces/-", FromStart: true})
	if diff := cmp.Diff(upTo(original), upTo(got)); diff != "" {
		t.Errorf("events of the backup (-original +restored):\n%s", diff)
	}
}

// wantNothingTwice wants a workload for every version and no other, and a process
// for every replica and no other.
func wantNothingTwice(t *testing.T, i *harness.Installation) {
	t.Helper()
	a := apiOf(i)
	harness.Eventually(t, 40*time.Second, "each version runs once", func() error {
		var versions, workloads, ids []string
		for _, endpoint := range []string{"shop-a", "shop-b", "steady"} {
			list, err := a.endpoints.ListEndpointVersions(testContext(t), &deployv1.ListEndpointVersionsRequest{Parent: endpointName(endpoint)})
			if err != nil {
				return err
			}
			for _, v := range list.GetVersions() {
				versions = append(versions, v.GetName())
			}
			running := workloadsOf(t, i, endpoint)
			for _, w := range running {
				workloads = append(workloads, endpointName(endpoint)+"/versions/"+w.GetSpec().GetVersion())
			}
			ids = append(ids, replicaIDs(running)...)
		}
		slices.Sort(versions)
		slices.Sort(workloads)
		if diff := cmp.Diff(versions, workloads); diff != "" {
			return fmt.Errorf("workloads (-versions +workloads):\n%s", diff)
		}
		if n := len(i.Replicas()); n != len(ids) {
			return fmt.Errorf("%d processes run for %d replicas", n, len(ids))
		}
		return nil
	})
}

// TestBackupOfAStoppedInstallation needs nothing that runs.
func TestBackupOfAStoppedInstallation(t *testing.T) {
	i := harness.Start(t, harness.AllInOne)
	registerModel(t, i)
	key := deploy(t, i, "shop", steadyScript, nil)
	want := mustScore(t, i, "shop", key, nil)
	i.Kill("up", syscall.SIGKILL)
	file := filepath.Join(t.TempDir(), "backup.zip")
	i.Backup(file)
	i.Refused("backup", "-o", file, "--data-dir", filepath.Dir(i.TokenPath())) // a backup replaces nothing
	restored := harness.Start(t, harness.AllInOne, harness.WithBackup(file))
	eventuallyScores(t, restored, "shop", key)
	if got := mustScore(t, restored, "shop", key, nil); string(got.Body) != string(want.Body) {
		t.Errorf("the answer is %v, it was %v", got, want)
	}
	i.Restart("up") // the backup has changed nothing
	eventuallyScores(t, i, "shop", key)
}

// TestBadRestoresLeaveNothing refuses what must not be restored, and whatever is
// refused leaves no trace.
func TestBadRestoresLeaveNothing(t *testing.T) {
	i := harness.Start(t, harness.AllInOne)
	registerModel(t, i)
	dir := t.TempDir()
	file := filepath.Join(dir, "backup.zip")
	i.Backup(file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole)
	for n := len(flipped) / 3; n < len(flipped)/3+64; n++ {
		flipped[n] ^= 0xff
	}
	for name, content := range map[string][]byte{"cut": whole[:len(whole)/2], "flipped": flipped, "other": []byte("no backup")} {
		bad, to := filepath.Join(dir, name+".zip"), filepath.Join(dir, name)
		if err := os.WriteFile(bad, content, 0o600); err != nil {
			t.Fatal(err)
		}
		i.Refused("backup", "verify", bad)
		i.Refused("restore", bad, "--data-dir", to)
		if left, err := os.ReadDir(to); !errors.Is(err, fs.ErrNotExist) && len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
	used := filepath.Dir(i.TokenPath())
	if r := i.Refused("restore", file, "--data-dir", used); !strings.Contains(r.Stderr, "not empty") {
		t.Errorf("a data folder in use: %v", r)
	}
	half := filepath.Join(dir, "half")
	if err := os.MkdirAll(filepath.Join(half, "restore.unfinished"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"restore", file, "--data-dir", half}, {"up", "--data-dir", half}} {
		if r := i.Refused(args...); !strings.Contains(r.Stderr, "restore") {
			t.Errorf("a folder with half of a restore: %v", r)
		}
	}
}
