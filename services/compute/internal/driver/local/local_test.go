package local_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/driver/drivertest"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

const (
	superviseDir   = "FAIRLEAD_TEST_SUPERVISE"
	superviseGrace = "FAIRLEAD_TEST_GRACE"
	scorerBinary   = "FAIRLEAD_TEST_SCORER"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(superviseDir); dir != "" {
		os.Exit(supervise(dir))
	}
	if os.Getenv(scorerBinary) == "" {
		dir, err := os.MkdirTemp("", "fairlead-scorer-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		bin := filepath.Join(dir, "scorer")
		build := exec.Command("go", "build", "-o", bin, "./cmd/scorer")
		build.Dir, build.Env = "../../../../../scorer", append(os.Environ(), "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("build the scorer: %v\n%s", err, out))
		}
		if err := os.Setenv(scorerBinary, bin); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// supervise is the life of a child process that runs a driver until it is killed.
func supervise(dir string) int {
	grace, err := time.ParseDuration(os.Getenv(superviseGrace))
	if err != nil {
		return 1
	}
	artefacts := &drivertest.Artefacts{}
	d, err := open(dir, artefacts, grace)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	s := &drivertest.Stage{Driver: d, Artefacts: artefacts, Dir: dir}
	go func() {
		<-d.Ready()
		d.Start(s.Launch("a", drivertest.EchoScript))
		for range d.Changes() {
			for _, p := range d.Processes() {
				fmt.Println(p.Phase, p.Address)
			}
		}
	}()
	if err := d.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	return 0
}

func open(dir string, artefacts *drivertest.Artefacts, grace time.Duration) (*local.Driver, error) {
	return local.New(local.Config{
		DataDir: dir, ScorerCommand: []string{os.Getenv(scorerBinary)}, OrphanGrace: grace,
	}, local.Deps{Logger: slog.New(slog.DiscardHandler), Artefacts: artefacts})
}

func bed() drivertest.Bed {
	return drivertest.Bed{
		Open: func(t *testing.T, dir string, artefacts *drivertest.Artefacts, keep bool) driver.Driver {
			t.Helper()
			grace := time.Duration(0)
			if keep {
				grace = time.Minute
			}
			d, err := open(dir, artefacts, grace)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Kill: func(t *testing.T, p driver.Process) {
			t.Helper()
			pid := leader(t, p.Replica)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
		Running: func(t *testing.T, dir string) int {
			t.Helper()
			return len(carriers(dir))
		},
	}
}

// carriers gives the processes that carry a token of a data folder.
func carriers(dir string) []proc.Info {
	data, err := os.ReadFile(filepath.Join(dir, "identity"))
	if err != nil {
		return nil
	}
	prefix := strings.TrimSpace(string(data)) + "."
	var out []proc.Info
	for _, p := range proc.List() {
		if !p.Zombie && strings.HasPrefix(proc.Variable(p.PID, "FAIRLEAD_REPLICA"), prefix) {
			out = append(out, p)
		}
	}
	return out
}

// leader gives the scorer's process of a replica.
func leader(t *testing.T, replicaID string) int {
	t.Helper()
	for _, p := range proc.List() {
		if p.PID == p.Session && proc.Variable(p.PID, "HOSTNAME") == replicaID && proc.Variable(p.PID, "FAIRLEAD_REPLICA") != "" {
			return p.PID
		}
	}
	t.Fatalf("no process of replica %s", replicaID)
	return 0
}

func TestConformance(t *testing.T) { drivertest.Run(t, bed()) }

// supervisor runs a driver in a process of its own and waits until its replica answers.
func supervisor(t *testing.T, dir string, grace time.Duration) (cmd *exec.Cmd, address string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(exe)
	cmd.Env = append(os.Environ(), superviseDir+"="+dir, superviseGrace+"="+grace.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), string(replica.Answering)+" "); ok {
			return cmd, text
		}
		if strings.HasPrefix(lines.Text(), string(replica.Ended)) {
			t.Fatal("the replica ended")
		}
	}
	t.Fatal("the supervisor ended")
	return nil, ""
}

func killed(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestKilledSupervisorTakesReplicasWithIt(t *testing.T) {
	dir := t.TempDir()
	cmd, _ := supervisor(t, dir, 0)
	killed(t, cmd)
	limit := time.Now().Add(10 * time.Second)
	for len(carriers(dir)) > 0 {
		if time.Now().After(limit) {
			t.Fatalf("left: %+v", carriers(dir))
		}
		<-time.After(20 * time.Millisecond)
	}
	s := drivertest.Begin(t, bed(), dir, &drivertest.Artefacts{}, false)
	if got := s.Driver.Processes(); len(got) != 0 {
		t.Errorf("listed: %+v", got)
	}
}

func TestKilledSupervisorsReplicasAreAdoptedOnce(t *testing.T) {
	dir := t.TempDir()
	cmd, address := supervisor(t, dir, time.Minute)
	killed(t, cmd)
	if _, err := drivertest.Score(address, "1"); err != nil {
		t.Fatalf("it must go on without a supervisor: %v", err)
	}
	s := drivertest.Begin(t, bed(), dir, &drivertest.Artefacts{}, true)
	p := s.AwaitPhase(t, "a", replica.Answering)
	if p.Address != address {
		t.Errorf("adopted at %s, was at %s", p.Address, address)
	}
	leaders := 0
	for _, c := range carriers(dir) {
		if c.PID == c.Session {
			leaders++
		}
	}
	if leaders != 1 {
		t.Errorf("%d scorers", leaders)
	}
	s.Driver.Stop("a", true)
	s.AwaitPhase(t, "a", replica.Ended)
	s.Driver.Forget("a")
	if left := carriers(dir); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestUnknownProcessOfTheDataFolderIsEnded(t *testing.T) {
	dir := t.TempDir()
	first := drivertest.Begin(t, bed(), dir, &drivertest.Artefacts{}, true)
	first.Driver.Start(first.Launch("a", drivertest.EchoScript))
	first.AwaitPhase(t, "a", replica.Answering)
	first.Stop(t)
	if err := os.RemoveAll(filepath.Join(dir, "replicas", "a")); err != nil {
		t.Fatal(err)
	}
	second := drivertest.Begin(t, bed(), dir, &drivertest.Artefacts{}, true)
	if left := carriers(dir); len(left) != 0 || len(second.Driver.Processes()) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestNoMomentOfACrashLeavesAnUnknownProcess(t *testing.T) {
	dir := t.TempDir()
	for i := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), superviseDir+"="+dir, superviseGrace+"=1m")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(40*(i+1)*(i+1)) * time.Millisecond) // from before the first start to beyond readiness
		killed(t, cmd)
	}
	s := drivertest.Begin(t, bed(), dir, &drivertest.Artefacts{}, true)
	listed := len(s.Driver.Processes())
	leaders := 0
	for _, c := range carriers(dir) {
		if c.PID == c.Session {
			leaders++
		}
	}
	if leaders != listed || listed > 1 {
		t.Errorf("%d processes, %d listed", leaders, listed)
	}
	s.Driver.Stop("a", false)
	for _, p := range s.Driver.Processes() {
		s.AwaitPhase(t, p.Replica, replica.Ended)
	}
	if left := carriers(dir); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

const greedyScript = `
import os
held = []
def init(): pass
def run(data):
    for _ in range(400):
        held.append(os.urandom(1 << 20))
    return len(held)
`

func TestMemoryLimit(t *testing.T) {
	s := drivertest.Begin(t, bed(), t.TempDir(), &drivertest.Artefacts{}, false)
	l := s.Launch("greedy", greedyScript)
	l.Spec.Limit.MemoryBytes = 128 << 20
	l.Spec.Limit.MilliCPU = 1000
	s.Driver.Start(l)
	p := s.AwaitPhase(t, "greedy", replica.Answering)
	answered := make(chan error, 1)
	go func() { _, err := drivertest.Score(p.Address, "1"); answered <- err }()
	ended := s.AwaitPhase(t, "greedy", replica.Ended)
	t.Log(s.Driver.Note())
	if ended.Cause.Reason != "OutOfMemory" || !strings.HasPrefix(ended.Cause.Message, "out of memory: used ") || !strings.Contains(ended.Cause.Message, "limit 0.125 GB, asked ") {
		t.Errorf("ended: %+v", ended.Cause)
	}
	if err := <-answered; err == nil {
		t.Error("the request must fail")
	}
}

func TestUnresponsiveProcessIsGivenUp(t *testing.T) {
	s := drivertest.Begin(t, bed(), t.TempDir(), &drivertest.Artefacts{}, false)
	l := s.Launch("stuck", drivertest.EchoScript)
	l.Spec.Liveness = workload.Probe{Period: 100 * time.Millisecond, InitialDelay: time.Minute, Timeout: 100 * time.Millisecond, SuccessThreshold: 1, FailureThreshold: 3}
	s.Driver.Start(l)
	s.AwaitPhase(t, "stuck", replica.Answering)
	if err := syscall.Kill(leader(t, "stuck"), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ended := s.AwaitPhase(t, "stuck", replica.Ended)
	if want := "did not answer its liveness probe 3 times in a row (no answer within 100ms)"; ended.Cause.Reason != "ProbeTimeout" || !strings.HasPrefix(ended.Cause.Message, want) {
		t.Errorf("ended: %+v", ended.Cause)
	}
}

func TestModelsAndEnvironmentAreLaidOut(t *testing.T) {
	t.Setenv("FAIRLEAD_SECRET", "not for scripts")
	s := drivertest.Begin(t, bed(), t.TempDir(), &drivertest.Artefacts{}, false)
	l := s.Launch("env", `
import os
def init(): pass
def run(data):
    d = os.environ["AZUREML_MODEL_DIR"]
    return [open(os.path.join(d, "sub", "m.txt")).read(), d.split("azureml-models")[1], os.environ["USER_SET"],
            os.environ["OMP_NUM_THREADS"], os.environ.get("FAIRLEAD_SECRET"), os.path.exists("data/words.txt")]
`)
	l.Spec.Environment = map[string]string{"USER_SET": "yes", "OMP_NUM_THREADS": "7"}
	l.Spec.Source = append(l.Spec.Source, s.Artefacts.Put("data/words.txt", "x"))
	l.Spec.Models = []workload.Model{{Name: "ridge", Version: 3, Files: []workload.File{s.Artefacts.Put("sub/m.txt", "weights")}}}
	s.Driver.Start(l)
	p := s.AwaitPhase(t, "env", replica.Answering)
	got, err := drivertest.Score(p.Address, "1")
	if want := `["weights", "/ridge/3", "yes", "7", null, true]`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
