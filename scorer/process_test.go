package scorer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

// program is a scorer as a process of its own.
type program struct {
	running
	cmd *exec.Cmd
}

// build makes the scorer's binary.
func build(tb testing.TB) string {
	tb.Helper()
	bin := filepath.Join(tb.TempDir(), "scorer")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/scorer").CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// execute starts a scorer process and waits until it is healthy.
func execute(t *testing.T, bin string, args ...string) *program {
	t.Helper()
	dir := t.TempDir()
	output, address := filepath.Join(dir, "output"), filepath.Join(dir, "address")
	file, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(bin, append([]string{"--listen", "127.0.0.1:0", "--address-file", address, "--python", pythontest.Interpreter(t)}, args...)...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	p := &program{running: running{output: output, ended: make(chan struct{}), client: &http.Client{Transport: transport}}, cmd: cmd}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
		transport.CloseIdleConnections()
	})
	p.url = "http://" + strings.TrimSpace(awaitFile(t, address))
	if !p.becomesHealthy(t) {
		t.Fatalf("the scorer did not become healthy: %v\n%s", p.err, p.log(t))
	}
	return p
}

func TestTerminate(t *testing.T) {
	p := execute(t, build(t), "--entry-script", pythontest.Script(t, obedient))
	mark := filepath.Join(t.TempDir(), "begun")
	got := make(chan answer, 1)
	go func() { got <- p.score(context.Background(), fmt.Sprintf(`{"touch": %q, "sleep": 0.5}`, mark)) }()
	awaitFile(t, mark)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.status != 200 {
		t.Errorf("the request that ran got %+v", a)
	}
	<-p.ended
	if p.err != nil {
		t.Errorf("ended with %v, want exit code 0\n%s", p.err, p.log(t))
	}
}

// TestNoOrphans: whatever a worker is doing, it ends with the scorer, however that ends.
func TestNoOrphans(t *testing.T) {
	bin := build(t)
	p := execute(t, bin, "--entry-script", pythontest.Script(t, obedient), "--workers", "2")
	mark := filepath.Join(t.TempDir(), "begun")
	go p.score(context.Background(), fmt.Sprintf(`{"touch": %q, "sleep": 600}`, mark))
	awaitFile(t, mark)
	_, s := p.get(t, "/-/status")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	for _, w := range s.Workers.Processes {
		eventually(t, fmt.Sprintf("worker %d is gone", w.PID), func() (bool, bool) { return !alive(w.PID), true })
	}
}

func TestSupervisorGone(t *testing.T) {
	bin := build(t)
	for name, grace := range map[string]string{"at once": "0s", "after a grace": "200ms"} {
		t.Run(name, func(t *testing.T) {
			lock := filepath.Join(t.TempDir(), "lock")
			supervisor, err := os.Create(lock)
			if err != nil {
				t.Fatal(err)
			}
			defer supervisor.Close()
			if err := syscall.Flock(int(supervisor.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			p := execute(t, bin, "--entry-script", pythontest.Script(t, obedient), "--supervisor-lock", lock, "--orphan-grace", grace)
			_, s := p.get(t, "/-/status")
			if err := syscall.Flock(int(supervisor.Fd()), syscall.LOCK_UN); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			if p.err != nil {
				t.Errorf("ended with %v\n%s", p.err, p.log(t))
			}
			eventually(t, "the worker is gone", func() (bool, bool) { return !alive(s.Workers.Processes[0].PID), true })
		})
	}
}

func TestStartErrorIsTheLastLine(t *testing.T) {
	cmd := exec.Command(build(t), "--listen", "127.0.0.1:0", "--python", pythontest.Interpreter(t),
		"--entry-script", pythontest.Script(t, "def init(): raise ValueError('no file')\ndef run(d): pass"))
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d (%v), want 3", code, err)
	}
	if want := "scorer: init() raised ValueError: no file (score.py, line 1)\n"; !strings.HasSuffix(string(out), want) {
		t.Errorf("the last line must be %q:\n%s", want, out)
	}
}

// TestDocumentedModel: the old product's example, an old pickle and an old script, gives the documented numbers.
func TestDocumentedModel(t *testing.T) {
	pythontest.Needs(t, "sklearn")
	b, err := os.ReadFile(pythontest.Acceptance(t, "scoring/diabetes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Request       json.RawMessage
		Answer        []float64
		SecondRequest json.RawMessage `json:"second_request"`
		SecondAnswer  []float64       `json:"second_answer"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	pickle, err := os.ReadFile(pythontest.Acceptance(t, "models/ridge_diabetes.pkl"))
	if err != nil {
		t.Fatal(err)
	}
	dir := tree(t, "azureml-models/sklearn_regression_model.pkl/1/sklearn_regression_model.pkl")
	model := dir + "/azureml-models/sklearn_regression_model.pkl/1"
	if err := os.WriteFile(model+"/sklearn_regression_model.pkl", pickle, 0o600); err != nil {
		t.Fatal(err)
	}
	script := pythontest.Script(t, `
import json, numpy
from sklearn.externals import joblib
from sklearn.linear_model import Ridge
from azureml.core.model import Model

def init():
    global model
    model = joblib.load(Model.get_model_path('sklearn_regression_model.pkl'))

def run(raw_data):
    return model.predict(numpy.array(json.loads(raw_data)['data'])).tolist()
`)
	p := execute(t, build(t), "--entry-script", script, "--model-dir", model)
	for _, c := range []struct {
		request json.RawMessage
		want    []float64
	}{{doc.Request, doc.Answer}, {doc.SecondRequest, doc.SecondAnswer}} {
		a := p.score(t.Context(), string(c.request))
		var got []float64
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatalf("%v: %+v", err, a)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("-documented +got:\n%s", diff)
		}
	}
}
