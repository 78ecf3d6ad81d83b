package model

import (
	"context"
	"maps"
	"os"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/imagerecipe"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// unregistered is the name under which an environment that only the package has
// is checked.
const unregistered = "package"

// maxCondaFile is the most that the server reads.
const maxCondaFile = 256 << 10

// takeCondaFile takes the packages of --cf in place of those that the inference
// configuration lists.
func (p *packaged) takeCondaFile() {
	if p.condaFile == "" {
		return
	}
	if p.flags.Environment != "" {
		p.bad.Add("--cf", "cannot be given together with -e, which names a registered environment: drop one")
		return
	}
	text, err := os.ReadFile(p.condaFile)
	switch {
	case err != nil:
		p.bad.Add("--cf", "%v", err)
		return
	case len(text) > maxCondaFile:
		p.bad.Add("--cf", "%s is larger than 256 KiB", p.condaFile)
		return
	}
	if p.draft.Environment == nil {
		p.draft.Environment = &deployv1.EnvironmentVersion{}
	}
	p.draft.Environment.Python = &deployv1.EnvironmentPython{CondaFile: string(text)}
	p.draft.Version.Environment = ""
}

// environment gives the environment with all its files read; nil for none. One
// that is described and not registered is checked and stays so.
func (p *packaged) environment(ctx context.Context, s *session.Session, c *client.Client) (*deployv1.EnvironmentVersion, error) {
	if described := p.draft.Environment; described != nil {
		id := p.draft.EnvironmentID
		if id == "" {
			id = unregistered
		}
		e, err := c.Environments.RegisterEnvironment(ctx, &deployv1.RegisterEnvironmentRequest{
			Parent: p.parent, EnvironmentId: id, EnvironmentVersion: described, ValidateOnly: true,
		})
		if err == nil {
			e.Id = "" // it would be registered under that; it is not
			return e, nil
		}
		return nil, p.note(err, "environment", func(v apierr.Violation) string {
			if p.condaFile != "" && strings.HasSuffix(v.Field, "conda_file") {
				return "--cf"
			}
			return "environment." + strings.TrimPrefix(v.Field, "environment_version.")
		})
	}
	ref := p.draft.Version.GetEnvironment()
	if ref == "" {
		return nil, nil
	}
	name, err := environmentName(s, ref)
	if err != nil {
		return nil, err
	}
	e, err := c.Environments.GetEnvironmentVersion(ctx, &deployv1.GetEnvironmentVersionRequest{Name: name})
	if err != nil {
		return nil, p.note(err, "-e "+ref, func(apierr.Violation) string { return "-e " + ref })
	}
	return e, nil
}

// note notes what is wrong with the user's input; another error is given back.
func (p *packaged) note(err error, field string, word func(apierr.Violation) string) error {
	e := apierr.FromStatus(err)
	switch {
	case len(e.Violations) > 0:
		for _, v := range e.Violations {
			p.bad.Add(word(v), "%s", v.Description)
		}
	case e.Kind == apierr.NotFound || e.Kind == apierr.FailedPrecondition:
		p.bad.Add(field, "%s", e.Message)
	default:
		return err
	}
	return nil
}

// environmentName gives the name of a version from "environment:version" or
// "environment", whose newest version is meant.
func environmentName(s *session.Session, ref string) (string, error) {
	if strings.HasPrefix(ref, "workspaces/") {
		return ref, nil
	}
	id, version, ok := strings.Cut(ref, ":")
	if !ok {
		version = "latest"
	}
	name, err := s.Name("environments", id)
	return resourcename.Format(name, "versions", version), err
}

// takeEnvironment says what the image has to have. The variables of the
// inference configuration come on top of the environment's.
func (p *packaged) takeEnvironment(e *deployv1.EnvironmentVersion) {
	variables := maps.Clone(e.GetEnvironmentVariables())
	if variables == nil {
		variables = map[string]string{}
	}
	maps.Copy(variables, p.draft.Version.GetEnvironmentVariables())
	python, docker := e.GetPython(), e.GetDocker()
	p.context.Environment = imagerecipe.Environment{
		ID: e.GetId(), Variables: variables,
		CondaChannels: python.GetCondaChannels(), Conda: python.GetCondaDependencies(), Pip: python.GetPipRequirements(),
		InterpreterPath: python.GetInterpreterPath(), UserManaged: python.GetUserManaged(),
		BaseImage: docker.GetBaseImage(), BaseDockerfile: docker.GetBaseDockerfile(), Registry: docker.GetRegistry().GetAddress(),
	}
	if size := docker.GetShmSize(); size != "" {
		p.context.RunArguments = append(p.context.RunArguments, "--shm-size "+size)
	}
	p.context.RunArguments = append(p.context.RunArguments, docker.GetArguments()...)
}
