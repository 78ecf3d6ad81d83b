package scorer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

func TestScriptThatKeepsDyingIsGivenUp(t *testing.T) {
	cfg := scorer.DefaultConfig()
	cfg.EntryScript = pythontest.Script(t, `
import os, threading
def init():
    print("about to die")
    threading.Timer(0.2, os._exit, [3]).start()
def run(data): return 1
`)
	cfg.FailureFile = filepath.Join(t.TempDir(), "failure.json")
	r := start(t, cfg)
	<-r.ended
	text, err := os.ReadFile(cfg.FailureFile)
	if err != nil || !strings.Contains(string(text), `"reason":"CrashLoop"`) || !strings.Contains(string(text), "the script's Python process died 5 times within ") ||
		!strings.Contains(string(text), "the last time: exit code 3") {
		t.Errorf("the failure file says %s (%v)", text, err)
	}
	if loop, ok := errors.AsType[*scorer.CrashLoopError](r.err); !ok || scorer.ExitCode(r.err) != 1 {
		t.Errorf("ended with %v (code %d), %v", r.err, scorer.ExitCode(r.err), loop)
	}
	if log := r.log(t); strings.Count(log, "about to die") != 5 || !strings.Contains(log, "scorer: the script's Python process died") {
		t.Errorf("the output:\n%s", log)
	}
}
