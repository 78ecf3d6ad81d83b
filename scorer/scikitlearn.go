package scorer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/scorer/internal/python"
	"github.com/fairlead/fairlead/scorer/internal/server"
)

// scikitLearn is the runtime that answers with a scikit-learn model by a script of ours.
const scikitLearn = "scikit-learn"

// checkScikitLearn lists what that runtime lacks.
func (c Config) checkScikitLearn() []error {
	var problems []error
	if c.ModelDir == "" {
		problems = append(problems, errors.New("model-dir is missing: give the folder with the scikit-learn model"))
	}
	if c.EntryScript != "" {
		problems = append(problems, errors.New("entry-script: the runtime scikit-learn brings its own; leave it out, or use the runtime script"))
	}
	return problems
}

// assembleScikitLearn makes the runtime that answers with a scikit-learn model.
func assembleScikitLearn(cfg Config, deps Deps) (*parts, error) {
	clean := func() {}
	if cfg.RunDir == "" {
		var err error
		if cfg.RunDir, err = os.MkdirTemp("", "fairlead-scorer-"); err != nil {
			return nil, fmt.Errorf("make a folder for the worker program: %w", err)
		}
		clean = func() { os.RemoveAll(cfg.RunDir) }
	}
	cfg.EntryScript = filepath.Join(cfg.RunDir, python.ScikitLearn)
	if cfg.SourceDir == "" {
		cfg.SourceDir = filepath.Dir(cfg.EntryScript)
	}
	p, err := assembleScript(cfg, deps)
	if err != nil {
		clean()
		return nil, err
	}
	rest := p.close
	p.close = func() {
		rest()
		clean()
	}
	p.runtime = renamed{p.runtime}
	return p, nil
}

// renamed is the runtime of a script that has another name.
type renamed struct{ runtime }

func (r renamed) Status() server.Status {
	s := r.runtime.Status()
	s.Runtime = scikitLearn
	return s
}
