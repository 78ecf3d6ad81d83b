package packaging_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/imagerecipe"
	"github.com/fairlead/fairlead/cmd/internal/packaging"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/scorer"
)

// TestMain lets this program stand for fairlead: in an image it is the scorer.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "scorer" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	cfg, err := scorer.ParseFlags(os.Args[2:], os.Getenv, os.Stderr)
	if err == nil {
		err = scorer.Run(ctx, cfg, scorer.Deps{})
	}
	stop()
	os.Exit(scorer.ExitCode(err))
}

const script = `
import json
import os
import helper
from azureml.core.model import Model


def init():
    global weights
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "w.txt")) as f:
        weights = f.read()


def run(raw):
    path = Model.get_model_path("diabetes")
    return {"sum": helper.add(json.loads(raw)), "weights": weights, "path": path.split("azureml-models")[1], "said": os.environ["SAID"], "cwd": os.getcwd()}
`

// An image that is made of the context answers: its Dockerfile is carried out in
// a folder, and the scorer is started as it says.
func TestTheImageScores(t *testing.T) {
	python, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		if python, err = exec.LookPath("python3"); err != nil {
			t.Skip("there is no python3 here")
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := packaging.Context{
		Environment: imagerecipe.Environment{
			InterpreterPath: python, UserManaged: true, BaseImage: "a:1",
			Variables: map[string]string{"SAID": `a "b" $HOME \c`},
		},
		EntryScript: "src/score.py",
		Source:      sources(t, map[string]string{"src/score.py": script, "src/helper.py": "def add(xs): return sum(xs)"}),
		Models:      []*deployv1.ModelVersion{model("diabetes", 7)},
		Program:     self, Platform: "linux/amd64",
	}
	dir := filepath.Join(t.TempDir(), "context")
	if err := c.Write(t.Context(), models{"diabetes:7": {"w.txt": "42"}}, dir, false); err != nil {
		t.Fatal(err)
	}
	i := build(t, dir)
	address := i.start(t)
	response, err := http.Post("http://"+address+"/score", "application/json", strings.NewReader("[1, 2, 3]"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Sum                      int
		Weights, Path, Said, Cwd string
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%s %s", response.Status, body)
	}
	if answer.Sum != 6 || answer.Weights != "42" || answer.Path != "/diabetes/7/w.txt" || answer.Said != `a "b" $HOME \c` {
		t.Errorf("got %s", body)
	}
	if !strings.HasSuffix(answer.Cwd, imagerecipe.AppRoot) {
		t.Errorf("the script runs in %s", answer.Cwd)
	}
}

// image is what carrying out a Dockerfile gives.
type image struct {
	root       string
	env        []string
	entrypoint []string
	workdir    string
}

// build carries out the instructions behind the last FROM: files are copied
// below a folder that stands for the image's root. What RUN does to a system is
// left out.
func build(t *testing.T, dir string) image {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, imagerecipe.Dockerfile))
	if err != nil {
		t.Fatal(err)
	}
	i := image{root: t.TempDir()}
	for _, line := range strings.Split(string(content), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "COPY":
			fields := strings.Fields(rest)
			if strings.HasPrefix(fields[0], "--chown=") {
				fields = fields[1:]
			}
			i.copy(t, filepath.Join(dir, fields[0]), fields[1])
		case "ENV":
			name, value, _ := strings.Cut(rest, "=")
			if strings.HasPrefix(value, `"`) {
				value = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`).Replace(value[1 : len(value)-1])
			}
			i.env = append(i.env, name+"="+i.rerooted(value))
		case "ENTRYPOINT":
			if err := json.Unmarshal([]byte(rest), &i.entrypoint); err != nil {
				t.Fatal(err)
			}
		case "WORKDIR":
			i.workdir = filepath.Join(i.root, rest)
		case "", "#", "FROM", "USER", "RUN", "LABEL", "EXPOSE", "STOPSIGNAL", "CMD":
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	return i
}

// copy copies a file, or what is in a folder.
func (i image) copy(t *testing.T, from, to string) {
	t.Helper()
	target := filepath.Join(i.root, to)
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		if err := os.CopyFS(target, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, content, info.Mode()); err != nil {
		t.Fatal(err)
	}
}

// rerooted gives a value with the image's paths where they are here.
func (i image) rerooted(value string) string {
	if strings.HasPrefix(value, "/var/") {
		return filepath.Join(i.root, value)
	}
	return value
}

// start runs the image, with further arguments as `docker run` takes them, and
// gives the address when it is ready.
func (i image) start(t *testing.T) string {
	t.Helper()
	addressFile := filepath.Join(i.root, "address")
	args := append(i.entrypoint[1:], "--listen", "127.0.0.1:0", "--address-file", addressFile)
	cmd := exec.Command(filepath.Join(i.root, i.entrypoint[0]), args...)
	cmd.Env, cmd.Dir = append(i.env, "PATH="+os.Getenv("PATH")), i.workdir
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the scorer ended with %v", err)
		}
	})
	for {
		if address, err := os.ReadFile(addressFile); err == nil {
			if healthy(string(address)) == nil {
				return strings.TrimSpace(string(address))
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the scorer ended: %v", err)
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func healthy(address string) error {
	response, err := http.Get("http://" + strings.TrimSpace(address) + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
