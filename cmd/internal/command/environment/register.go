package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// maxFile bounds what is read of a file; the server takes less.
const maxFile = 1 << 20

type registration struct {
	name, file, description string
	tags, variables         []string
	pip, conda              []string
	image                   string
	validateOnly            bool
}

func register(s *session.Session) *cobra.Command {
	var r registration
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Register the next version of an environment; the same again gives the version that there is",
		Example: "  fairlead environment register -n sklearn-env -f conda.yml --env OMP_NUM_THREADS=1\n" +
			"  fairlead environment register -n sklearn-env -f requirements.txt --conda python=3.11\n" +
			"  fairlead environment register -n sklearn-env -f environment.json     # of the old product",
		Args: session.NoArgs,
	}
	fs := cmd.Flags()
	fs.StringVarP(&r.name, "name", "n", "", "name of the environment")
	fs.StringVarP(&r.file, "file", "f", "", "`FILE`: a conda file (.yml), requirements of pip (.txt), or an environment object of the old product (.json)")
	fs.StringArrayVar(&r.variables, "env", nil, "variable KEY=VALUE of the script; repeat for more")
	fs.StringArrayVar(&r.pip, "pip", nil, "requirement of pip, for example 'scikit-learn>=1.2'; repeat for more")
	fs.StringArrayVar(&r.conda, "conda", nil, "package of conda, for example python=3.11; repeat for more")
	fs.StringVar(&r.image, "base-image", "", "container image to build on")
	fs.StringArrayVar(&r.tags, "tag", nil, "label KEY=VALUE; repeat for more")
	fs.StringVarP(&r.description, "description", "d", "", "for people")
	fs.BoolVar(&r.validateOnly, "validate-only", false, "check everything, change nothing")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if err := session.Required(cmd, "name"); err != nil {
			return err
		}
		return r.run(ctx, s, cmd)
	})
	s.CompleteFlag(cmd, "name", Names)
	return cmd
}

func (r *registration) run(ctx context.Context, s *session.Session, cmd *cobra.Command) error {
	parent, err := s.Parent()
	if err != nil {
		return err
	}
	c, err := s.Client()
	if err != nil {
		return err
	}
	e, err := r.read(ctx, s, c, parent)
	if err != nil {
		return err
	}
	if err := r.addFlags(cmd, e); err != nil {
		return err
	}
	registered, err := c.Environments.RegisterEnvironment(ctx, &deployv1.RegisterEnvironmentRequest{
		Parent: parent, EnvironmentId: r.name, EnvironmentVersion: e, ValidateOnly: r.validateOnly, RequestId: client.NewRequestID(),
	})
	if err != nil {
		return failure.InFlags(err, map[string]string{
			"environment_id": "-n", "environment_version.description": "-d", "environment_version.tags": "--tag",
			"environment_version.environment_variables": "--env", "environment_version.docker.base_image": "--base-image",
			"environment_version.python.conda_file": r.file, "environment_version.python.requirements_file": r.file,
		})
	}
	for _, notice := range registered.GetNotices() {
		s.Notef("note: %s", output.Clean(notice))
	}
	d := one(registered)
	d.Text = func(t *output.Text) { t.Linef("%s", output.Clean(registered.GetId())) }
	return s.Print(d)
}

// addFlags puts what is given by flags on top of the file.
func (r *registration) addFlags(cmd *cobra.Command, e *deployv1.EnvironmentVersion) error {
	variables, err := session.Pairs(cmd, "env", r.variables)
	if err != nil {
		return err
	}
	if e.EnvironmentVariables == nil {
		e.EnvironmentVariables = map[string]string{}
	}
	maps.Copy(e.GetEnvironmentVariables(), variables)
	if e.Tags, err = session.Pairs(cmd, "tag", r.tags); err != nil {
		return err
	}
	e.Description = r.description
	if len(r.pip)+len(r.conda) > 0 && e.GetPython() == nil {
		e.Python = &deployv1.EnvironmentPython{}
	}
	if len(r.pip) > 0 {
		e.Python.PipRequirements = append(e.Python.PipRequirements, r.pip...)
	}
	if len(r.conda) > 0 {
		e.Python.CondaDependencies = append(e.Python.CondaDependencies, r.conda...)
	}
	if r.image != "" {
		if e.GetDocker() == nil {
			e.Docker = &deployv1.EnvironmentDocker{}
		}
		e.Docker.BaseImage = r.image
	}
	return nil
}

