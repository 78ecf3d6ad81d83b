package compute_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/compute/internal/driver/drivertest"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func fileOf(f workload.File) *computev1.File {
	return &computev1.File{Path: f.Path, Sha256: f.SHA256, SizeBytes: f.Size}
}

// quickProbe gives a replica half a second to become ready.
func quickProbe(spec *computev1.WorkloadSpec) {
	spec.LivenessProbe = &computev1.Probe{
		Period: durationpb.New(100 * time.Millisecond), InitialDelay: durationpb.New(400 * time.Millisecond), Timeout: durationpb.New(100 * time.Millisecond), FailureThreshold: 1,
	}
}

// TestFailuresAreToldPlainly runs what fails, really, and asks what a user sees.
func TestFailuresAreToldPlainly(t *testing.T) {
	b := newBench(t)
	const fine = "def init(): pass\ndef run(d): return 1\n"
	for name, test := range map[string]struct {
		script  string
		change  func(spec *computev1.WorkloadSpec)
		reason  string
		message []string
		logs    string
		final   bool // it is not tried again
	}{
		"script-error": {
			script: "import json\ndef init():\n    raise ValueError('no weights')\ndef run(d): pass\n",
			reason: "ScriptError", message: []string{"init() raised ValueError: no weights (score.py, line 3)"}, logs: "Traceback (most recent call last):", final: true,
		},
		"syntax-error": {script: "def init(:\n", reason: "ScriptError", message: []string{"score.py line 1: SyntaxError"}, logs: "def init(:", final: true},
		"missing-package": {
			script: "import yaml_zz.sub\n" + fine, reason: "MissingPackage",
			message: []string{"needs a package that is not installed: yaml_zz (score.py, line 1); add yaml_zz to the environment"}, logs: "ModuleNotFoundError", final: true,
		},
		"no-init": {script: "def run(d): pass\n", reason: "NoInit", message: []string{"score.py has no function init(): add it"}, final: true},
		"no-run":  {script: "def init(): pass\n", reason: "NoRun", message: []string{"score.py has no function run(): add it"}, final: true},
		"init-timeout": {
			script: "import time\ndef init():\n    print('loading')\n    time.sleep(60)\ndef run(d): pass\n", change: func(spec *computev1.WorkloadSpec) {
				quickProbe(spec)
				spec.LivenessProbe.InitialDelay = durationpb.New(4 * time.Second) // for Python to begin
			},
			final: true, reason: "InitTimeout", message: []string{"init() had not returned 4.1s after the start", "raise the liveness probe's initial delay (4s)"}, logs: "loading",
		},
		"out-of-memory": {
			script: "def init():\n    global held\n    print('greedy')\n    import os\n    held = [os.urandom(1 << 20) for _ in range(600)]\n    import time; time.sleep(5)\ndef run(d): pass\n",
			change: func(spec *computev1.WorkloadSpec) {
				spec.Resources = &computev1.ReplicaResources{Cpu: 0.1, MemoryBytes: 64 << 20, MemoryLimitBytes: 128 << 20}
			},
			reason: "OutOfMemory", message: []string{"out of memory: used ", "limit 0.125 GB, asked 0.063 GB", "raise the memory limit"}, logs: "greedy",
		},
		"crash-loop": {
			script: "import os, signal, time\ndef init():\n    print('last words')\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(5)\ndef run(d): pass\n",
			reason: "CrashLoop", message: []string{"killed by signal 9", "2 times in a row"}, logs: "last words",
		},
		"workers-die": { // of a replica that is ready
			script: "import os, threading\ndef init():\n    print('last words')\n    threading.Timer(0.3, os._exit, [3]).start()\ndef run(d): pass\n",
			reason: "CrashLoop", message: []string{"died 5 times within", "5 times while it ran no request; the last time: exit code 3"}, logs: "last words",
		},
		"environment-mismatch": {
			script: fine, change: func(spec *computev1.WorkloadSpec) {
				spec.Python = &computev1.PythonEnvironment{
					Environment: "sk:2", PythonVersion: "2.7", PipRequirements: []string{"nosuch-zz>=1.5", "azureml-defaults", "never; sys_platform == 'win32'"}, CondaPackages: []string{"libzz", "other-zz=1.2"},
				}
			},
			reason: "EnvironmentMismatch", message: []string{"environment sk:2 asks for what ", "Python 2.7 (it has 3.", "nosuch-zz>=1.5 (it has none)", "other-zz=1.2 (it has none)"}, final: true,
		},
		"digest-mismatch": {
			script: fine, change: func(spec *computev1.WorkloadSpec) {
				f := b.artefacts.Put("weights.bin", "weights")
				b.artefacts.Damage(f)
				spec.Models = []*computev1.ModelMount{{Model: "m", Version: 1, Files: []*computev1.File{fileOf(f)}}}
			},
			reason: "DigestMismatch", message: []string{"weights.bin is damaged", "expected 7 bytes with SHA-256 ", "got 7 bytes with "}, final: true,
		},
		"never-fits": {
			script: fine, change: func(spec *computev1.WorkloadSpec) { spec.Resources.Cpu = 64 },
			reason: "NeverFits", message: []string{"asked 64 vCPU", "node-0 has 4 of 4 vCPU", "it would not fit on an empty node either"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			spec := b.spec(test.script, 1)
			if test.change != nil {
				test.change(spec)
			}
			b.apply(name, spec)
			w := b.await(name, test.reason, func(w *computev1.Workload) bool {
				return w.GetReady().GetReason() == test.reason && (!test.final || w.GetState() == computev1.Workload_STATE_FAILED)
			})
			for _, part := range test.message {
				if !strings.Contains(w.GetReady().GetMessage(), part) {
					t.Errorf("the message does not say %q: %s", part, w.GetReady().GetMessage())
				}
			}
			lines := strings.Join(w.GetReady().GetLogLines(), "\n")
			if !strings.Contains(lines, test.logs) || test.logs == "" && strings.Contains(lines, "Traceback") {
				t.Errorf("log lines:\n%s", lines)
			}
			if strings.Contains(lines, w.GetReady().GetMessage()) {
				t.Errorf("the log lines repeat the message:\n%s", lines)
			}
			_, err := b.workloads.DeleteWorkload(t.Context(), &computev1.DeleteWorkloadRequest{Name: w.GetName()})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestMismatchIsNamedBeforeAnythingStarts(t *testing.T) {
	b := newBench(t)
	spec := b.spec("def init(): pass\ndef run(d): pass\n", 1)
	spec.Python = &computev1.PythonEnvironment{Environment: "sk:2", PipRequirements: []string{"nosuch-zz>=1.5"}}
	spec.Resources.Cpu = 64
	_, err := b.workloads.ApplyWorkload(t.Context(), &computev1.ApplyWorkloadRequest{Name: local + "/workloads/x", Spec: spec, ValidateOnly: true})
	if err == nil || !strings.Contains(err.Error(), "nosuch-zz>=1.5 (it has none)") || !strings.Contains(err.Error(), "asked 64 vCPU") {
		t.Errorf("both are told at once: %v", err)
	}
}

func TestSilenceAfterReadinessIsTold(t *testing.T) {
	b := newBench(t)
	spec := b.spec("def init(): pass\ndef run(d): pass\n", 1)
	spec.LivenessProbe = &computev1.Probe{Period: durationpb.New(100 * time.Millisecond), Timeout: durationpb.New(100 * time.Millisecond), FailureThreshold: 2}
	b.apply("stuck", spec)
	w := b.awaitState("stuck", computev1.Workload_STATE_HEALTHY)
	if err := syscall.Kill(pidOf(t, w.GetReplicas()[0].GetId()), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w = b.await("stuck", "silent", func(w *computev1.Workload) bool { return w.GetReady().GetReason() == "ProbeTimeout" })
	if !strings.Contains(w.GetReady().GetMessage(), "did not answer its liveness probe 2 times in a row") {
		t.Errorf("%s", w.GetReady().GetMessage())
	}
}

func TestPortThatIsNeverOpenedIsTold(t *testing.T) {
	b := &bench{t: t, dir: t.TempDir(), artefacts: &drivertest.Artefacts{}, scorer: []string{"sh", "-c", "echo deaf; exec sleep 60"}}
	b.open(t)
	spec := b.spec("def init(): pass\n", 1)
	quickProbe(spec)
	b.apply("deaf", spec)
	w := b.await("deaf", "given up", func(w *computev1.Workload) bool { return w.GetReady().GetReason() == "PortNotOpened" })
	if !strings.Contains(w.GetReady().GetMessage(), "had not opened its port 500ms after the start") || strings.Join(w.GetReady().GetLogLines(), "") != "deaf" {
		t.Errorf("%v", w.GetReady())
	}
}

func TestFullDiskIsToldAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	b := &bench{t: t, dir: dir, artefacts: &drivertest.Artefacts{}, scorer: []string{os.Getenv(scorerBinary)}}
	b.open(t)
	model := b.artefacts.Put("big.bin", strings.Repeat("x", 6<<20))
	spec := b.spec("def init(): pass\ndef run(d): return 1\n", 1)
	spec.Models = []*computev1.ModelMount{{Model: "big", Version: 1, Files: []*computev1.File{fileOf(model)}}}
	b.apply("full", spec)
	w := b.await("full", "DiskFull", func(w *computev1.Workload) bool { return w.GetReady().GetReason() == "DiskFull" })
	for _, part := range []string{"the disk is full: ", "needs 6291456 bytes, ", " are free"} {
		if !strings.Contains(w.GetReady().GetMessage(), part) {
			t.Errorf("the message does not say %q: %s", part, w.GetReady().GetMessage())
		}
	}
	_ = filepath.WalkDir(filepath.Join(dir, "cache"), func(path string, e os.DirEntry, _ error) error {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Size() > 1<<20 {
			t.Errorf("left in the cache: %s", path)
		}
		return nil
	})
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	b.awaitState("full", computev1.Workload_STATE_HEALTHY)
}
