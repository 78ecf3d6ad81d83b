// Package drivertest is the conformance suite of drivers: what package driver
// promises, checked with real processes.
package drivertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// Bed is a machine on which a driver is tested.
type Bed struct {
	// Open makes a driver over dir; processes outlive its Run when keep is set.
	Open func(t *testing.T, dir string, artefacts *Artefacts, keep bool) driver.Driver
	// Kill ends the process of a replica from outside, without warning.
	Kill func(t *testing.T, p driver.Process)
	// Running counts the processes that belong to dir.
	Running func(t *testing.T, dir string) int
}

// patience bounds every wait.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, bed Bed) {
	t.Helper()
	for _, tt := range []struct {
		name string
		run  func(*testing.T, Bed)
	}{
		{"a started process answers", startedProcessAnswers},
		{"start is idempotent", startIsIdempotent},
		{"an end is noticed and told", endIsNoticed},
		{"draining lets requests finish", drainLetsRequestsFinish},
		{"killing is quick", killIsQuick},
		{"a script that cannot start says why", scriptErrorIsTold},
		{"missing files are told", missingFilesAreTold},
		{"an end leaves nothing behind", endLeavesNothing},
		{"logs are read and followed", logsAreRead},
		{"the log of a start, and of the process before", startsLogIsToldApart},
		{"what is used is measured", useIsMeasured},
		{"processes that go on are adopted", processesAreAdopted},
		{"ending with the driver leaves nothing", endingWithDriverLeavesNothing},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, bed) })
	}
}

// Scripts of the suite.
const (
	EchoScript = `
def init():
    print("init done")
def run(data):
    print("scored " + data)
    return {"ok": True}
`
	slowScript = `
import time
def init(): pass
def run(data):
    time.sleep(1.0)
    return "done"
`
	brokenScript = `
def init():
    print("about to fail")
    raise ValueError("no weights")
def run(data): pass
`
	parentScript = `
import subprocess
def init():
    subprocess.Popen(["sleep", "300"], start_new_session=True)
def run(data): return 1
`
)

// Artefacts is content in memory.
type Artefacts struct {
	mu      sync.Mutex
	content map[string][]byte
}

// Put adds content under a path.
func (a *Artefacts) Put(path, text string) workload.File {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.content == nil {
		a.content = map[string][]byte{}
	}
	sum := sha256.Sum256([]byte(text))
	digest := hex.EncodeToString(sum[:])
	a.content[digest] = []byte(text)
	return workload.File{Path: path, SHA256: digest, Size: int64(len(text))}
}

// Damage makes the content of a file another one.
func (a *Artefacts) Damage(f workload.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.content[f.SHA256] = []byte("damaged")
}

// Open gives content.
func (a *Artefacts) Open(_ context.Context, digest string) (io.ReadCloser, int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	data, ok := a.content[digest]
	if !ok {
		return nil, 0, fmt.Errorf("there is no artefact %s", digest)
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

// Stage is a driver that runs, and what it has.
type Stage struct {
	Driver    driver.Driver
	Artefacts *Artefacts
	Dir       string
	stop      context.CancelFunc
	done      chan error
}

// Begin opens and runs a driver until the test or Stop ends it.
func Begin(t *testing.T, bed Bed, dir string, artefacts *Artefacts, keep bool) *Stage {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Stage{Driver: bed.Open(t, dir, artefacts, keep), Artefacts: artefacts, Dir: dir, stop: cancel, done: make(chan error, 1)}
	go func() { s.done <- s.Driver.Run(ctx) }()
	t.Cleanup(func() { s.Stop(t) })
	select {
	case <-s.Driver.Ready():
	case <-time.After(patience):
		t.Fatal("the driver did not become ready")
	}
	return s
}

// Stop ends the driver's Run.
func (s *Stage) Stop(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case err := <-s.done:
		s.done <- nil
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(patience):
		t.Error("the driver did not end")
	}
}

// Launch gives the launch of a replica with one script.
func (s *Stage) Launch(name, script string) driver.Launch {
	spec := workload.Spec{
		Replicas: 1, EntryScript: "score.py", Source: []workload.File{s.Artefacts.Put("score.py", script)}, DrainTimeout: 5 * time.Second,
	}.WithDefaults()
	return driver.Launch{
		Replica: name, Workload: "workloads/" + name, WorkloadUID: "uid-" + name, Generation: 1, Node: "node-0", CreateTime: time.Now().UTC(), Spec: spec,
	}
}

// Await blocks until the process of a replica is as wanted.
func (s *Stage) Await(t *testing.T, replicaID, what string, ok func(driver.Process) bool) driver.Process {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var last driver.Process
	for {
		for _, p := range s.Driver.Processes() {
			if p.Replica == replicaID {
				if last = p; ok(p) {
					return p
				}
			}
		}
		select {
		case <-look.C:
		case <-limit.C:
			t.Fatalf("%s: not %s but %+v", replicaID, what, last.Observation)
		}
	}
}

// AwaitPhase blocks until the process of a replica is in a phase.
func (s *Stage) AwaitPhase(t *testing.T, replicaID string, phase replica.Phase) driver.Process {
	t.Helper()
	return s.Await(t, replicaID, string(phase), func(p driver.Process) bool {
		if p.Phase == replica.Ended && phase != replica.Ended {
			t.Fatalf("%s ended: %s\n%s", replicaID, p.Cause.Message, strings.Join(p.Cause.LogLines, "\n"))
		}
		return p.Phase == phase
	})
}

// Score sends a request to a process.
func Score(address, body string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+address+"/score", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, data)
	}
	return string(data), err
}

func awaitNone(t *testing.T, bed Bed, dir string) {
	t.Helper()
	limit := time.Now().Add(patience)
	for bed.Running(t, dir) > 0 {
		if time.Now().After(limit) {
			t.Fatalf("%d processes are left", bed.Running(t, dir))
		}
		<-time.After(20 * time.Millisecond)
	}
}
