// Package score is `fairlead score`: the scorer without any service, for trying
// an entry script or a model on this machine.
//
// It runs the very scorer that a replica runs, in this process, with the settings
// that the scorer's environment variables make. What the script prints goes to
// stderr, so that stdout has only the answer, or the line "ready". A command runs
// until its context ends; workers and listeners end with it.
package score

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/scorer"
)

// Command makes `fairlead score`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{Use: "score", Short: "Try an entry script or a model on this machine"}, local(s))
}

const localLong = `Runs the scorer of a replica without any service. It serves /, /score, /swagger.json
and what the runtime adds, prints the line "ready" once the script can answer, and ends
with SIGTERM, or with exit code 3 when the script can't start. With -d it answers one
request on stdout and ends: with exit code 0 when the answer is a good one.

Settings come from the environment variables and the file that a scorer knows
(WORKER_COUNT, SCORING_TIMEOUT_MS, AML_CORS_ORIGINS, AZUREML_CONFIG_FILE, ...).
Without -s an ONNX file, or a folder with an ONNX or a scikit-learn model, is served
as it is.`

const localExample = `  fairlead score local -s score.py -m model -d '{"data": [[1, 2]]}'
  fairlead score local -s score.py -m model -d @request.json
  fairlead score local -s score.py -m model --watch
  fairlead score local -m model.onnx`

// settings are what the flags say.
type settings struct {
	script, source, model, listen, data, python string
	watch, debugWait                            bool
	debugPort                                   int
}

func local(s *session.Session) *cobra.Command {
	var f settings
	cmd := &cobra.Command{
		Use: "local", Short: "Serve an entry script, or answer one request with it", Long: localLong, Example: localExample, Args: session.NoArgs,
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.script, "es", "s", "", "entry script: Python file with init() and run() (--entry-script)")
	fs.StringVar(&f.source, "sd", "", "folder that the script runs in; default its own (--source-directory)")
	fs.StringVarP(&f.model, "model-dir", "m", "", "folder of the model (AZUREML_MODEL_DIR), or an ONNX file")
	fs.StringVar(&f.listen, "listen", "127.0.0.1:5001", "address to serve on; port 0 picks a free one")
	fs.StringVarP(&f.data, "data", "d", "", "answer this request and end: JSON, FILE, @FILE or @- for standard input (--input-data)")
	fs.BoolVar(&f.watch, "watch", false, "load the script anew when it, a file beside it or the model changes")
	fs.IntVar(&f.debugPort, "debug-port", 0, "port on loopback where a debugger can attach (debugpy); one worker then")
	fs.BoolVar(&f.debugWait, "debug-wait", false, "with --debug-port: load the script once a debugger is attached")
	fs.StringVar(&f.python, "python", "", "interpreter (default the one that \"fairlead up\" takes: FAIRLEAD_PYTHON, or the python3 that has most of the packages that models need)")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		once := cmd.Flags().Changed("data")
		if err := f.check(cmd, once); err != nil {
			return err
		}
		r, err := f.prepare(ctx, s)
		if err != nil {
			return err
		}
		switch {
		case once:
			return r.answer(ctx, f.data)
		case f.watch:
			return r.watch(ctx)
		}
		return r.serve(ctx)
	})
	return cmd
}

func (f settings) check(cmd *cobra.Command, once bool) error {
	switch {
	case f.script == "" && f.model == "":
		return session.Usagef(cmd, "missing -s/--es: say which entry script, or which model with -m/--model-dir")
	case once && f.watch:
		return session.Usagef(cmd, "-d/--data and --watch cannot be given together: drop one")
	case f.debugPort < 0 || f.debugPort > 65535:
		return session.Usagef(cmd, "--debug-port %d: must be between 1 and 65535", f.debugPort)
	case f.debugWait && f.debugPort == 0:
		return session.Usagef(cmd, "--debug-wait needs --debug-port")
	}
	return nil
}

// run is one run of the command.
type run struct {
	session *session.Session
	args    []string // of the scorer
	environ []string // of the workers
	listen  string
	name    string // of what is served, for people
	stderr  *os.File
	log     *slog.Logger
	watched watched
}

func (f settings) prepare(ctx context.Context, s *session.Session) (*run, error) {
	runtime, err := f.runtime()
	if err != nil {
		return nil, failure.New(failure.Precondition, "-m/--model-dir: %v", err)
	}
	r := &run{session: s, listen: f.listen, name: f.model, environ: os.Environ(), args: append(runtime, "--listen", f.listen), stderr: os.Stderr}
	if file, ok := s.Streams.Err.(*os.File); ok {
		r.stderr = file
	}
	r.log = s.Logger()
	python, err := f.interpreter(ctx, s)
	if err != nil {
		return nil, failure.New(failure.Precondition, "%v", err)
	}
	r.args = append(r.args, "--python", python)
	if f.script != "" {
		r.name = f.script
		r.watched.source = f.source
		if f.source == "" {
			r.watched.source = filepath.Dir(f.script)
		}
	}
	r.watched.model = f.model
	if f.debugPort != 0 {
		r.args = append(r.args, "--workers", "1")
		r.environ = append(r.environ, "AZUREML_DEBUG_PORT="+strconv.Itoa(f.debugPort), "FAIRLEAD_DEBUG_WAIT="+strconv.FormatBool(f.debugWait))
		s.Notef("a debugger can attach at 127.0.0.1:%d", f.debugPort)
	}
	return r, nil
}

// runtime gives the flags that say what answers.
func (f settings) runtime() ([]string, error) {
	var args []string
	if f.script != "" {
		script, err := filepath.Abs(f.script)
		if err != nil {
			return nil, err
		}
		args = append(args, "--entry-script", script)
		if f.source != "" {
			args = append(args, "--source-dir", f.source)
		}
		if f.model != "" {
			args = append(args, "--model-dir", f.model)
		}
		return args, nil
	}
	info, err := os.Stat(f.model)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir() && isONNX(f.model):
		return []string{"--runtime", "onnx", "--model-file", f.model}, nil
	case !info.IsDir():
		return nil, errors.New(f.model + " is neither a folder nor an ONNX file; without -s only these can be served")
	}
	kind := "scikit-learn"
	err = filepath.WalkDir(f.model, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && isONNX(path) {
			kind = "onnx"
			return fs.SkipAll
		}
		return err
	})
	return []string{"--runtime", kind, "--model-dir", f.model}, err
}

func isONNX(path string) bool { return strings.EqualFold(filepath.Ext(path), ".onnx") }

func (f settings) interpreter(ctx context.Context, s *session.Session) (string, error) {
	switch {
	case f.python != "":
		return f.python, nil
	case s.PythonPath == nil:
		return "python3", nil
	}
	return s.PythonPath(ctx)
}

// config reads the scorer's configuration anew: its file may have changed.
func (r *run) config() (scorer.Config, error) {
	return scorer.ParseFlags(r.args, r.session.Getenv, io.Discard)
}

func (r *run) deps() scorer.Deps {
	return scorer.Deps{Log: r.log, Version: r.session.Version, Environ: r.environ, Stdout: r.stderr, Stderr: r.stderr}
}

// outcome is the end of a scorer as an exit code. Why it ended, it has said itself
// when it had begun.
func (r *run) outcome(err error) error {
	var wrong *scorer.ConfigError
	var start *scorer.StartError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return failure.New(failure.Precondition, "%v", err)
	case errors.As(err, &start):
		return failure.New(failure.Precondition, "%s can't start", r.name)
	}
	return failure.New(failure.Error, "%s does not serve any more", r.name)
}