// read gives the environment that the file describes, by its ending.
func (r *registration) read(ctx context.Context, s *session.Session, c *client.Client, parent string) (*deployv1.EnvironmentVersion, error) {
	if r.file == "" {
		return &deployv1.EnvironmentVersion{}, nil
	}
	content, err := readFile(r.file)
	if err != nil {
		return nil, failure.New(failure.Error, "the environment cannot be read: %v", err)
	}
	switch strings.ToLower(filepath.Ext(r.file)) {
	case ".json":
		return r.readObject(ctx, s, c, parent, content)
	case ".txt", ".in":
		return &deployv1.EnvironmentVersion{Python: &deployv1.EnvironmentPython{RequirementsFile: string(content)}}, nil
	}
	return &deployv1.EnvironmentVersion{Python: &deployv1.EnvironmentPython{CondaFile: string(content)}}, nil
}

// readObject has the server read an environment object of the old product, as it
// stands in an inference configuration.
func (r *registration) readObject(ctx context.Context, s *session.Session, c *client.Client, parent string, content []byte) (*deployv1.EnvironmentVersion, error) {
	if !json.Valid(content) {
		return nil, failure.New(failure.Error, "%s is not JSON", r.file)
	}
	around, err := json.Marshal(map[string]any{"entryScript": "score.py", "environment": json.RawMessage(content)})
	if err != nil {
		return nil, err
	}
	req := &deployv1.ConvertConfigRequest{Parent: parent, InferenceConfig: around}
	answer, err := c.Endpoints.ConvertConfig(ctx, req)
	if err == nil && len(answer.GetMissingFiles()) > 0 {
		if err := r.addNamed(req, answer.GetMissingFiles()); err != nil {
			return nil, err
		}
		answer, err = c.Endpoints.ConvertConfig(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	if bad := answer.GetViolations(); len(bad) > 0 {
		f := failure.New(failure.Error, "%s is not valid", r.file)
		for _, v := range bad {
			f.Violations = append(f.Violations, apierr.Violation{Field: v.GetField(), Description: v.GetDescription()})
		}
		return nil, f
	}
	for _, ignored := range answer.GetIgnored() {
		s.Notef("note: %s is not used: %s", output.Clean(ignored.GetField()), output.Clean(ignored.GetDescription()))
	}
	e := answer.GetEnvironment()
	if e == nil {
		e = &deployv1.EnvironmentVersion{}
	}
	if e.EnvironmentVariables == nil { // an object of variables alone
		e.EnvironmentVariables = answer.GetVersion().GetEnvironmentVariables()
	}
	return e, nil
}

// addNamed adds the files that the object names, relative to its own folder.
func (r *registration) addNamed(req *deployv1.ConvertConfigRequest, names []string) error {
	req.Files = map[string][]byte{}
	for _, name := range names {
		file := filepath.FromSlash(name)
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(r.file), file)
		}
		content, err := readFile(file)
		switch {
		case err == nil:
			req.Files[name] = content
		case errors.Is(err, fs.ErrNotExist):
			req.AbsentFiles = append(req.AbsentFiles, name)
		default:
			return failure.New(failure.Error, "%s, which %s names, cannot be read: %v", name, r.file, err)
		}
	}
	return nil
}

func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %s, at most %s are possible", file, output.Bytes(info.Size()), output.Bytes(maxFile))
	}
	return os.ReadFile(file)
}
