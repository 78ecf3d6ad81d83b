package command_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairlead/fairlead/cmd/internal/command"
	"github.com/fairlead/fairlead/cmd/internal/controlplanetest"
	"github.com/fairlead/fairlead/cmd/internal/session"
)

var update = flag.Bool("update", false, "write the golden output of the scripts anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fairlead": fairlead})
}

// fairlead is the program as the scripts run it: a process of its own, with a
// clock that stands still.
func fairlead() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	deps := session.Deps{
		Streams: session.SystemStreams(), Getenv: os.Getenv, HomeDir: os.Getenv("HOME"),
		Version: controlplanetest.Version, Now: controlplanetest.Now,
		ChoosePython: func(context.Context) (string, error) {
			if os.Getenv("NO_PYTHON") != "" {
				return "", errors.New("no python3 was found")
			}
			return "/usr/bin/python3 (3.13) with numpy, scikit-learn", nil
		},
	}
	code := command.Execute(ctx, command.Root(deps), deps, os.Args[1:])
	stop()
	os.Exit(code)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			server, err := controlplanetest.Start()
			if err != nil {
				return err
			}
			env.Defer(server.Stop)
			env.Values["server"] = server
			env.Setenv("FAIRLEAD_SERVER", server.URL())
			env.Setenv("FAIRLEAD_DATA_URL", server.DataURL())
			env.Setenv("FAIRLEAD_TOKEN", controlplanetest.Token)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "interrupted": interrupted, "fail-writes": failWrites, "calls": calls, "big": big,
		},
	})
}

// exits CODE PROGRAM ARGS… runs a program and checks its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// interrupted TEXT PROGRAM ARGS… runs a program, sends SIGINT once a line of its
// stderr holds TEXT, and checks that it exits with 2. Its stderr becomes the
// file "watched".
func interrupted(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command(lookPath(ts, args[1]), args[2:]...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"FAIRLEAD_SERVER", "FAIRLEAD_TOKEN", "HOME"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	var watched strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		watched.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), args[0]) {
			ts.Check(cmd.Process.Signal(syscall.SIGINT))
		}
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 {
		ts.Fatalf("after SIGINT: %v, want exit code 2: %s", err, watched.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs("watched"), []byte(watched.String()), 0o600))
}

func lookPath(ts *testscript.TestScript, name string) string {
	for _, dir := range strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if path := dir + "/" + name; exists(path) {
			return path
		}
	}
	ts.Fatalf("%s is not in PATH", name)
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fail-writes N… makes the server go away in the middle of these chunks.
func failWrites(ts *testscript.TestScript, _ bool, args []string) {
	for _, a := range args {
		n, err := strconv.Atoi(a)
		ts.Check(err)
		fake(ts).FailWrites(n)
	}
}

// calls METHOD N checks how often the server was called.
func calls(ts *testscript.TestScript, _ bool, args []string) {
	if got := fake(ts).Calls(args[0]); strconv.Itoa(got) != args[1] {
		ts.Fatalf("%s was called %d times, want %s", args[0], got, args[1])
	}
}

// big FILE BYTES writes a file of some size whose chunks differ.
func big(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i>>16 ^ i)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}

func fake(ts *testscript.TestScript) *controlplanetest.Server {
	return ts.Value("server").(*controlplanetest.Server)
}
